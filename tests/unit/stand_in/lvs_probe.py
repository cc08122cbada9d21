"""Answers as $STAND_IN/probe.json says, and notes what was asked.

Its keys are the host and when it asks, its values the requests of each service that are answered: `all`, `none`, or the last one.
"""

import json
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

FOLDER = Path(os.environ["STAND_IN"])


def main():
    spec = {"requests": {"type": "list", "elements": "dict"}, "until_answered": {"type": "bool"}}
    spec.update({name: {"type": "float"} for name in ("timeout", "seconds", "parallel")})
    given = AnsibleModule({**spec, "path": {"type": "str"}}, supports_check_mode=True)
    requests = given.params["requests"]
    when = "before" if given.params["timeout"] == 1 else "after"
    if " of " in requests[0]["service"]:
        when = "real_servers"
    said = json.loads((FOLDER / "probe.json").read_text()).get(f"{os.environ['HOST']} {when}", {})
    with (FOLDER / "log").open("a") as log:
        log.write(json.dumps(["probe", os.environ["HOST"], when, {r["service"]: r["count"] for r in requests}]) + "\n")
    connections = [
        {"service": request["service"], "error": "" if answered(said, request, number) else "timed out"}
        for request in requests
        for number in range(request["count"])
    ]
    given.exit_json(changed=False, connections=connections, unasked=[])


def answered(said, request, number):
    how = said.get(request["service"], "all")
    return how == "all" or (how == "last" and number == request["count"] - 1)


main()
