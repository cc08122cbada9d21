"""Compares the state of the hosts with the state that the model expects.

A finding contains the host, the found state, the needed state, and the effect on packets. No code here contacts a host: the
answers are the results of the module lvs_inspect, one for each host that could be reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Any

from ansible.module_utils.lvs_host import evidence, marks

from . import departures
from .families import IPV6
from .host_plan import HostPlan
from .passages import Passage
from .questions import Questions
from .real_server import GATEWAY_TABLE
from .topology import Host, Interface, Topology
from .violations import SHOWN, some

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """A fault on a host. `risk`: it does not stop packets now, but may later."""

    host: str
    check: str
    subject: str
    found: str
    needed: str
    consequence: str
    risk: bool = False

    def __str__(self) -> str:
        return (
            f"{self.check}: {self.host}: {self.subject}: found {self.found}, needed {self.needed}. {self.consequence}"
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


# Each check's id, and the state that it requires; in the order of a report.
CHECKS = {
    "HOST": "the host answers",
    "INTERFACE": "each interface of the inventory exists, is up, and has its address",
    "LINK-LOCAL": "an interface with an IPv6 address has a link-local one, too",
    "VLAN": "an interface with an 802.1Q tag has the VLAN id of its network",
    "MTU": "the MTU of an interface is not smaller than that of its network",
    "SEGMENT": "at least one host of the interface's network answers ARP or neighbour discovery on it",
    "ADDRESS-OWNER": "only the owner's MAC answers for the addresses of the gateway and of other hosts",
    "VIP-ARP": "only the director's MAC answers for each VIP and each local address",
    "ROUTE": "the host's routes use the interface and gateway that follow from the inventory",
    "ADVERTISED-ROUTE": "an IPv6 default route is left when the run turns forwarding on",
    "PATH-MTU": "full-size packets reach the real server and the client, and come back",
    "LRO": "interfaces that forward do not merge received packets (LRO)",
    "KERNEL": "the kernel has the modules and features that the plan needs",
    "SETTING": "the effective sysctls have the values of the plan",
    "SETTING-ALL": "conf/all does not override the sysctls of single interfaces",
    "SETTING-BOOT": "no file sets a different value at boot",
    "FORWARD": "the firewall accepts packets that the director forwards",
    "FIREWALL": "the firewall lets the services' packets pass",
    "FLOW-TABLE": "no rule gives replies that lvskit's modules have to translate to a flow table",
    "MARK": "no other rule uses the firewall marks that are lvskit's on the director",
    "CHECK": "real servers pass the health checks, tried once at their own addresses",
    "ORDER": "directors that share a service have its real servers in the planned order, if the scheduler makes a table of them",
    "PEER": "the conntrackd of a pair's directors understand each other",
    "COMPANION": "no other software manages the same kernel state",
    "DEPARTURE": "the host's state agrees with lvskit's files of record",
}
_CONNTRACKD = (1, 4, 7)  # from here on it sends addresses of translations in the byte order of networks
_TRANSLATING = ("lvskit_restore", "lvskit_ctk")  # they give replies their source
_FORWARDING6 = "net/ipv6/conf/all/forwarding"
# By the sysctl of a host that forwards a family: how rules of nft begin that see its packets. In iptables lvskit accepts replies itself.
_FORWARDING = {
    "net/ipv4/ip_forward": ("nft ip ", "nft inet ", "nft netdev "),
    _FORWARDING6: ("nft ip6 ", "nft inet ", "nft netdev "),
}
# What it means for requests how another rule uses a mark of lvskit's.
_USES = {
    marks.ROUTES: "The rule routes requests with this mark before it is known that their VIP is an address of this host: they do not come to "
    "IPVS unless its table delivers them to this host.",
    marks.MATCHES: "The rule is also about requests that lvskit has marked, now or as soon as a service gets that mark.",
    marks.SETS: "IPVS takes packets with the mark of a service that come to this host for requests of it, whatever their address and port.",
}
# What to do about a rule that has these words.
_REMEDIES = {
    " fib saddr ": "They come by another interface than answers to their source leave by: change the routes, or the reverse path filter "
    "(firewalld: IPv6_rpfilter=no in firewalld.conf).",
    " firewalld ": "firewall-cmd --permanent opens a port (--add-port=80/tcp) or a protocol (--add-protocol=ipencap) in the zone of the "
    "interface, and lets answers to health checks in by a rule (--add-rich-rule='rule family=ipv4 source address=VIP source-port port=80 "
    "protocol=tcp accept'); then firewall-cmd --reload.",
}
_UNTRACKED = (
    "lvskit leaves packets out of conntrack where that sees one direction alone, and would call them invalid: a rule that accepts them asks "
    "for no state, or for UNTRACKED beside NEW."
)
_COMPANIONS = {one.name: one.effect for one in evidence.COMPANIONS}


def findings(
    topology: Topology, plans: Mapping[str, HostPlan], asked: Mapping[str, Questions], answers: Mapping[str, Answer]
) -> list[Finding]:
    """All findings, by host and in the order of CHECKS. A host that could not be reached is a finding.

    `answers` are the results of lvs_inspect, also those of hosts that could not be reached.
    """
    found: list[Finding] = []
    silent = {name: str((answers.get(name) or {}).get("msg") or "no answer") for name in asked}
    answers = {name: answer for name, answer in answers.items() if answer and "interfaces" in answer}
    macs = {
        (name, interface.network.name): answer["interfaces"].get(interface.name, {}).get("mac")
        for name, answer in answers.items()
        for interface in topology.hosts[name].interfaces
    }
    for name, questions in asked.items():
        answer = answers.get(name)
        if answer is None:
            consequence = "Its state is not known, and the next run would fail here."
            found.append(Finding(name, "HOST", "connection", silent[name], "an answer", consequence))
            continue
        plan, host = plans[name], topology.hosts[name]
        for interface in host.interfaces:
            found += _interface(host, interface, plan, answer)
        found += _neighbours(topology, host, questions, answer, macs, answers)
        found += _ways(host, questions, answer)
        found += _advertised(host, answer)
        found += _paths(host, questions, answer)
        found += _kernel(host, plan, answer)
        found += _settings(host, plan, answer)
        found += _others(host, plan, answer)
        found += _firewall(host, questions, answer)
        found += _marks(host, plan, answer)
        found += _checks(host, questions, answer)
        found += _orders(host, plan, answer)
        found += _peers(topology, host, plan, answers)
        found += [Finding(name, "DEPARTURE", *rest) for rest in departures.described(plan, answer["departures"])]
    hosts, checks = ({name: place for place, name in enumerate(names)} for names in (asked, CHECKS))
    return sorted(dict.fromkeys(found), key=lambda one: (hosts[one.host], checks[one.check]))


def _interface(host: Host, interface: Interface, plan: HostPlan, answer: Answer) -> Iterator[Finding]:
    network, link = interface.network, answer["interfaces"].get(interface.name)
    wanted = f"{interface} in {network.name}"
    lost = f"No packet of {network.name} can pass this interface."
    if link is None:
        names = ", ".join(sorted(answer["interfaces"]))
        yield Finding(host.name, "INTERFACE", interface.name, f"no such interface (present: {names})", wanted, lost)
        return
    if not link["up"]:
        yield Finding(host.name, "INTERFACE", interface.name, "down", "up", lost)
    if any(str(one) not in link["addresses"] for one in interface.attachments):
        present = ", ".join(link["addresses"]) or "no address"
        yield Finding(host.name, "INTERFACE", interface.name, present, wanted, lost)
    elif link["up"] and interface.of(IPV6) and not link["link_local"]:
        text = (
            "The kernel asks from that address for the MAC of a neighbour, where the packet's source is not an address of this interface: "
            "it drops the packets that it forwards, and replies from a VIP on lo. Let the network configuration set one "
            "(addrgenmode eui64 of ip-link(8), LinkLocalAddressing=ipv6 of systemd.network(5))."
        )
        yield Finding(host.name, "LINK-LOCAL", interface.name, "no link-local IPv6 address", "one (fe80::/10)", text)
    if link["vlan"] is not None and link["vlan"] != network.vlan:
        text = f"Its frames are in a different VLAN and do not reach the other hosts of {network.name}."
        yield Finding(host.name, "VLAN", interface.name, f"802.1Q id {link['vlan']}", str(network.vlan), text)
    if link["mtu"] < network.mtu:
        text = f"Other hosts send it packets of up to {network.mtu} bytes; it fragments or drops packets above {link['mtu']} that it sends or forwards."
        yield Finding(host.name, "MTU", interface.name, f"{link['mtu']} bytes", f"{network.mtu} bytes", text)
    if link["lro"] and plan.services:
        text = "IPVS gets merged packets, which are larger than the MTU of the next link and are dropped."
        yield Finding(host.name, "LRO", interface.name, "large receive offload on", "off", text)


def _neighbours(
    topology: Topology,
    host: Host,
    questions: Questions,
    answer: Answer,
    macs: Mapping[tuple[str, str], str | None],
    answers: Mapping[str, Answer],
) -> Iterator[Finding]:
    silent: dict[str, list[str]] = {}
    heard: set[str] = set()
    names = {mac: name for (name, _), mac in macs.items() if mac}
    networks = {interface.name: interface.network for interface in host.interfaces}
    for ask, replied in zip(questions.neighbours, answer["neighbours"]):
        network = networks[ask.interface]
        if not answer["interfaces"].get(ask.interface, {}).get("up"):
            continue  # INTERFACE reports it
        own = macs.get((ask.owner or "", network.name))
        said = " and ".join(f"{mac} ({names[mac]})" if mac in names else mac for mac in replied)
        if not ask.vip:
            (heard.add(ask.interface) if replied else silent.setdefault(ask.interface, []).append(str(ask.address)))
            if len(replied) > 1 or (own and replied and replied != [own]):
                text = "Packets for that address reach the host that answered last."
                needed = f"{own or 'one MAC'} alone"
                yield Finding(host.name, "ADDRESS-OWNER", f"{ask.address} on {ask.interface}", said, needed, text)
            continue
        wrong = [mac for mac in replied if mac != own]
        provisioned = _recorded(answers.get(ask.owner or "", {}), f"address replace {ask.address}/")
        if wrong and not (own is None and len(replied) == 1):
            text = "Packets for that address bypass the director, or the router's entry for it flaps."
            needed = (
                f"{own or 'one MAC'} ({ask.owner}) alone" if provisioned else f"no answer before {ask.owner} has it"
            )
            yield Finding(host.name, "VIP-ARP", f"{ask.address} on {ask.interface}", said, needed, text)
        if not replied and provisioned and ask.owner != host.name:
            text = "No host of the segment can send to it."
            yield Finding(host.name, "VIP-ARP", f"{ask.address} on {ask.interface}", "no answer", str(ask.owner), text)
    for interface, addresses in silent.items():
        if interface not in heard:
            text = "The interface is probably in a different VLAN, or the switch port does not carry this VLAN."
            needed = f"an answer from {' or '.join(addresses)}"
            yield Finding(host.name, "SEGMENT", interface, "no answer", needed, text)


def _recorded(answer: Answer, words: str) -> bool:
    """Whether the host's files of record contain a string."""
    return any(words in line for line in answer.get("recorded", ()))


