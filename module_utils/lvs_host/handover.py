"""A director gives the addresses of a group up, while its keepalived goes on: another director of the group takes them at once.

keepalived tracks two files for each group. A number in `leave` is a fault: the master says so in its last advert, and another director
takes over within some milliseconds. A negative number in `last` lowers the priority: then it takes the addresses back only when no other
director has them, also where the group's plan has it preferred. Both are 0 after a boot.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Collection, Mapping

from . import election, files, rival
from .errors import HostError, cannot

_FOLDER = "/run/lvskit-vrrp"
LOWER = -200  # from 254 and a little less to 54
PATIENCE = 3.0  # seconds for the advert of another director, beside one interval


def _place(group: str, name: str) -> str:
    return f"{_FOLDER}/{group}.{name}"


def _write(group: str, name: str, number: int) -> None:
    path = _place(group, name)
    try:
        with open(files.place(path), "r+", encoding="ascii") as file:
            file.truncate()
            file.write(f"{number}\n")
    except FileNotFoundError:
        raise HostError(
            f"{path} does not exist, so keepalived does not run, or runs with a plan of before. Run playbooks/site.yml, and see "
            "systemctl status lvskit-vrrp"
        ) from None
    except OSError as error:
        raise cannot("write", path, error) from error


def resigned(groups: Collection[str]) -> list[str]:
    """The groups that this director takes only when no other one has them."""
    return [name for name in groups if (files.read(_place(name, "last"), "") or "0").strip() not in ("", "0")]


def stand_again(groups: Collection[str]) -> list[str]:
    """Takes part in the elections of these groups with the planned priority; returns the groups for which that is a change."""
    found = resigned(groups)
    for name in found:
        _write(name, "last", 0)
    return found


def give_up(
    instances: Mapping[str, election.Instance],
    holds: Callable[[str], bool] = rival.held,
    heard: Callable[[Mapping[str, election.Instance], float], set[str]] | None = None,
) -> None:
    """Gives up these groups, whose master this director is. Raises HostError if no other director takes one; then it has that one again."""
    try:
        for name in instances:
            _write(name, "last", LOWER)
        for name in instances:
            _write(name, "leave", 1)
        taken = (heard or listen)(instances, PATIENCE)
        still = [name for name, instance in instances.items() if holds(instance.token)]
    finally:
        for name in instances:
            _write(name, "leave", 0)
    missing = [name for name in instances if name not in taken or name in still]
    if missing:
        stand_again(missing)
        raise HostError(
            f"no other director has taken the addresses of {', '.join(missing)} within {PATIENCE:g} s, so this one takes them again. See "
            "playbooks/status.yml, and journalctl -u lvskit-vrrp on the others"
        )


def listen(instances: Mapping[str, election.Instance], seconds: float) -> set[str]:
    """The groups of which another director sends adverts as the master; returns when these are all."""
    found: set[str] = set()
    sockets = rival.sockets([one.source for one in instances.values() if one.source])
    until = time.monotonic() + seconds + max((one.interval for one in instances.values()), default=0.0)
    try:
        while len(found) < len(instances) and time.monotonic() < until:
            for one in select.select(sockets, [], [], until - time.monotonic())[0]:
                packet, sender = one.recvfrom(2048)
                said = rival.advert(packet, one.family)
                found |= {
                    name
                    for name, instance in instances.items()
                    if said and said[0] == instance.number and said[1] and sender[0].partition("%")[0] in instance.peers
                }
    finally:
        for one in sockets:
            one.close()
    return found
