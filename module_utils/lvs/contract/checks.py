"""Health checks of services, and the server that takes over when no real server passes its check."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .hosts import Host
from .key import Keyed, key
from .ports import PORT
from .values import Choice, Fault, Kind, Name, Number, OneOrMore, Text

SECONDS = "seconds"
# keepalived reads a string to the next quote, and has no way to write a quote in one.
LINE = Text(
    pattern=r'[^"\x00-\x1f\x7f]+', otherwise="has a quotation mark or a control character, which keepalived cannot read"
)
WORD = Text(
    pattern=r'[^"\s\x00-\x1f\x7f]+',
    otherwise="has a blank, a quotation mark or a control character, with which it is no name",
)
PATH = Text(
    pattern=r'/[^"#\s\x00-\x1f\x7f]*',
    otherwise="is no path of a request: it begins with /, and has no blanks, quotation marks or # (write it like /healthz)",
)
HOST = Text(
    pattern=r'[^"/\s\x00-\x1f\x7f]+',
    otherwise="is no value of the Host header: a name, or a name and a port (write it like shop.example.com)",
)


@dataclass(frozen=True)
class CheckType:
    """One row of the table of checks: how keepalived asks, and what a check of this type can have.

    `protocols`: the transport protocols that it uses; a service without one of them needs `port`, or another type. `ways`: see
    HealthCheck.way. `keys`: the keys of HealthCheck that are for this type alone. `proves`: what a passed check says.
    """

    name: str
    block: str
    protocols: tuple[str, ...]
    ways: tuple[str, ...]
    keys: tuple[str, ...]
    proves: str


CHECKS = (
    CheckType("tcp", "TCP_CHECK", ("tcp",), ("vip", "rip"), (), "a connection can be opened"),
    CheckType(
        "http",
        "HTTP_GET",
        ("tcp",),
        ("vip", "rip"),
        ("path", "host", "status", "digest", "match"),
        "the answer to a GET request has the status, and the content where `digest` or `match` says one",
    ),
    CheckType(
        "https",
        "SSL_GET",
        ("tcp",),
        ("vip", "rip"),
        ("path", "host", "status", "digest", "match"),
        "the same inside TLS. `host` is sent as the server's name, too (SNI). The certificate is not verified: an expired or foreign one passes",
    ),
    CheckType(
        "dns",
        "DNS_CHECK",
        ("udp",),
        ("vip", "rip"),
        ("query", "query_type"),
        "the server answers a query without an error",
    ),
    CheckType("smtp", "SMTP_CHECK", ("tcp",), ("vip", "rip"), ("helo",), "the server greets and answers HELO"),
    CheckType(
        "udp",
        "UDP_CHECK",
        ("udp",),
        ("vip", "rip"),
        ("payload", "reply"),
        "the answer to a datagram begins with `reply`. Debian 11's keepalived has no `payload`",
    ),
    CheckType(
        "ping",
        "PING_CHECK",
        (),
        ("rip",),
        (),
        "the host answers ICMP echo; its application may be down",
    ),
    CheckType(
        "script",
        "MISC_CHECK",
        (),
        ("vip", "rip"),
        ("command",),
        "the command ends with 0. It runs as root and has VIP, RIP, PORT and MARK in its environment",
    ),
)
BY_TYPE: Mapping[str, CheckType] = {check.name: check for check in CHECKS}
_OTHER_TYPES = tuple(
    (word, "CHECK-TYPE", f"is no type of check: lvskit's word for it is {name}")
    for name, words in {
        **{check.name: (check.block,) for check in CHECKS},
        "tcp": ("TCP_CHECK", "connect", "tcpSocket"),
        "http": ("HTTP_GET", "httpGet", "negotiate"),
        "https": ("SSL_GET",),
        "ping": ("PING_CHECK", "icmp", "ICMP"),
        "script": ("MISC_CHECK", "exec", "external", "external-check", "misc"),
    }.items()
    for word in words
)
QUERY_TYPES = ("A", "AAAA", "NS", "CNAME", "SOA", "MX", "TXT")


class Statuses(NamedTuple):
    """A range of HTTP status codes, both ends in it."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True)