def _ways(host: Host, questions: Questions, answer: Answer) -> Iterator[Finding]:
    for way, found in zip(questions.ways, answer["routes"]):
        gateway = str(way.gateway) if way.gateway else ""
        if (found.get("interface"), found.get("gateway")) == (way.interface, gateway):
            continue
        subject = f"route to {way.to}" + (f" from {way.source}" if way.source else "")
        there = f"via {found['gateway']} " if found.get("gateway") else ""
        words = found.get("error") or f"{there}dev {found.get('interface')}"
        # State that the next run would create is not reported.
        if not way.port or _recorded(answer, f" sport {way.port} ") or _recorded(answer, f" lookup {GATEWAY_TABLE} "):
            yield Finding(host.name, "ROUTE", subject, words, str(way), departures.sentence(way.consequence))


def _advertised(host: Host, answer: Answer) -> Iterator[Finding]:
    """The default routes of IPv6 that the kernel removes as soon as it forwards, where they are the only ones."""
    forwarding = answer["settings"].get(_FORWARDING6)
    if forwarding is None or forwarding["own"]:
        return
    if all(route["accept_ra"] == 1 for route in answer["defaults"]):
        for name in dict.fromkeys(route["interface"] for route in answer["defaults"]):
            text = (
                "The run turns IPv6 forwarding on; the kernel then removes this route, ignores further advertisements, and has no way to "
                "other networks. Set accept_ra to 2 in the network configuration, or add a static default route, before the run."
            )
            words = "the default route comes from router advertisements, and accept_ra is 1"
            yield Finding(host.name, "ADVERTISED-ROUTE", name, words, "accept_ra 2, or a static default route", text)


