"""Kernel settings, recorded in sysctl.d(5).

The effective value counts. For a setting of an interface it is often a combination with `conf/all`
(Documentation/networking/ip-sysctl.rst), so the written value alone is not sufficient. IPv6 combines few of them. There
`conf/all/forwarding` alone decides whether packets are forwarded; writing it also writes the value of every interface, and 1
removes the default routes that router advertisements have set, except those of an interface whose accept_ra is 2.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence

from . import files, kinds
from .errors import HostError, damaged
from .programs import CommandRunner
from .resource import Resource, statements

ROOT = "/proc/sys"


def _either(own: int, all_interfaces: int) -> int:
    return int(bool(own or all_interfaces))


_COMBINED: dict[str, dict[str, Callable[[int, int], int]]] = {
    "net/ipv4": {"arp_ignore": max, "arp_announce": max, "rp_filter": max, "send_redirects": _either},
    "net/ipv6": {"accept_dad": max, "proxy_ndp": _either},
}
# Values that are as good as the wanted one: arp_ignore=2 hides a VIP on lo as 1 does.
_EQUIVALENT = {("arp_ignore", 1): {1, 2}}
# Limits: a larger value does no harm, and a smaller one would affect other software.
_AT_LEAST = {"nf_conntrack_max", "nf_conntrack_buckets"}


def parse(text: str) -> dict[str, int]:
    """Keys with slashes to their values. Raises HostError for a line that is not a setting."""
    settings = {}
    for line in statements(text):
        key, _, value = line.partition("=")
        try:
            settings[key.strip()] = int(value)
        except ValueError:
            raise HostError(f"kernel settings: cannot read the line `{line}`") from None
    return settings


def effective(key: str, own: int, all_interfaces: int | None) -> int:
    """The value the kernel uses for `key`, given its own value and that of conf/all."""
    combine = _combination(key)
    return own if combine is None or all_interfaces is None else int(combine(own, all_interfaces))


def _combination(key: str) -> Callable[[int, int], int] | None:
    family, _, rest = key.partition("/conf/")
    return _COMBINED.get(family, {}).get(rest.rpartition("/")[2])


def serves(key: str, wanted: int, used: int) -> bool:
    """Whether the effective value `used` is as good as `wanted` for `key`."""
    name = key.rpartition("/")[2]
    return used >= wanted if name in _AT_LEAST else used in _EQUIVALENT.get((name, wanted), {wanted})


def sibling(key: str) -> str | None:
    """The conf/all counterpart of an interface's setting, None where the kernel does not look at it."""
    head, found, rest = key.partition("/conf/")
    if not found or rest.startswith("all/") or (head == "net/ipv6" and _combination(key) is None):
        return None
    return f"{head}/conf/all/{rest.rpartition('/')[2]}"


class Sysctls(Resource):
    title = kinds.SYSCTLS.title
    path = kinds.SYSCTLS.path
    originals_path = "/var/lib/lvskit/sysctls.json"  # what each setting was before lvskit changed it

    def __init__(self, wanted: str, recorded: str, run: CommandRunner) -> None:
        super().__init__(wanted, recorded, run)
        self.settings: dict[str, int] = {}
        self.live: dict[str, int | None] = {}
        self.originals: dict[str, int] = {}

    def prepare(self) -> None:
        self.of_record(parse)  # refused before anything is changed
        self.settings = parse(self.wanted)
        self.originals = _load(self.originals_path)
        self.live = {key: read(key) for key in {**self.settings, **self.originals}}
        for key, wanted in self.settings.items():
            other = sibling(key)
            if other is None:
                continue
            combined = self.settings.get(other, read(other))
            used = effective(key, wanted, combined)
            if not serves(key, wanted, used):
                raise HostError(
                    f"{key} is to be {wanted}, but {other} is {combined} and the kernel combines both to {used}. "
                    f"Find what sets it (grep -r {other.rpartition('/')[2]} /etc/sysctl.d /etc/sysctl.conf "
                    "/run/sysctl.d /usr/lib/sysctl.d) and set it to 0, on the running system too."
                )

    def before(self) -> list[str]:
        return [f"{key} = {value}" for key, value in self.live.items() if value is not None]

    def after(self) -> list[str]:
        settings = {key: self.settings.get(key, self.originals.get(key)) for key in self.live}
        return [f"{key} = {value}" for key, value in settings.items()]

    def additions(self) -> list[str]:
        return [f"{key} = {value}" for key, value in self.settings.items() if not self._has(key, value)]

    def _has(self, key: str, wanted: int) -> bool:
        live = self.live.get(key)
        return live is not None and serves(key, wanted, live)

    def stale(self) -> list[str]:
        recorded = self.of_record(parse)
        return [f"{key} = {recorded[key]}" for key in self.originals if key not in self.settings and key in recorded]

    def removals(self) -> list[str]:
        gone = {key: value for key, value in self.originals.items() if key not in self.settings}
        return [f"{key} = {value}" for key, value in gone.items() if self.live.get(key) not in (None, value)]

    def add(self) -> None:
        changed = parse("\n".join(self.additions()))
        before = {key: read(key) for key in changed}
        known = {**{key: value for key, value in before.items() if value is not None}, **self.originals}
        if known != self.originals:
            _store(self.originals_path, known)
            self.originals = known
        super().add()

    def remove(self) -> None:
        super().remove()
        kept = {key: value for key, value in self.originals.items() if key in self.settings}
        if kept != self.originals:
            _store(self.originals_path, kept)

    def batch(self, commands: Sequence[str]) -> None:
        for key, value in parse("\n".join(commands)).items():
            try:
                with open(files.place(os.path.join(ROOT, key)), "w", encoding="ascii") as file:
                    file.write(f"{value}\n")
            except OSError as error:
                raise HostError(f"kernel settings: cannot set {key} to {value}: {error.strerror}") from error


def read(key: str) -> int | None:
    """The live value, or None if the kernel has no such setting (yet)."""
    try:
        with open(files.place(os.path.join(ROOT, key)), encoding="ascii") as file:
            return int(file.read().split()[0])
    except FileNotFoundError:
        return None


def _load(path: str) -> dict[str, int]:
    remedy = "Remove it and run again; sysctls that the plan no longer contains then keep their present values"
    text = files.read(path, remedy)
    try:
        return {str(key): int(value) for key, value in dict(json.loads(text or "{}")).items()}
    except (TypeError, ValueError) as error:
        raise damaged(path, error, remedy) from error


def _store(path: str, values: dict[str, int]) -> None:
    files.stage(path, json.dumps(values, indent=1, sort_keys=True))
    files.keep(path)
