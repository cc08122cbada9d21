# make demo   the whole thing from nothing: install, boot the lab, provision it, prove it with packets
# make help   everything else

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SUDO   := $(if $(filter 0,$(shell id -u)),,sudo)
SITE   := $(BIN)/ansible-playbook -i inventory/lab playbooks

# What the lab needs from Debian. The rest comes from PyPI into $(VENV).
PACKAGES := qemu-system-x86 qemu-utils vde2 mmdebstrap e2fsprogs openssh-client
PROGRAMS := qemu-system-x86_64 qemu-img vde_switch mmdebstrap mke2fs ssh

export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help demo venv tools packages tcpdump compiler lab lab-down lab-status ssh site verify status test test-unit test-browser test-vm test-long test-switches test-mutants lint docs schema collection image bench-site bench-apply bench-model bench-verify bench-datapath bench-attacks bench-checks clean

help:
	@echo "make demo                the main job, from nothing; leaves the lab up"
	@echo "make lab | lab-down      start or stop the lab's virtual machines"
	@echo "make lab-status          what runs, and whether it answers"
	@echo "make ssh HOST=rs1        log in to one of them"
	@echo "make site | verify       provision the lab; prove it with packets"
	@echo "make status              every service of the lab with its real servers: weights, why, and since when"
	@echo "make test                lint, unit tests, the report in a browser, and every scenario on virtual machines"
	@echo "make test-unit | test-browser | test-vm | lint"
	@echo "make test-long           the scenarios that take longer: changes under traffic, builds, other releases, faults"
	@echo "make test-switches       a service goes from each mode to each other one"
	@echo "make docs                write what is generated from the code: pages of docs/, argument_specs of roles"
	@echo "make schema              print the JSON Schema of inventories, for editors"
	@echo "make collection          build the collection lvskit.lvs in dist/"
	@echo "make test-mutants        mutation run: the share of changes to the code that make a unit test fail, and those that do not"
	@echo "make bench-site          tasks for each host, and the time of a run, as a multiple of a ping"
	@echo "make bench-apply         1,000 services with 20 real servers each: compiled, loaded, changed; beside ipvsadm and keepalived"
	@echo "make bench-model         a thousand hosts and 10,000 services: parsed, checked, planned"
	@echo "make bench-verify        a thousand services: predicted, and compared with captures; the length of capture filters"
	@echo "make bench-checks        20,000 real servers with health checks on one director: start, reload, the cost of a check"
	@echo "make bench-datapath      what each mode costs: connections, bytes, and the director's processor time; also of an earlier version (BASE=)"
	@echo "make bench-attacks       floods of forged packets against the kernel modules: whether new clients are served, and how fast"
	@echo "make clean               stop the lab and remove everything that make made"

venv: $(VENV)/.complete
$(VENV)/.complete: pyproject.toml
	@echo "Installing the Python packages into $(VENV)"
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/pip install -q --group run
	@touch $@

# What tests and lint need besides.
tools: $(VENV)/.tools
$(VENV)/.tools: $(VENV)/.complete
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

# The demo application serves a new port before a director sends there, and an old one until no director does.
site: venv
	@$(BIN)/python -m lab serve --keep
	$(SITE)/site.yml
	@$(BIN)/python -m lab serve

verify: venv
	$(SITE)/verify.yml

status: venv
	$(SITE)/status.yml

demo: lab
	@$(MAKE) --no-print-directory site verify
	@echo
	@echo "The lab is up. Try:"
	@echo "  make ssh HOST=lb1                        then: ipvsadm -Ln"
	@echo "  edit inventory/lab/group_vars/all/services.yml, then: make site verify"
	@echo "  $(BIN)/ansible-playbook -i inventory/lab playbooks/site.yml --check --diff"
	@echo "  make lab-down"

lint: tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/yamllint --strict .
	$(BIN)/ansible-lint --offline -q
	$(BIN)/shellcheck .ci/run $$(git ls-files '*.sh')

test-unit: tools tcpdump compiler
	$(BIN)/pytest

# It compiles the capture filters that unit tests are about.
tcpdump:
	@PATH="$$PATH:/usr/sbin:/sbin" command -v tcpdump >/dev/null || { \
		echo "Installing tcpdump"; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends tcpdump; \
	}

# It compiles headers of the kernel modules for user space.
compiler:
	@command -v gcc >/dev/null || { \
		echo "Installing a compiler"; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends gcc libc6-dev; \
	}

# Mutants: a sample of 400 of all code (SEED=2 takes another one), or all of FILES="module_utils/lvs/plan.py library" (files or
# folders). Tests that start ansible-playbook are slow: they run only for lines that no other test runs.
SEED   ?= 1
SAMPLE ?=
test-mutants: tools tcpdump compiler
	$(BIN)/python -m tests.mutants --seed $(SEED) $(addprefix --sample ,$(SAMPLE)) $(FILES)

# Scenarios joined by + follow each other on the same machines; LANES chains run side by side. SCENARIOS="dr" runs one scenario.
SCENARIOS ?= health dual changes pair enat nat slb_fnat
LANES     ?= 2
test-vm: tools packages
	@$(BIN)/python -m tests.scenarios --lanes $(LANES) $(SCENARIOS)

image: venv packages
	$(BIN)/python -m lab image

# The page of playbooks/explain.yml in a real browser.
test-browser: tools
	@PATH="$$PATH:/usr/sbin:/sbin" command -v chromium >/dev/null || { \
		echo "Installing a browser"; \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q --no-install-recommends chromium; \
	}
	$(BIN)/pytest tests/browser

test: tools packages
	@$(MAKE) --no-print-directory -j2 --output-sync=target image lint test-unit test-browser
	@$(MAKE) --no-print-directory test-vm

# Each of the five modes after each other one.
test-switches:
	@$(MAKE) --no-print-directory test-vm SCENARIOS=switches SWITCHES="dr nat dr tun dr fullnat dr enat nat tun nat fullnat nat enat tun fullnat tun enat fullnat enat dr"

# What takes longer: all changes and kills under traffic, each mode alone, one service in each of the five modes, every way to build a kernel module,
# thousands of loads of each, every release, faults that trace has to name, hosts that cannot have a changed plan, every way in which a real server or a director can
# die, what other software takes away, and the collection as somebody uses it who has only its archive.
test-long:
	@$(MAKE) --no-print-directory test-vm LONG=yes SCENARIOS="changes dual dr+nat fullnat+enat slb_fnat tun switches builds lifetime releases trace faults health pair keeper collection"

# The collection lvskit.lvs, as ansible-galaxy collection install takes it.
collection: venv
	@$(BIN)/python -m tools.collection dist

# What is generated from the code: pages of docs/, the schema for editors, argument_specs of roles.
docs: venv
	$(BIN)/python -m tools.docs

schema: venv
	@$(BIN)/python -m tools.docs schema

bench-site: venv
	$(BIN)/python -m tests.bench.site

bench-model: venv
	$(BIN)/python -m tests.bench.model

bench-verify: venv
	$(BIN)/python -m tests.bench.verification

# These have a lab of their own.
bench-apply bench-datapath bench-attacks bench-checks: bench-%: venv packages
	@export LVSKIT_LAB=$(CURDIR)/.lab/scenarios/bench-$*; $(BIN)/python -m tests.bench.$*; code=$$?; $(BIN)/python -m lab down; exit $$code

clean: lab-down
	rm -rf $(VENV) .lab .pytest_cache .mypy_cache .ruff_cache .hypothesis .ansible
