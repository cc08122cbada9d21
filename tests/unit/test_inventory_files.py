"""Faults of variable files, each with its place, as Ansible does not tell them."""

import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils.lvs_controller import inventory_files

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def inventory(tmp_path):
    """An inventory with these files below group_vars/; what is told of it, without the folder."""

    def write(**files):
        for name, content in {"hosts.yml": "all: {}\n", **files}.items():
            path = tmp_path / name if name == "hosts.yml" else tmp_path / "group_vars" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [str(fault).replace(f"{tmp_path}/", "") for fault in inventory_files.faults(str(tmp_path))]

    return write


SERVICES = "lvs_services:\n  - name: web\n    port: 80\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SERVICES, None),
        ("", None),
        ("# nothing\n", None),
        ('{"lvs_services": [\n\t{"name": "a"}]}', None),  # JSON
        (b"$ANSIBLE_VAULT;1.1;AES256\n6162\n", "1:1: the file is encrypted, and there is no password. Say --ask-vault-pass, or --vault-password-file FILE."),
        ("- name: web\n  port: 80\n", "1:1: this is no mapping of variables to values. Is the first line missing, such as lvs_services:?"),
        ("words\n", "1:1: this is no mapping of variables to values. Is the first line missing, such as lvs_services:?"),
        ("key: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n", None),
        (SERVICES.replace("    port", "\tport"), "3:1: a tab. YAML is indented with spaces."),
        (SERVICES.replace("port: 80", "port:\u00a080"), "3:10: a no-break space (U+00A0). Write a space."),
        ("# Für\n".encode("latin-1"), "1:4: the byte 0xfc is no UTF-8. Save the file as UTF-8."),
        (f"{SERVICES}---\n{SERVICES}", "5:1: a second document begins (---). A variable file has one."),
        (SERVICES.replace("80", "{{ port }}"), "3:11: a template begins the value. Put it into quotes."),
        (f"{SERVICES}    name: api\n", "4:5: duplicate key name: it is in line 2, too. Remove one."),
        (f"{SERVICES}   vip: 192.0.2.1\n", "4:4: no YAML: while parsing a block collection, did not find expected '-' indicator."),
        (SERVICES.replace("80", "53:53"), "3:11: YAML reads 53:53 as a number of base 60: 3233. Put it into quotes, or correct it."),
        (SERVICES.replace("80", "'53:53'"), None),
        (SERVICES.replace("80", "010"), "3:11: YAML reads 010 as a number of base 8: 8. Put it into quotes, or correct it."),
        (SERVICES.replace("80", "'010'"), None),
        (SERVICES.replace("80", "0"), None),
        (SERVICES.replace("80", "0080"), None),  # a string
        (SERVICES.replace("80", "!int 80"), "3:11: Ansible knows no tag !int. Leave it out."),
        # The fault, and not what looks odd before it.
        (f"# a\u00a0b\n{SERVICES}  - {{name: b\n", "5:5: no YAML: while parsing a flow mapping, did not find expected ',' or '}'. It begins here, and does not end."),
        (SERVICES.replace("web", '"web'), "2:11: no YAML: while scanning a quoted scalar, found unexpected end of stream. It begins here, and does not end."),
        (SERVICES.replace("port: 80", "port:80\n    mode: dr"), "3:5: no YAML: while scanning a simple key, could not find expected ':'. Is a blank missing behind a colon?"),
        (f"{SERVICES}\t\n  - {{name: b\n", "4:1: a tab. YAML is indented with spaces."),
        ("mac: 10:20:30\n", None),  # no variable of lvskit's
        ("a: &a {port: 80, name: x}\nlvs_services:\n  - {<<: *a, port: 81}\n", None),  # that is what a merge key is for
        ("a: &a [1]\nb: [*a, *a]\n", None),
        ("a: &a {x: 1}\nb: &b {y: 2}\nc:\n  <<: *a\n  <<: *b\n", None),
    ],
)  # fmt: skip
def test_a_file_is_told_with_line_and_column(inventory, text, told):
    assert inventory(**{"all.yml": text}) == ([f"group_vars/all.yml:{told}"] if told else [])


