"""One request as it was captured, for tests of what is made of captures."""

from ipaddress import IPv4Address
from pathlib import Path

import yaml
from ansible.module_utils.lvs.observation import Ends, Frame, Vantage, bind, compare
from ansible.module_utils.lvs.walk import Endpoint, walk

CLIENT = Endpoint(IPv4Address("198.51.100.10"), 40000)
LOCAL = Endpoint(IPv4Address("10.20.1.200"), 61234)
MARK = 4711  # the sequence number of the SYN
MACS = {
    "client1": "52:54:00:00:00:01",
    "lb1": "52:54:00:00:00:02",
    "rs1": "52:54:00:00:00:03",
    "rs2": "52:54:00:00:00:04",
    "rs3": "52:54:00:00:00:05",
}
ROUTER = "52:54:00:00:00:ff"

SERVICES = yaml.safe_load((Path(__file__).parent / "base.yml").read_text())["services"]


class Scene:
    """One service's predicted walks, and the frames that hosts would capture if all went as predicted."""

    def __init__(self, environment, name, **service):
        env = environment({"services": [{**s, **service} for s in SERVICES if s["name"] == name]} if service else {})
        self.environment, self.service = env, env.service(name)
        client, director = env.host("client1"), env.host("lb1")
        self.walks = {
            server.host.name: walk(env.topology, self.service.entries[0], director, server, client)
            for server in self.service.real_servers
        }
        hosts = [client, director, *(server.host for server in self.service.real_servers)]
        gateways = {router: ROUTER for network in env.topology.networks.values() for router in network.routers}
        self.vantages = {h.name: Vantage({i.name: MACS[h.name] for i in h.interfaces}, gateways) for h in hosts}
        self.server = next(iter(self.walks))
        self.ends = Ends(CLIENT, LOCAL if self.service.local_addresses else None)
        self.frames = [frame for hop in self.walks[self.server].hops for frame in self._seen(hop)]

    def _seen(self, hop):
        for node, leaving in ((hop.sender, True), (hop.receiver, False)):
            if node.host in self.vantages:
                source, destination = (MACS.get(end.host, ROUTER) for end in (hop.sender, hop.receiver))
                packet = bind(hop.packet, self.ends)
                mark = MARK if hop.leg == "request" else None
                yield Frame(node.host, node.interface, leaving, source, destination, packet, 60, 0.0, mark)

    def compared(self):
        return compare(self.service, self.walks, "lb1", self.ends, self.frames, self.vantages)

    def differences(self):
        return self.compared().differences
