"""Variables: of the environment, of hosts, of playbooks and of roles; and their names in version 0.1.0."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .directors import DirectorGroup
from .hosts import Host
from .key import Entries, Key, Named, Nested, keys_of
from .networks import Network
from .services import Needs, Service
from .values import FLAG, TEXT, Choice, Fault, Listing, Names, Number, Text, Texts

_RANGE = "VALUE-RANGE"
_APPLYING = ("site", "drain", "undrain", "teardown")  # those that import apply.yml


@dataclass(frozen=True)
class Batches(Names):
    """How many hosts at a time, one batch after the other: numbers, or percentages of all."""

    def read(self, value: Any) -> list[str]:
        words = super().read(value)
        if not words or any(not re.fullmatch("0*[1-9][0-9]*%?", word) for word in words):
            raise Fault("VALUE-TYPE", "is no list of numbers of hosts, or of percentages (write it like 1,100%)")
        return words


@dataclass(frozen=True, kw_only=True)
class Variable(Key):
    """A variable of playbooks or of a role.

    `playbooks` are those that read it. `old` is its name in version 0.1.0. `given`: the playbooks or another role give it, no
    inventory does. `once`: it says what one run is to do, so it is said on the command line; then what lasts and is said in the
    inventory instead.
    """

    playbooks: tuple[str, ...] = ()
    old: str = ""
    given: bool = False
    once: str = ""


@dataclass(frozen=True)
class Role:
    """A role: its short description, its description, and its variables."""

    name: str
    title: str
    description: str
    variables: tuple[Variable, ...]


ENVIRONMENT: tuple[Key, ...] = (
    Key("lvs_networks", Named(Network, filled=True), "the layer-2 segments, by their names"),
    Key("lvs_services", Entries(Service), "the virtual services"),
    Key(
        "lvs_directors",
        Named(DirectorGroup),
        "the groups of directors of which one takes over when another dies, by their names",
        None,
        absent="a service has one director",
    ),
)

PLAYBOOKS: tuple[Variable, ...] = (
    Variable(
        name="lvs_validate_to",
        kind=Text(path=True),
        default=None,
        absent="nothing is written",
        playbooks=("validate",),
        meaning="a file for every fault and warning as JSON, with its file, line and column",
    ),
    Variable(
        name="lvs_status_services",
        kind=Names("names of services"),
        default=None,
        absent="all",
        playbooks=("status",),
        meaning="the services to show",
    ),
    Variable(
        name="lvs_status_to",
        kind=Text(path=True),
        default=None,
        absent="nothing is written",
        playbooks=("status",),
        meaning="a file for the same as JSON",
    ),
    Variable(
        name="lvs_weight_hosts",
        kind=Names("names of real servers, or of groups of them"),
        default=None,
        playbooks=("weight",),
        meaning="the real servers whose weight is set",
        once="weight: in the service's real_servers",
    ),
    Variable(
        name="lvs_weight",
        kind=Text(pattern=r"planned|\d{1,5}", otherwise="is neither a weight from 0 to 65535 nor `planned`"),
        default=None,
        playbooks=("weight",),
        meaning="the weight; 0: no new connections; `planned`: that of the inventory again",
        once="weight: in the service's real_servers",
    ),
    Variable(
        name="lvs_weight_services",
        kind=Names("names of services"),
        default=None,
        absent="all",
        playbooks=("weight",),
        meaning="the services in which the weight is set",
        once="weight: in the service's real_servers",
    ),
    Variable(
        name="lvs_weight_for",
        kind=Text(pattern=r"\d+[smhd]", otherwise="is no duration (write it like 30m: s, m, h or d)"),
        default=None,
        absent="until it is taken back",
        playbooks=("weight",),
        meaning="for how long: `30m`, `2h`",
        once="weight: in the service's real_servers",
    ),
    Variable(
        name="lvs_weight_reason",
        kind=TEXT,
        default=None,
        absent="none",
        playbooks=("weight",),
        meaning="why; status shows it",
        once="weight: in the service's real_servers",
    ),
    Variable(
        name="lvs_verify_services",
        old="verify_services",
        kind=Names("names of services"),
        default=None,
        absent="all",
        playbooks=("verify",),
        meaning="the services to probe",
    ),
    Variable(
        name="lvs_verify_path",
        old="verify_path",
        kind=TEXT,
        default=None,
        playbooks=("verify", "trace", "site"),
        absent="that of the service's `health_check`, else `/`",
        meaning="the path of HTTP requests",
    ),
    Variable(
        name="lvs_verify_peers",
        kind=FLAG,
        default=False,
        playbooks=("verify",),
        meaning="`true`: an application that does not report its client's address is a failure. It reports it in the header `Peer` of its "
        "answer, or in the key `peer` of a JSON document",
    ),
    Variable(
        name="lvs_explain_to",
        old="explain_to",
        kind=Text(path=True),
        default=None,
        absent="`lvskit-ENVIRONMENT.html` in the current folder",
        playbooks=("explain",),
        meaning="the file of the page",
    ),
    Variable(
        name="lvs_explain_services",
        old="explain_services",
        kind=Names("names of services"),
        default=None,
        absent="the first forty",
        playbooks=("explain",),
        meaning="the services whose packets are drawn",
    ),
    Variable(
        name="lvs_preflight_services",
        old="preflight_services",
        kind=Names("names of services"),
        default=None,
        absent="all",
        playbooks=("preflight",),
        meaning="the services whose routes, addresses and MTU paths are checked",
    ),
    Variable(
        name="lvs_trace_service",
        old="service",
        kind=TEXT,
        playbooks=("trace",),
        meaning="the service to probe",
    ),
    Variable(
        name="lvs_trace_vip",
        kind=TEXT,
        default=None,
        playbooks=("trace",),
        absent="the service's first one",
        meaning="of a service with several VIPs the one to probe",
    ),
    Variable(
        name="lvs_trace_to",
        old="trace_to",
        kind=Text(path=True),
        default=None,
        absent="nothing is written",
        playbooks=("trace",),
        meaning="a file name without extension: the trace is written to it as .json and as .svg",
    ),
    Variable(
        name="lvs_batches",
        old="batches",
        kind=Batches("numbers or percentages of hosts"),
        default=(1, "100%"),
        playbooks=_APPLYING,
        meaning="how many real servers are prepared at a time: one goes first, so that an error affects only one",
    ),
    Variable(
        name="lvs_director_batches",
        kind=Number(_RANGE, 1, 65535),
        default=1,
        playbooks=(*_APPLYING, "rollback"),
        meaning="how many directors of an environment are changed at a time",
    ),
    Variable(
        name="lvs_unprepared",
        kind=FLAG,
        default=False,
        playbooks=_APPLYING,
        meaning="`true`: a run may change a director although the real servers that its new plan needs are not in the run",
    ),
    Variable(
        name="lvs_site_rollback",
        kind=FLAG,
        default=True,
        playbooks=("site",),
        meaning="`false`: site reports services that have stopped answering, and does not go back to the run before",
    ),
    Variable(
        name="lvs_drain",
        old="drain",
        kind=Names("names of real servers"),
        default=None,
        absent="none",
        playbooks=("drain",),
        meaning="the real servers, or groups of them, to remove from every director's table",
        once="lvs_drained: true of the host",
    ),
    Variable(
        name="lvs_undrain",
        kind=Names("names of real servers"),
        default=None,
        absent="none",
        playbooks=("undrain",),
        meaning="the drained real servers, or groups of them, to put back into every director's table; `all` puts back every one",
        once="lvs_drained: false of the host",
    ),
    Variable(
        name="lvs_handover",
        kind=FLAG,
        default=False,
        playbooks=_APPLYING,
        meaning="`true`: a director that is master lets another director take its groups before it changes",
    ),
    Variable(
        name="lvs_unready",
        kind=FLAG,
        default=False,
        playbooks=_APPLYING,
        meaning="`true`: a run goes on although a director that has changed reaches no real server of a service, and could not be master",
    ),
    Variable(
        name="lvs_failover",
        kind=Names("names of groups of directors, or of directors"),
        default=None,
        absent="none",
        playbooks=("failover",),
        meaning="the groups of `lvs_directors` whose addresses move to another director; a director means all groups of which it is master",
        once="preferred: in lvs_directors",
    ),
    Variable(
        name="lvs_teardown_services",
        old="teardown_services",
        kind=Names("names of services"),
        default=None,
        absent="none",
        playbooks=("teardown",),
        meaning="the services that are removed; `all` removes every one",
        once="lvs_services without the service",
    ),
    Variable(
        name="lvs_teardown_hosts",
        old="teardown_hosts",
        kind=Names("names of hosts"),
        default=None,
        absent="none",
        playbooks=("teardown",),
        meaning="the hosts that are removed",
        once="an inventory without the host",
    ),
    Variable(
        name="lvs_advise_services",
        old="advise_services",
        kind=Names("names of services"),
        default=None,
        absent="all",
        playbooks=("advise",),
        meaning="the services to find modes for",
    ),
    Variable(
        name="lvs_advise_needs",
        old="needs",
        kind=Nested(Needs),
        default=None,
        absent="nothing",
        playbooks=("advise",),
        meaning="needs of all services, in addition to their own `needs`",
    ),
    Variable(
        name="lvs_rollback_to",
        old="to",
        kind=TEXT,
        default=None,
        absent="the run before the last one",
        playbooks=("rollback",),
        meaning="the time of the run to go back to",
        once="the earlier state of its files",
    ),
)

ROLES: tuple[Role, ...] = (
    Role(
        "lvs_host",
        "Bring one host to its plan",
        "Brings a director or real server to its plan. The roles director and real_server call it.",
        (
            Variable(
                name="lvs_host_remove",
                kind=FLAG,
                default=True,
                meaning="whether state is removed that the plan no longer contains",
                given=True,
            ),
            Variable(
                name="lvs_host_purge_foreign",
                old="host_purge_foreign",
                kind=FLAG,
                default=False,
                playbooks=_APPLYING,
                meaning="whether virtual services that lvskit did not create are removed from a director's IPVS table",
            ),
            Variable(
                name="lvs_host_drain_timeout",
                old="host_drain_timeout",
                kind=Number(_RANGE, 0, 86400, unit="seconds"),
                default=60,
                playbooks=(*_APPLYING, "rollback"),
                meaning="how long a director waits for the open connections of a real server before it removes the real server; "
                "connections that are open then are cut",
            ),
            Variable(
                name="lvs_host_last_server",
                kind=FLAG,
                default=False,
                playbooks=_APPLYING,
                meaning="whether a run may take the last real server of a service that passes its health check out of the table",
            ),
            Variable(
                name="lvs_host_packages",
                old="host_packages",
                kind=Texts("programs to packages"),
                default={},
                playbooks=_APPLYING,
                meaning="the package of a program (`ipvsadm`, `iptables`), if its name differs from Debian's",
            ),
            Variable(
                name="lvs_host_systemd_sysctl",
                old="host_systemd_sysctl",
                kind=Text(path=True),
                default="/lib/systemd/systemd-sysctl",
                playbooks=_APPLYING,
                meaning="the program that applies one file of sysctls",
            ),
        ),
    ),
    Role(
        "director",
        "Provision an LVS director",
        "Brings the host to the plan that lvs_compile has compiled for it in the same run, by the role lvs_host.",
        (),
    ),
    Role(
        "real_server",
        "Provision a real server behind LVS directors",
        "Brings the host to the plan that lvs_compile has compiled for it in the same run, by the role lvs_host.",
        (),
    ),
    Role(
        "toa",
        "Build and install kernel modules that carry the client's address",
        "The role lvs_host calls it for hosts whose plan has such modules, before it loads them.",
        (
            Variable(
                name="toa_modules",
                kind=Listing(TEXT),
                meaning="the names of the modules to install",
                given=True,
            ),
            Variable(
                name="toa_method",
                kind=Choice("VALUE-CHOICE", ("builder", "dkms")),
                default="builder",
                playbooks=_APPLYING,
                meaning="where the modules are built: on another host, or by dkms on the host itself",
            ),
            Variable(
                name="toa_builder",
                kind=TEXT,
                default="{{ inventory_hostname }}",
                absent="the host itself",
                playbooks=_APPLYING,
                meaning="the host that has a compiler and the headers of the kernels in use",
            ),
            Variable(
                name="toa_source",
                kind=Text(empty=True),
                default="",
                meaning="folder, tar archive or git URL of the sources, on the controller; lvskit's own when empty",
                given=True,
            ),
            Variable(
                name="toa_source_arguments",
                kind=Listing(TEXT),
                default=(),
                meaning="arguments of make for these sources",
                given=True,
            ),
            Variable(
                name="toa_make_arguments",
                kind=Listing(TEXT),
                default=(),
                playbooks=_APPLYING,
                meaning="arguments of make for all sources, in addition to the kernel's tree",
            ),
            Variable(
                name="toa_signing_key",
                kind=Text(empty=True),
                default="",
                playbooks=_APPLYING,
                meaning="the private key on the builder that signs the modules",
            ),
            Variable(
                name="toa_signing_certificate",
                kind=Text(empty=True),
                default="",
                playbooks=_APPLYING,
                meaning="the certificate that belongs to the key",
            ),
        ),
    ),
)

OF_PLAYBOOKS = {variable.name: variable for variable in PLAYBOOKS}
OF_ROLES = {variable.name: variable for role in ROLES for variable in role.variables}
# lvskit's variables that a file of an inventory may contain, by name.
IN_INVENTORIES: Mapping[str, Key] = {
    one.name: one
    for one in (*ENVIRONMENT, *keys_of(Host).values(), *PLAYBOOKS, *(v for v in OF_ROLES.values() if not v.given))
}
# Variables that no file of an inventory contains, and what says there what they say for one run.
ONCE: Mapping[str, str] = {one.name: one.once for one in PLAYBOOKS if one.once}
OLD_NAMES: Mapping[str, str] = {one.old: one.name for one in (*PLAYBOOKS, *OF_ROLES.values()) if one.old}