def test_a_variable_that_two_files_of_one_group_set_is_told_with_both_places(inventory):
    found = inventory(
        **{"all/a.yml": SERVICES, "all/b.yml": f"x: 1\n{SERVICES}", "all/c.yml": "x: 2\n", "web.yml": SERVICES}
    )
    assert found == [
        "group_vars/all/b.yml:2:1: lvs_services is set in a.yml:1, too, and only the last one that Ansible reads counts. Set it in one file."
    ]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("hosts.yml", "all:\n  vars:\n    lvs_services: []\n", 3),
        ("hosts.yml", "all:\n  children:\n    web:\n      hosts:\n        rs1:\n          lvs_drained: true\n", 6),
        ("hosts", "[web]\nrs1 ansible_host=rs1.example lvs_drained=true\n", 2),
        ("hosts.ini", "[all:vars]\nx=1\nlvs_services=[]  # none\n", 3),
    ],
)
def test_a_variable_in_the_inventorys_own_file_and_in_a_file_of_variables_is_told(tmp_path, name, text, line):
    """Ansible takes that of the file of variables, and says nothing."""
    (tmp_path / name).write_text(text)
    for folder, content in (("group_vars/all.yml", SERVICES), ("host_vars/rs1.yml", "x: 1\nlvs_drained: false\n")):
        (tmp_path / folder).parent.mkdir()
        (tmp_path / folder).write_text(content)
    (found,) = inventory_files.faults(str(tmp_path / name))
    assert f"is set in {name}:{line}, too, and only the last one" in str(found)
    assert inventory_files.faults(str(tmp_path / "group_vars/all.yml")) == []


def test_what_one_run_is_to_do_is_refused_in_an_inventory(tmp_path):
    """Every run of drain.yml would drain the real server, and weight.yml set the weight."""
    (tmp_path / "hosts.yml").write_text("all:\n  vars: {lvs_drain: rs1}\n")
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars/rs1.yml").write_text("lvs_drained: true\nlvs_weight: 3\n")
    assert [str(one).partition(f"{tmp_path}/")[2] for one in inventory_files.faults(str(tmp_path / "hosts.yml"))] == [
        "hosts.yml:2:10: lvs_drain says what one run is to do: say it on the command line (-e lvs_drain=…). What lasts is lvs_drained: true of the "
        "host.",
        "host_vars/rs1.yml:2:1: lvs_weight says what one run is to do: say it on the command line (-e lvs_weight=…). What lasts is weight: in the "
        "service's real_servers.",
    ]


def test_files_of_json_are_compared_with_others(inventory):
    (found,) = inventory(**{"all/services.yml": SERVICES, "all/x.json": '{"x": 1, "lvs_services": []}'})
    assert found.startswith("group_vars/all/x.json:1:10: lvs_services is set in services.yml:1, too")


def test_files_that_ansible_does_not_read_are_not_looked_at(inventory):
    wrong = "a: [\n"
    assert (
        inventory(**{"all/.hidden.yml": wrong, "all/a.yml~": wrong, "all/a.txt": wrong, "all/old.d/a.yml": wrong}) == []
    )


def test_files_in_folders_of_a_groups_folder_are_looked_at_in_their_order(inventory):
    found = inventory(
        **{"all/b/deep/x.yml": SERVICES, "all/a.yml": "x: 1\n", "all/b/y.yml": "x: 2\n", "all/c.yml": SERVICES}
    )
    assert [line.partition(",")[0] for line in found] == [
        "group_vars/all/c.yml:1:1: lvs_services is set in x.yml:1",
    ]


def test_all_faults_are_told_at_once_and_those_of_the_inventory_itself(inventory):
    found = inventory(**{"a.yml": "a: [\n", "b.yml": "a: 1\na: 2\n", "hosts.yml": "all: {}\nall: {}\n"})
    assert [line.partition(":")[0] for line in found] == ["group_vars/a.yml", "group_vars/b.yml", "hosts.yml"]


def test_files_of_no_group_and_beside_a_folder_are_unread(inventory, tmp_path):
    inventory(
        **{
            "all/a.yml": SERVICES,
            "all.yml": SERVICES,
            "wbe.yml": "lvs_drained: true\n",
            "services.yml": SERVICES,
            "other.yml": "x: 1\n",
            "web.yaml": SERVICES,
        }
    )
    found = inventory_files.unread(str(tmp_path), {"group_vars": ["all", "web"], "host_vars": []})
    assert [str(fault).replace(f"{tmp_path}/", "") for fault in found] == [
        "group_vars/all.yml:1:1: these variables have no effect: Ansible does not read it, because group_vars/all is a folder. Move it there.",
        "group_vars/services.yml:1:1: these variables have no effect: there is no group services, and they concern all. Move the file to "
        "group_vars/all/.",
        "group_vars/wbe.yml:1:1: these variables have no effect: there is no group wbe: did you mean web?",
    ]