def _paths(host: Host, questions: Questions, answer: Answer) -> Iterator[Finding]:
    for path, size in zip(questions.paths, answer["paths"]):
        if 0 < size < path.size:
            subject = f"path to {path.to} ({path.address})"
            text = (
                f"Connections open, and stall when a packet is larger than {size} bytes: the sender gets no ICMP error."
            )
            yield Finding(host.name, "PATH-MTU", subject, f"{size} bytes", f"{path.size} bytes", text)


def _kernel(host: Host, plan: HostPlan, answer: Answer) -> Iterator[Finding]:
    for name, words in answer["modules"].items():
        text = "The run would fail here, without a change on the host."
        yield Finding(host.name, "KERNEL", f"module {name}", words, "a kernel that has it", text)
    for feature in answer["config"]:
        if evidence.FEATURES[feature] in plan.modules:
            text = "The services that need it would not work."
            yield Finding(host.name, "KERNEL", f"CONFIG_{feature}", "not built", "y or m", text)


def _settings(host: Host, plan: HostPlan, answer: Answer) -> Iterator[Finding]:
    for setting in plan.sysctls:
        found = answer["settings"].get(setting.key)
        if found is None:
            continue
        why = departures.sentence(setting.why)
        common = setting.key.rpartition("/")[2]
        if not found["reachable"]:
            place = f" by {found['boot_all']['place']}" if found["boot_all"] else ""
            text = f"The kernel combines both. {why}"
            yield Finding(host.name, "SETTING-ALL", f"conf/all/{common}", f"{found['all']}{place}", "0", text)
        elif _recorded(answer, f"{setting.key} = ") and not found["serves"]:
            value = "nothing" if found["own"] is None else f"{found['effective']} in effect"
            yield Finding(host.name, "SETTING", setting.key, value, str(setting.value), why)
        boot = found["boot"]
        if _recorded(answer, f"{setting.key} = ") and boot and not found["boot_serves"]:
            text = f"After a reboot the setting is lost. Its purpose: {setting.why}."
            words = f"{boot['value']} at boot, by {boot['place']}"
            yield Finding(host.name, "SETTING-BOOT", setting.key, words, str(setting.value), text, risk=True)


