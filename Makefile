# make demo   the whole thing from nothing: install, boot the lab, provision it, prove it with packets
# make help   everything else

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SUDO   := $(if $(filter 0,$(shell id -u)),,sudo)
SITE   := $(BIN)/ansible-playbook playbooks

# What the lab needs from Debian. The rest comes from PyPI into $(VENV).
PACKAGES := qemu-system-x86 qemu-utils vde2 mmdebstrap e2fsprogs openssh-client
PROGRAMS := qemu-system-x86_64 qemu-img vde_switch mmdebstrap mke2fs ssh

export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help demo venv packages lab lab-down lab-status ssh site verify test test-unit test-browser test-vm test-long test-switches lint image bench-site bench-apply bench-model bench-datapath clean

help:
	@echo "make demo                the main job, from nothing; leaves the lab up"
	@echo "make lab | lab-down      start or stop the lab's virtual machines"
	@echo "make lab-status          what runs, and whether it answers"
	@echo "make ssh HOST=rs1        log in to one of them"
	@echo "make site | verify       provision the lab; prove it with packets"
	@echo "make test                lint, unit tests, the report in a browser, and every scenario on virtual machines"
	@echo "make test-unit | test-browser | test-vm | lint"
	@echo "make test-long           the scenarios that take longer: changes under traffic, builds, other releases, faults"
	@echo "make test-switches       a service goes from each mode to each other one"
	@echo "make bench-site          tasks for each host, and the time of a run, as a multiple of a ping"
	@echo "make bench-apply         1,000 services with 20 real servers each: compiled, loaded, changed; beside ipvsadm and keepalived"
	@echo "make bench-model         a thousand hosts and 10,000 services: parsed, checked, planned"
	@echo "make bench-datapath      what each mode costs: connections, bytes, and the director's processor time"
	@echo "make clean               stop the lab and remove everything that make made"

venv: $(VENV)/.complete
$(VENV)/.complete: pyproject.toml
	@echo "Installing the Python packages into $(VENV)"
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/pip install -q --group test
	@touch $@

packages:
	@for program in $(PROGRAMS); do PATH="$$PATH:/usr/sbin:/sbin" command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	if [ -n "$$missing" ]; then \
		echo "Installing what provides$$missing"; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends $(PACKAGES); \
	fi

lab: venv packages
	@$(BIN)/python -m lab up

lab-down: venv
	@$(BIN)/python -m lab down --all

lab-status: venv
	@$(BIN)/python -m lab status

ssh: venv
	@$(BIN)/python -m lab ssh $(HOST)

site: venv
	$(SITE)/site.yml

verify: venv
	$(SITE)/verify.yml

demo: lab
	$(SITE)/site.yml
	$(SITE)/verify.yml
	@echo
	@echo "The lab is up. Try:"
	@echo "  make ssh HOST=lb1                        then: ipvsadm -Ln"
	@echo "  edit inventory/lab/group_vars/all/services.yml, then: make site verify"
	@echo "  $(BIN)/ansible-playbook playbooks/site.yml --check --diff"
	@echo "  make lab-down"

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/yamllint --strict .
	$(BIN)/ansible-lint --offline -q
	$(BIN)/shellcheck .ci/run $$(git ls-files '*.sh')

test-unit: venv
	$(BIN)/pytest

# Scenarios joined by + follow each other on the same machines; LANES chains run side by side. SCENARIOS="dr" runs one scenario.
SCENARIOS ?= tun+fullnat+slb_fnat+enat dr+nat changes
LANES     ?= 2
test-vm: venv packages
	@$(BIN)/python -m tests.scenarios --lanes $(LANES) $(SCENARIOS)

image: venv packages
	$(BIN)/python -m lab image

# The page of playbooks/explain.yml in a real browser.
test-browser: venv
	@PATH="$$PATH:/usr/sbin:/sbin" command -v chromium >/dev/null || { \
		echo "Installing a browser"; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends chromium; \
	}
	$(BIN)/pytest tests/browser

test: venv packages
	@$(MAKE) --no-print-directory -j2 --output-sync=target image lint test-unit test-browser
	@$(MAKE) --no-print-directory test-vm

# Each of the five modes after each other one.
test-switches:
	@$(MAKE) --no-print-directory test-vm SCENARIOS=switches SWITCHES="dr nat dr tun dr fullnat dr enat nat tun nat fullnat nat enat tun fullnat tun enat fullnat enat dr"

# What takes longer: all changes and kills under traffic, one service in each of the five modes, every way to build a kernel module,
# every release, faults that trace has to name, hosts that cannot have a changed plan.
test-long:
	@$(MAKE) --no-print-directory test-vm CHANGES=long SCENARIOS="changes switches builds releases trace faults"

bench-site: venv
	$(BIN)/python -m tests.bench.site

bench-model: venv
	$(BIN)/python -m tests.bench.model

# These have a lab of their own.
bench-apply bench-datapath: bench-%: venv packages
	@export LVSKIT_LAB=$(CURDIR)/.lab/scenarios/bench-$*; $(BIN)/python -m tests.bench.$*; code=$$?; $(BIN)/python -m lab down; exit $$code

clean: lab-down
	rm -rf $(VENV) .lab .pytest_cache .mypy_cache .ruff_cache .hypothesis .ansible
