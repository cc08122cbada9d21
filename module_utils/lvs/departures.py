"""What becomes of the packets where a host has left what lvskit brought it to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import modules
from .host_plan import HostPlan

# Kind of state, as lvs_state calls it, and beginning of the command that leads back, to what happens without it.
_WITHOUT = (
    ("addresses and routes", "ip address replace", "the host does not take packets for this address"),
    ("addresses and routes", "ip address del", "the host takes packets for an address that is not its own any more"),
    ("addresses and routes", "ip link set", "packets for this device are dropped"),
    ("addresses and routes", "ip route del", "packets take a way that is not planned"),
    ("addresses and routes", "ip rule del", "packets take a way that is not planned"),
    ("addresses and routes", "ip route", "replies do not go by the director"),
    ("addresses and routes", "ip rule", "replies do not go by the director"),
    ("IPVS table", "ipvsadm -A", "the director does not forward requests for it: they end there"),
    ("IPVS table", "ipvsadm -E", "requests are given out otherwise than planned"),
    ("IPVS table", "ipvsadm -a", "this real server gets no requests"),
    (
        "IPVS table",
        "ipvsadm -e",
        "this real server gets another share of the requests than planned, none with weight 0",
    ),
    ("IPVS table", "ipvsadm -d", "a host gets requests that is no real server of the service"),
    ("IPVS table", "ipvsadm -D", "a service is forwarded that is not planned"),
    ("iptables rules", "", "packets are not translated or guarded as planned"),
    ("module parameters", "", "the module acts on other addresses than planned"),
    ("unit", "", "a reboot does not bring this state back"),
    ("systemd", "", "a reboot does not bring this state back"),
)


def described(plan: HostPlan, departed: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str, str, bool]]:
    """Subject, found, needed, consequence, and whether that is only a risk, of each thing that a host has left.

    `departed` is what lvs_inspect says of it. Kernel settings that the plan has are told by their effective values elsewhere.
    """
    settings = {setting.key for setting in plan.sysctls}
    for kind in departed:
        title = str(kind["kind"])
        if kind["obstacle"]:
            yield title, "something in the way", "what lvskit keeps there", str(kind["obstacle"]), False
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
    """Those of the commands that make a rule which is not there: a chain is written anew as a whole."""
    there = {line.partition(" -A ")[2] for line in kind["before"]}
    chains = {line.partition(" -A ")[2].partition(" ")[0] for line in kind["before"]}
    missing = []
    for command in kind["commands"]:
        if command.partition(" -A ")[2] in there or command.partition(" -N ")[2] in chains:
            continue
        missing.append(command)
    return missing or list(kind["commands"][:1])


def sentence(text: str) -> str:
    """Half a sentence as a whole one."""
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
    """What there is in place of what the command makes."""
    if command.startswith("ipvsadm -e") or command.startswith("ipvsadm -E"):
        start = " ".join(["-a" if "-e" in command else "-A", *command.split()[2 : 6 if "-e" in command else 4]])
        return next((line for line in before if line.startswith(start)), "something else")
    if command.startswith("systemctl"):
        return "that is still to be done"
    if " del " in f" {command} " or command.startswith(("ipvsadm -d", "ipvsadm -D")):
        return "it is there"
    if " = " in command:
        start = command.partition(" = ")[0]
        return next((line for line in before if line.startswith(f"{start} = ")), "nothing")
    return "it is not there"


def _consequence(title: str, command: str) -> str:
    if command.startswith("modprobe"):
        return modules.without(command.split()[1])
    if title == "iptables rules" and "--to-source" in command:
        return "requests leave from the client's address instead of a local one, and replies pass the director by"
    for kind, start, text in _WITHOUT:
        if title.startswith(kind) and command.startswith(start):
            return text
    return "the host is not as it was left"
