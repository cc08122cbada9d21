"""The services of $STAND_IN/recorded, the drained real servers of $STAND_IN/drained, where there is one, and elections.

$STAND_IN/master, where there is one, has the name of the director that is master of the group `directors`.
"""

import json
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

FOLDER = Path(os.environ["STAND_IN"])


def main():
    services = (FOLDER / "recorded").read_text().splitlines()
    said = FOLDER / "drained"
    drained = json.loads(said.read_text()) if said.exists() else {}
    master = FOLDER / "master"
    elections = {"directors": os.environ["HOST"] == master.read_text()} if master.exists() else {}
    AnsibleModule({}, supports_check_mode=True).exit_json(
        changed=False, services=services, drained=drained, elections=elections, passing=[]
    )


main()
