"""An earlier run, and the present one."""

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

EARLIER = "2026-01-01T00:00:00Z"


def main():
    runs = {EARLIER: "", (Path(os.environ["STAND_IN"]) / "run").read_text(): ""}
    AnsibleModule({}, supports_check_mode=True).exit_json(changed=False, runs=runs, since=EARLIER, unreadable={})


main()
