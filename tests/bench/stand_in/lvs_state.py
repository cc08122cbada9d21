"""Takes the arguments of lvs_state and changes nothing: what is measured is the controller."""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host.kinds import TEXTS


def main():
    spec = {name: {"type": "str"} for name in (*TEXTS, "run", "revision", "to")}
    spec.update({name: {"type": "bool"} for name in ("remove", "purge_foreign")})
    spec.update(programs={"type": "list"}, interfaces={"type": "dict"}, drain_timeout={"type": "int"})
    module = AnsibleModule(spec, supports_check_mode=True)
    module.exit_json(changed=False, commands=[], stale=[], drift=[], foreign=[], missing_programs=[])


main()
