"""The effect on packets where a host differs from its files of record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import modules
from .host_plan import HostPlan

# Title of the kind of state, beginning of the command that restores it, and the effect without it.
_WITHOUT = (
    ("addresses and routes", "ip address replace", "the host does not accept packets for this address"),
    ("addresses and routes", "ip address del", "the host accepts packets for an address that it should no longer have"),
    ("addresses and routes", "ip link set", "packets for this device are dropped"),
    ("addresses and routes", "ip route del", "packets take a route that is not planned"),
    ("addresses and routes", "ip rule del", "packets take a route that is not planned"),
    ("addresses and routes", "ip route", "replies do not pass the director"),
    ("addresses and routes", "ip rule", "replies do not pass the director"),
    ("IPVS table", "ipvsadm -A", "the director does not forward requests for it"),
    ("IPVS table", "ipvsadm -E", "the director distributes requests differently than planned"),
    ("IPVS table", "ipvsadm -a", "this real server gets no requests"),
    (
        "IPVS table",
        "ipvsadm -e",
        "this real server gets a different share of the requests than planned, none with weight 0",
    ),
    ("IPVS table", "ipvsadm -d", "a host that is not a real server of the service gets requests"),
    ("IPVS table", "ipvsadm -D", "the director forwards a service that is not planned"),
    ("iptables rules", "", "packets are not translated or filtered as planned"),
    ("module parameters", "", "the module processes other addresses than planned"),
    ("unit", "", "a reboot does not restore this state"),
    ("systemd", "", "a reboot does not restore this state"),
)


def described(plan: HostPlan, departed: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str, str, bool]]:
    """Subject, found, needed, consequence, and whether it is only a risk, of each difference.

    `departed` are the differences that lvs_inspect reports. findings.py reports sysctls of the plan by their effective values.
    """
    settings = {setting.key for setting in plan.sysctls}
    for kind in departed:
        title = str(kind["kind"])
        if kind["obstacle"]:
            yield title, "it cannot be restored", "the state of the file of record", str(kind["obstacle"]), False
        for command in _missing_rules(kind) if title == "iptables rules" else kind["commands"]:
            if title == "kernel settings" and command.partition(" ")[0] in settings:
                continue
            yield (
                _subject(title, command),
                _found(command, kind["before"]),
                command,
                sentence(_consequence(title, command)),
                title.startswith(("unit", "systemd")),
            )


def _missing_rules(kind: Mapping[str, Any]) -> list[str]:
    """The commands that create a missing rule: the whole chain is rewritten."""
    there = {line.partition(" -A ")[2] for line in kind["before"]}
    chains = {line.partition(" -A ")[2].partition(" ")[0] for line in kind["before"]}
    missing = []
    for command in kind["commands"]:
        if command.partition(" -A ")[2] in there or command.partition(" -N ")[2] in chains:
            continue
        missing.append(command)
    return missing or list(kind["commands"][:1])


def sentence(text: str) -> str:
    """Makes a sentence of a clause."""
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _subject(title: str, command: str) -> str:
    words = command.split()
    if command.startswith("ip address"):
        return f"address {words[3].partition('/')[0]} on {words[5]}"
    if command.startswith("modprobe"):
        return f"kernel module {words[1]}"
    if command.startswith("ipvsadm"):
        server = f", real server {words[5]}" if words[4:5] == ["-r"] else ""
        return f"IPVS service {' '.join(words[2:4])}{server}"
    return title


def _found(command: str, before: Sequence[str]) -> str:
    """The state that the command would replace."""
    if command.startswith("ipvsadm -e") or command.startswith("ipvsadm -E"):
        start = " ".join(["-a" if "-e" in command else "-A", *command.split()[2 : 6 if "-e" in command else 4]])
        return next((line for line in before if line.startswith(start)), "something else")
    if command.startswith("systemctl"):
        return "not done"
    if " del " in f" {command} " or command.startswith(("ipvsadm -d", "ipvsadm -D")):
        return "present"
    if " = " in command:
        start = command.partition(" = ")[0]
        return next((line for line in before if line.startswith(f"{start} = ")), "nothing")
    return "missing"


def _consequence(title: str, command: str) -> str:
    if command.startswith("modprobe"):
        return modules.without(command.split()[1])
    if title == "iptables rules" and "--to-source" in command:
        return "requests leave from the client's address instead of a local one, and replies bypass the director"
    for kind, start, text in _WITHOUT:
        if title.startswith(kind) and command.startswith(start):
            return text
    return "the host differs from the last applied plan"
