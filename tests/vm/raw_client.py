"""A TCP client that chooses its own options and flags, for tests that a socket cannot do. Runs on a lab machine, as root.

    raw_client.py ADDRESS PORT < cases

Standard input is a JSON list of cases, each with syn, ack and data: the options of those packets, in hexadecimal; and
fragment: whether the request is sent in two IP fragments. What it prints is a JSON list of what the application said its peer
is, "sent" being this end's own address and port, and "repeated" how many segments were sent again.
"""

import json
import random
import socket
import struct
import subprocess
import sys
import time

PORTS = range(20000, 30000)  # below what the kernel takes for its own connections
SYN, RST, PSH, ACK = 0x02, 0x04, 0x08, 0x10


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


class Connection:
    """One end of a connection, by hand."""

    def __init__(self, address, port, own_port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, port))
            self.own = probe.getsockname()[0]
        self.address, self.port, self.own_port = address, port, own_port
        self.sequence, self.acknowledged = random.getrandbits(31), 0
        self.repeated = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        self.socket.settimeout(5)

    def segment(self, flags, options=b"", data=b""):
        options += b"\0" * (-len(options) % 4)
        offset = (20 + len(options)) // 4 << 4
        ends = self.own_port, self.port, self.sequence, self.acknowledged
        head = struct.pack("!HHIIBBHHH", *ends, offset, flags, 64000, 0, 0)
        pseudo = socket.inet_aton(self.own) + socket.inet_aton(self.address)
        total = checksum(pseudo + struct.pack("!HH", 6, len(head + options + data)) + head + options + data)
        return head[:16] + struct.pack("!H", total) + head[18:] + options + data

    def send(self, flags, options=b"", data=b"", fragment=False):
        segment = self.segment(flags, options, data)
        if not fragment:
            self.socket.sendto(segment, (self.address, 0))
            return
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            name = random.getrandbits(16)
            for offset, part, more in ((0, segment[:24], 1), (24, segment[24:], 0)):
                ends = socket.inet_aton(self.own), socket.inet_aton(self.address)
                place = more << 13 | offset // 8
                head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(part), name, place, 64, 6, 0, *ends)
                raw.sendto(head + part, (self.address, 0))

    def receive(self):
        """Flags, sequence number and data of the next segment for this connection."""
        until = time.monotonic() + 5
        while time.monotonic() < until:
            packet = self.socket.recv(65536)
            segment = packet[(packet[0] & 15) * 4 :]
            source, destination, sequence, _, offset, flags = struct.unpack("!HHIIBB", segment[:14])
            if (source, destination) == (self.port, self.own_port):
                return flags, sequence, segment[(offset >> 4) * 4 :]
        raise TimeoutError

    def answer(self, *words):
        """What comes back for a segment; like any TCP this one sends again what may have got lost."""
        for left in reversed(range(3)):
            self.send(*words)
            try:
                return self.receive()
            except TimeoutError:
                if not left:
                    raise
                self.repeated += 1

    def ask(self, case):
        """What the application says its peer is, or why there was no answer."""
        options = {name: bytes.fromhex(case.get(name, "")) for name in ("syn", "ack", "data")}
        flags, sequence, _ = self.answer(SYN, options["syn"])
        if flags & (SYN | ACK) != SYN | ACK:
            return f"refused ({flags:#x})"
        self.sequence, self.acknowledged = self.sequence + 1, sequence + 1
        self.send(ACK, options["ack"])
        request = f"GET / HTTP/1.1\r\nHost: {self.address}\r\nConnection: close\r\n\r\n".encode()
        answer = b""
        flags, sequence, data = self.answer(ACK | PSH, options["data"], request, case.get("fragment", False))
        while True:
            if flags & RST:
                return "reset"
            if sequence == self.acknowledged:
                answer += data
                self.acknowledged += len(data)
            if b"\r\n\r\n" in answer:
                break
            flags, sequence, data = self.receive()
        self.sequence += len(request)
        self.send(RST | ACK)
        return answer.partition(b"Peer: ")[2].partition(b"\r\n")[0].decode()


def main():
    address, port = sys.argv[1], int(sys.argv[2])
    answers = []
    # The kernel knows nothing of these connections and would reset them.
    rule = [
        "OUTPUT",
        "-p",
        "tcp",
        "--sport",
        f"{PORTS[0]}:{PORTS[-1]}",
        "--tcp-flags",
        "RST,ACK",
        "RST",
        "-j",
        "DROP",
    ]
    subprocess.run(["iptables", "-I", *rule], check=True)
    try:
        cases = json.load(sys.stdin)
        for own_port, case in zip(random.sample(PORTS, len(cases)), cases):  # a port used just now would be refused
            connection = Connection(address, port, own_port)
            try:
                said = connection.ask(case)
            except OSError as error:
                said = f"no answer: {error or type(error).__name__}"
            answers.append(
                {"sent": f"{connection.own}:{connection.own_port}", "peer": said, "repeated": connection.repeated}
            )
    finally:
        subprocess.run(["iptables", "-D", *rule], check=True)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