class Status(Kind):
    """A status code of HTTP, or a range such as 200-299."""

    @property
    def words(self) -> str:
        return "100 to 599, or a range as `200-299`"

    def read(self, value: Any) -> Statuses:
        one = Number("VALUE-RANGE", 100, 599)
        first, _, last = str(value).partition("-")
        found = Statuses(one.read(first.strip()), one.read((last or first).strip()))
        if found.first > found.last:
            raise Fault("VALUE-RANGE", f"ends before it begins. Write {found.last}-{found.first}")
        return found

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "integer", "minimum": 100, "maximum": 599}, {"type": "string"}]}


@dataclass(frozen=True)
class Expression(Kind):
    """A regular expression of PCRE, which knows more than Python's: only what none of them reads is refused."""

    _UNREADABLE = (
        "missing ), unterminated",
        "unbalanced parenthesis",
        "unterminated character set",
        "nothing to repeat",
        "multiple repeat",
    )

    @property
    def words(self) -> str:
        return LINE.words

    def read(self, value: Any) -> str:
        text = LINE.read(value)
        try:
            re.compile(text)
        except re.error as error:
            if error.msg.startswith(self._UNREADABLE):
                raise Fault("VALUE-TYPE", f"is no regular expression: {error.msg}") from None
        return text

    def schema(self) -> dict[str, Any]:
        return LINE.schema()

    def spec(self) -> dict[str, Any]:
        return LINE.spec()


@dataclass(frozen=True)
class Command(Kind):
    """A program with its arguments, as keepalived starts it: no shell reads the line."""

    @property
    def words(self) -> str:
        return LINE.words

    def read(self, value: Any) -> str:
        text = LINE.read(value)
        words = shlex.shlex(text, posix=True, punctuation_chars="|&;<>()")
        words.whitespace_split = True
        words.commenters = ""
        try:
            found = list(words)
        except ValueError:
            raise Fault("VALUE-TYPE", "has a quote that does not end. Add the second one") from None
        for word in found:
            if (word and not word.strip("|&;<>()")) or re.search(r"\$[A-Za-z_({]|`", word):
                raise Fault(
                    "VALUE-TYPE",
                    f"has {word}, which only a shell understands, and no shell reads the command. Write a script, and name it",
                )
        return text

    def schema(self) -> dict[str, Any]:
        return LINE.schema()

    def spec(self) -> dict[str, Any]:
        return LINE.spec()