def test_an_encrypted_file_is_no_fault_where_there_is_a_password(inventory, monkeypatch):
    monkeypatch.setattr(inventory_files.context, "CLIARGS", {"ask_vault_pass": True})
    assert inventory(**{"all.yml": "$ANSIBLE_VAULT;1.1;AES256\n6162\n"}) == []


def test_a_link_to_nothing_is_told(inventory, tmp_path):
    inventory(**{"all/a.yml": SERVICES})
    (tmp_path / "group_vars/all/b.yml").symlink_to("/nowhere/b.yml")
    (found,) = inventory_files.faults(str(tmp_path))
    assert str(found).endswith("group_vars/all/b.yml:1:1: the file is a link to nothing. Remove it, or mend it.")


def test_an_inventory_of_json_is_read_for_duplicate_keys(tmp_path):
    (tmp_path / "hosts.json").write_text('{"all": {"vars": {"lvs_services": [{"port": 80, "port": 81}]}}}')
    (found,) = inventory_files.faults(str(tmp_path / "hosts.json"))
    assert "hosts.json:1:" in str(found) and "duplicate key port" in str(found)


def test_variables_of_a_group_in_the_inventorys_own_file_count_less_than_those_of_all(tmp_path):
    (tmp_path / "hosts.yml").write_text(
        "all:\n  children:\n    web:\n      vars: {lvs_keeper: false}\n      hosts: {rs1: }\n"
    )
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text("lvs_keeper: true\n")
    (tmp_path / "group_vars/web.yml").write_text("x: 1\n")
    (found,) = inventory_files.faults(str(tmp_path))
    assert "group_vars/all.yml:1:1: lvs_keeper is set in hosts.yml:4, too" in str(found)


def test_of_a_playbooks_folder_only_variable_files_are_looked_at(tmp_path):
    (tmp_path / "site.yml").write_text("a: [\n")
    assert inventory_files.faults(str(tmp_path)) == []


def test_of_an_inventory_that_is_a_file_nothing_else_in_its_folder_is_looked_at(tmp_path):
    (tmp_path / "group_vars").mkdir()
    for name in ("one.yml", "two.yml", "old.yml"):
        (tmp_path / name).write_text("all: {}\n")
    one, two = (str(tmp_path / name) for name in ("one.yml", "two.yml"))
    assert inventory_files.sources(str(tmp_path), [two, one, "/elsewhere/hosts.yml", "lb1,lb2"]) == [two, one]
    assert inventory_files.sources(str(tmp_path), [str(tmp_path)]) == [str(tmp_path)]
    assert inventory_files.sources(str(tmp_path / "group_vars"), [one]) == [str(tmp_path / "group_vars")]


def validated(inventory):
    """What a run says that fails."""
    command = [Path(sys.executable).parent / "ansible-playbook", "playbooks/validate.yml", "-i", inventory]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert run.returncode
    return run.stdout + run.stderr


def test_a_run_ends_with_all_places_before_a_host_is_touched(tmp_path):
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "hosts.yml").write_text("all: {hosts: {lb1: }}\n")
    (tmp_path / "group_vars/all.yml").write_text(SERVICES.replace("80", "{{ port }}"))
    said = validated(tmp_path)
    assert f"{tmp_path}/group_vars/all.yml:3:11: a template begins the value. Put it into quotes." in said
    assert "No host was touched." in said


def test_an_inventory_of_one_file_is_looked_at_too(tmp_path):
    (tmp_path / "hosts.yml").write_text("all:\n  vars: {lvs_services: [{port: 0443, port: 443}]}\n  hosts: {lb1: }\n")
    said = validated(tmp_path / "hosts.yml")
    assert f"{tmp_path}/hosts.yml:2:32: YAML reads 0443 as a number of base 8" in said
    assert f"{tmp_path}/hosts.yml:2:38: duplicate key port" in said
