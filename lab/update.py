"""Updates of running machines: files that follow from the inventory, and the demo application's ports.

What was provisioned on a machine stays, and so do its open connections.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace

from lab import identity, paths, records
from lab.errors import LabError
from lab.machines import AGENT_SECONDS, each, execute, running
from lab.paths import State
from lab.progress import Progress
from lab.spec import Host, Lab


def serve(state: State, lab: Lab, keep: bool, progress: Progress) -> None:
    """Have the demo application serve the ports of the inventory's services, on machines that run; nothing else changes.

    With `keep` it goes on to serve those that it has: requests for them arrive until the directors have their new plans.
    Raises LabError, naming them, when hosts of the inventory do not run.
    """
    with paths.locked(state.folder / "lock", paths.BUSY):
        present = records.read(state)
        down = [host.name for host in lab.hosts if host.name not in present or not running(state, host.name)]
        if down:
            raise LabError(f"{', '.join(down)} does not run: start what the inventory describes with `make lab`")
        wanted = {host.name: identity.with_ports(present[host.name].files, host.serves, keep) for host in lab.hosts}
        bring(state, lab, wanted, progress)


def bring(state: State, lab: Lab, wanted: Mapping[str, Mapping[str, str]], progress: Progress) -> bool:
    """Bring machines to the files that are wanted, by host; whether any had others. The caller holds the lab's lock."""
    present = records.read(state)
    changes = {name: identity.changes(present[name].files, files) for name, files in wanted.items()}
    hosts = [host for host in lab.hosts if changes.get(host.name)]
    if not hosts:
        return False

    def write(host: Host) -> None:
        execute(state, host, identity.update_script(present[host.name].files, wanted[host.name]))

    def check(host: Host) -> None:
        network = identity.changes_network(changes[host.name])
        script = identity.check_script(lab, host) if network else identity.application_check(host)
        execute(state, host, script, AGENT_SECONDS + identity.READY_SECONDS)

    unsure = {host.name: {**present[host.name].files, **dict.fromkeys(changes[host.name], "")} for host in hosts}
    records.write(state, {**present, **{name: replace(present[name], files=files) for name, files in unsure.items()}})
    each(hosts, write, state)
    records.write(
        state, {**present, **{host.name: replace(present[host.name], files=wanted[host.name]) for host in hosts}}
    )
    for host in hosts:
        _report(host, changes[host.name], wanted[host.name], progress)
    each(hosts, check, state)
    return True


def _report(host: Host, changed: Set[str], files: Mapping[str, str], progress: Progress) -> None:
    if identity.APP in changed:
        ports = identity.application_ports(files)
        served = " and ".join(
            f"{protocol} {', '.join(map(str, ports[protocol]))}" for protocol in ports if ports[protocol]
        )
        progress(f"{host.name}: the demo application serves {served or 'no port'}")
    if identity.changes_network(changed):
        progress(
            f"{host.name}: new addresses. systemd-networkd has read them, and removed the routes and policy rules that "
            "others had added; `make site` adds those of the plan again"
        )
