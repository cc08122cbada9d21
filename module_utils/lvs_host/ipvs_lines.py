"""The lines of ipvsadm(8): how a service is named in them, and in which order options stand."""

from __future__ import annotations

_SERVICE_FLAGS = {
    "-t": "-t",
    "--tcp-service": "-t",
    "-u": "-u",
    "--udp-service": "-u",
    "--sctp-service": "--sctp-service",
    "-f": "-f",
    "--fwmark-service": "-f",
}
# The options of a service and of a real server, in the order in which ipvsadm writes them; others follow.
OPTIONS = ("-s", "-p", "-M", "--pe", "-o", "-b", "-g", "-m", "-i", "-w", "-x", "-y")

# Flag and address: ("-t", "203.0.113.80:80"), ("-t", "[2001:db8::80]:80"), ("-f", "1811939329"), for IPv6 ("-f", "1811939329 -6").
ServiceKey = tuple[str, str]


def split(line: str) -> tuple[str, ServiceKey, str]:
    """The command, the service and what follows it. Raises KeyError, IndexError or ValueError for what is not a line of ipvsadm's."""
    command, option, address, *after = line.split(None, 3)
    flag, rest = _SERVICE_FLAGS[option], "".join(after)
    if flag == "-f":
        address = str(int(address) % 2**32)  # ipvsadm writes large marks as negative numbers
        family, _, others = rest.partition(" ")
        if family == "-6":
            return command, (flag, f"{address} -6"), others
    return command, (flag, address), rest
