"""Takes the arguments of lvs_election, and notes the call: a master that gives up makes lb1 or lb2, the other one, master."""

import json
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

FOLDER = Path(os.environ["STAND_IN"])


def main():
    module = AnsibleModule({"role": {"type": "str"}, "groups": {"type": "list"}})
    given, host = module.params, os.environ["HOST"]
    with (FOLDER / "log").open("a") as log:
        log.write(json.dumps(["election", host, given["role"], given["groups"]]) + "\n")
    if given["role"] == "backup":
        (FOLDER / "master").write_text({"lb1": "lb2", "lb2": "lb1"}[host])
    module.exit_json(changed=True, groups=given["groups"])


main()