@dataclass(frozen=True)
class Percent(Kind):
    """A share such as 50%, from 0% to 100%. The model has the number."""

    @property
    def words(self) -> str:
        return "`0%` to `100%`"

    def read(self, value: Any) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not text.endswith("%"):
            raise Fault("VALUE-TYPE", "is no share (write it like 50%)")
        return Number("VALUE-RANGE", 0, 100).read(text[:-1].strip())

    def shown(self, value: Any) -> str:
        return f"{value}%"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^\s*[0-9]{1,3}\s*%\s*$|\{\{|\{%"}

    def spec(self) -> dict[str, Any]:
        return {"type": "str"}


@dataclass(frozen=True, kw_only=True)
class HealthCheck(Keyed):
    """How a service's real servers are asked whether they are healthy."""

    type: str = key(Choice("CHECK-TYPE", tuple(BY_TYPE), _OTHER_TYPES), "what is asked: see [health.md](health.md)")
    way: str | None = key(
        Choice("VALUE-CHOICE", ("vip", "rip")),
        "`vip`: the check goes to the VIP, and IPVS forwards it to the real server as it forwards requests. It fails, too, if the "
        "real server has lost the VIP, its tunnel or its kernel module. `rip`: it goes to the real server's own address",
        None,
        absent="`vip`; ping: `rip`",
    )
    ports: tuple[int, ...] = key(
        OneOrMore(PORT),
        "the port that is asked, of several each: all must pass. As clients know it: it is mapped as theirs are",
        (),
        name="port",
        absent="the service's first port",
    )
    interval: int = key(Number("VALUE-RANGE", 1, 3600, unit=SECONDS), "seconds from one check to the next", 3)
    timeout: int = key(Number("VALUE-RANGE", 1, 300, unit=SECONDS), "how long an answer may take", 2)
    retries: int = key(
        Number("VALUE-RANGE", 0, 20), "how often a failed check is repeated, after one second each, before it counts", 1
    )
    rise: int = key(
        Number("VALUE-RANGE", 1, 100),
        "how many checks in sequence a failed server must pass before it is used again",
        1,
    )
    slow_start: int = key(
        Number("VALUE-RANGE", 0, 3600, unit=SECONDS),
        "how long the weight of a server that returns grows to its full value",
        0,
    )
    path: str | None = key(PATH, "http, https: the path that is requested", None, absent="`/`")
    host: str | None = key(HOST, "http, https: the Host header", None, absent="the VIP")
    status: tuple[Statuses, ...] = key(
        OneOrMore(Status()), "http, https: the status codes that pass", (), absent="`200-299`"
    )
    digest: str | None = key(
        Text(pattern="[0-9a-fA-F]{32}", otherwise="is no MD5 sum of 32 hexadecimal digits"),
        "http, https: the MD5 sum of the content (`genhash` of keepalived prints it)",
        None,
    )
    match: str | None = key(
        Expression(), "http, https: a regular expression (PCRE) that the content must contain", None
    )
    query: str | None = key(WORD, "dns: the name that is asked for", None, absent="`.`")
    query_type: str | None = key(Choice("VALUE-CHOICE", QUERY_TYPES), "dns: the type of record", None, absent="`SOA`")
    helo: str | None = key(WORD, "smtp: the name in HELO", None, absent="the director's name")
    payload: str | None = key(
        Text(pattern="([0-9a-fA-F]{2})+", otherwise="is not pairs of hexadecimal digits"),
        "udp: what is sent, in hexadecimal digits",
        None,
        absent="an empty datagram",
    )
    reply: str | None = key(
        Text(pattern="([0-9a-fA-F]{2})+", otherwise="is not pairs of hexadecimal digits"),
        "udp: what the answer begins with, in hexadecimal digits. A check without it cannot tell a dead host from a silent service",
        None,
    )
    command: str | None = key(
        Command(), "script: the command with its arguments; an absolute path on the director", None
    )
    source: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def kind(self) -> CheckType:
        return BY_TYPE[self.type]

    @property
    def by_vip(self) -> bool:
        """Whether checks take the way of requests."""
        return (self.way or self.kind.ways[0]) == "vip"

    @property
    def detection(self) -> int:
        """Seconds from the death of a host, at worst, until it counts as failed: every attempt waits for its timeout."""
        return self.interval + self.timeout + self.retries * (RETRY_DELAY + self.timeout)

    @property
    def hold(self) -> int:
        """Seconds for which a failed server must pass before it is used again."""
        return (self.rise - 1) * self.interval

    def at(self, name: str) -> Any:
        """The inventory's value of a key, which has a place there."""
        return self.source.get(name, self.source.get("type"))


RETRY_DELAY = 1  # seconds between a failed attempt and the next one


@dataclass(frozen=True, kw_only=True)
class SorryServer(Keyed):
    """The host that gets all requests while no real server of a service passes its check."""

    host: Host = key(Name("host"), "a host that serves as the service's real servers do, in the same mode")
    port: int | None = key(PORT, "the port it listens on", None, absent="the service's")
    at: Any = field(default=None, compare=False, repr=False)
