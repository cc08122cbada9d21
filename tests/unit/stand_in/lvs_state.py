"""Takes the arguments of lvs_state, changes nothing, and notes the call."""

import json
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host.kinds import TEXTS

FOLDER = Path(os.environ["STAND_IN"])


def main():
    spec = {name: {"type": "str"} for name in (*TEXTS, "run", "revision", "to")}
    spec.update({name: {"type": "bool"} for name in ("remove", "purge_foreign")})
    spec.update(programs={"type": "list"}, interfaces={"type": "dict"}, drain_timeout={"type": "int"})
    module = AnsibleModule(spec, supports_check_mode=True)
    given = module.params
    with (FOLDER / "log").open("a") as log:
        log.write(json.dumps(["state", os.environ["HOST"], given["to"], given["remove"], module.check_mode]) + "\n")
    if not given["to"]:
        (FOLDER / "run").write_text(given["run"])
    module.exit_json(changed=False, commands=[], stale=[], drift=[], foreign=[], missing_programs=[])


main()
