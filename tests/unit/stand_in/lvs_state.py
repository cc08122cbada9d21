"""Takes the arguments of lvs_state, changes nothing, and notes the call.

$STAND_IN/state.json, where there is one, has by host what is returned besides, such as `stale`.
"""

import json
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lvs_host.kinds import TEXTS

FOLDER = Path(os.environ["STAND_IN"])


def main():
    spec = {name: {"type": "str"} for name in (*TEXTS, "run", "revision", "to")}
    spec.update({name: {"type": "bool"} for name in ("remove", "purge_foreign")})
    spec.update(
        programs={"type": "list"},
        interfaces={"type": "dict"},
        drain_timeout={"type": "int"},
        last_server={"type": "bool"},
    )
    module = AnsibleModule(spec, supports_check_mode=True)
    given = module.params
    with (FOLDER / "log").open("a") as log:
        call = ["state", os.environ["HOST"], given["to"], given["remove"], given["drained"] or "", module.check_mode]
        log.write(json.dumps(call) + "\n")
    if not given["to"]:
        (FOLDER / "run").write_text(given["run"])
    said = FOLDER / "state.json"
    own = json.loads(said.read_text()).get(os.environ["HOST"], {}) if said.exists() else {}
    if "failure" in own:
        module.fail_json(msg=own["failure"])
    usual = {"commands": [], "stale": [], "drift": [], "foreign": [], "missing_programs": [], "notes": [], "diff": []}
    module.exit_json(changed=False, **{**usual, **own})


main()