def _others(host: Host, plan: HostPlan, answer: Answer) -> Iterator[Finding]:
    planned = {setting.key for setting in plan.sysctls}
    concerned = tuple(begin for key, begins in _FORWARDING.items() if key in planned for begin in begins)
    for rule, _ in answer["drops"]:
        if rule.endswith(" hook forward policy drop") and rule.startswith(concerned):
            text = "Replies that the director forwards are dropped, unless a rule before it accepts them."
            yield Finding(host.name, "FORWARD", "firewall", rule, "a rule that accepts them", text, risk=True)
    translating = [module.name for module in plan.built_modules if module.name in _TRANSLATING]
    for rule in answer["offloads"] if translating else ():
        text = (
            f"The kernel forwards packets of connections that match it past {' and '.join(translating)}: replies of hosts and containers behind "
            "this host leave with the real server's address, and clients reset the connection. Put `tcp dport PORT return` and `tcp sport PORT return` "
            "before it, for each port of the real servers."
        )
        yield Finding(host.name, "FLOW-TABLE", "firewall", rule, "no such rule for the services", text, risk=True)
    for name in answer["companions"] if not plan.empty else ():
        text = departures.sentence(_COMPANIONS[name])
        yield Finding(
            host.name, "COMPANION", name, "running", "not running, or without effect on lvskit's state", text, risk=True
        )


def _firewall(host: Host, questions: Questions, answer: Answer) -> Iterator[Finding]:
    """The rules that refuse packets of services, each with those packets."""
    by_rule: dict[str, list[Passage]] = {}
    for passage, rule in zip(questions.passages, answer["refused"]):
        if rule:
            by_rule.setdefault(rule, []).append(passage)
    for rule, passages in by_rule.items():
        first: dict[tuple[str, tuple[str, ...], bool], Passage] = {}  # what becomes of later packets is no news
        for passage in passages:
            first.setdefault((passage.service, passage.hooks, passage.source is None), passage)
        lost: dict[str, dict[str, None]] = {}
        for passage in first.values():
            lost.setdefault(passage.consequence, {})[passage.service] = None
        text = " ".join(departures.sentence(said.format(some(list(names)))) for said, names in lost.items())
        needed = f"rules before it that accept {some(list(dict.fromkeys(map(str, passages))))}"
        untracked = any(passage.states == ("untracked",) for passage in passages)
        remedy = next((said for words, said in _REMEDIES.items() if words in rule), _UNTRACKED if untracked else "")
        others = dict.fromkeys(passage.remedy for passage in passages)
        words = " ".join(word for word in (text, remedy, *others) if word)
        yield Finding(host.name, "FIREWALL", "firewall", rule, needed, words)


def _marks(host: Host, plan: HostPlan, answer: Answer) -> Iterator[Finding]:
    """Other users of lvskit's marks: rules about the marks of the plan, and about others of the range."""
    own = {one.mark for rules in (plan.netfilter, plan.netfilter6) for one in rules.marks}
    found: dict[str, list[str]] = {}
    for use in answer["marks"] if own else ():
        value, mask, how = use["value"], use["mask"], use["how"]
        # A rule about packets whose bits are 0 is about those without a mark.
        matched = how != marks.SETS and value & mask and any((number ^ value) & mask == 0 for number in own)
        if matched or value & host.mark.mask == host.mark.base:
            found.setdefault(how if matched or how == marks.SETS else marks.MATCHES, []).append(use["rule"])
    for how, rules in found.items():
        more = f"; and {len(rules) - SHOWN} more" if len(rules) > SHOWN else ""
        text = f"{_USES[how]} Give lvskit marks that nothing else uses (lvs_mark), or change the rule."
        words = "; ".join(rules[:SHOWN]) + more
        risk = how != marks.ROUTES
        yield Finding(host.name, "MARK", f"firewall marks {host.mark}", words, "no other rule about them", text, risk)


def _checks(host: Host, questions: Questions, answer: Answer) -> Iterator[Finding]:
    """Real servers whose health check would fail now."""
    for trial, obstacle in zip(questions.trials, answer["trials"]):
        if obstacle:
            text = (
                f"The health check of {trial.service} would take {trial.server} out at once, unless its application listens on the VIP "
                "alone. Start the application, or correct port: or health_check:."
            )
            yield Finding(
                host.name, "CHECK", f"{trial.server}, {trial}", obstacle, "a check that passes", text, risk=True
            )


def _orders(host: Host, plan: HostPlan, answer: Answer) -> Iterator[Finding]:
    """Services whose real servers were added in another order than planned; those that are missing or not planned are a DEPARTURE."""
    for service in plan.services:
        there = answer["orders"].get(service.name, ())
        planned = [one.endpoint for one in service.destinations if one.endpoint in there]
        found = [endpoint for endpoint in there if endpoint in planned]
        differing = [place for place in range(len(planned)) if found[place] != planned[place]]
        if differing:
            text = (
                f"The table of {service.scheduler} depends on the order: some clients get another real server here than on a director with "
                "the planned order, such as one that has been rebooted. Reboot this one when it has no traffic."
            )
            first, subject = differing[0], f"IPVS service {service.name}"
            words, needed = (f"{order[first]} as number {first + 1}" for order in (found, planned))
            yield Finding(host.name, "ORDER", subject, words, needed, text, risk=True)


def _peers(topology: Topology, host: Host, plan: HostPlan, answers: Mapping[str, Answer]) -> Iterator[Finding]:
    """A conntrackd that is older than a change of its protocol, beside one that is not."""
    sync = plan.conntrack_sync
    peer = sync and topology.owners.get(ip_address(sync.peer))
    if not peer:
        return
    own, other = (answers.get(name, {}).get("versions", {}).get("conntrackd") for name in (host.name, peer.name))
    if own and other and _numbers(own) < _CONNTRACKD <= _numbers(other):
        text = (
            "After a takeover open connections of fullnat end: the directors read each other's addresses in another byte order. Run the same "
            "release of the operating system on both."
        )
        needed = f"1.4.7 or later, as {peer.name} has {other}"
        yield Finding(host.name, "PEER", "conntrackd", own, needed, text)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
