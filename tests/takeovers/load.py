"""Connections of a client that live through the death of a director. Runs on a lab machine.

    load.py STOP_FILE NEW PATIENCE ADDRESS PORT [ADDRESS PORT…]

A new connection for one request every NEW seconds, to one end after the other, which may take PATIENCE seconds. To each end a conversation with a request every PERIOD
seconds, and another one every OPENED seconds; a slow download; a slow upload. To an end of UDP, whose port is written udp:PORT, datagrams from
one port. All go on until the file STOP_FILE exists. Prints JSON lines when it ends: for each connection its kind, its end, its times, the longest time
without progress, and why it ended before that.
"""

import asyncio
import json
import os
import sys
import time

PERIOD = 1.0
OPENED = 5.0
LONG_PATIENCE = 30.0  # seconds without progress until an open connection counts as lost
LONGEST = 900.0
SILENT = 5.0  # seconds at the end without an answer to a datagram
CHUNK = 5000  # bytes of a download or upload in PERIOD seconds
SIZE = 100000000  # more than is transferred meanwhile


class Flow(asyncio.DatagramProtocol):
    """The answers to datagrams: when the last one came, and from which real servers they were."""

    def __init__(self, progress):
        self.progress, self.hosts, self.last = progress, set(), time.time()

    def datagram_received(self, data, addr):
        self.hosts.add(json.loads(data)["host"])
        self.last = time.time()
        self.progress()

    def error_received(self, exc):
        """A router or host says that nobody is there; the next datagram may be answered."""


class Load:
    def __init__(self, stop, new, patience, ends):
        self.stop, self.new, self.patience = stop, new, patience
        self.ends = [(address, int(port)) for address, port in ends if port.isdigit()]
        self.flows = [(address, port) for address, port in ends if not port.isdigit()]
        self.until = time.monotonic() + LONGEST
        self.records = []

    def goes_on(self):
        return not os.path.exists(self.stop) and time.monotonic() < self.until

    async def recorded(self, kind, end, work, patience):
        record = {"kind": kind, "end": end[0], "port": str(end[1]), "began": time.time(), "pause": 0.0, "why": ""}
        self.records.append(record)
        last = [time.time()]

        def progress():
            now = time.time()
            if now - last[0] > record["pause"]:
                record["pause"], record["paused_at"] = now - last[0], last[0]
            last[0] = now

        writer = None
        try:
            if kind == "datagrams":
                await work(end, progress)
            else:
                reader, writer = await asyncio.wait_for(asyncio.open_connection(*end), patience)
                await work(reader, writer, progress, patience)
        except Exception as error:
            record["why"] = f"{type(error).__name__} {error}"
        finally:
            record["ended"] = time.time()
            if writer:
                writer.transport.abort()

    async def once(self, reader, writer, progress, patience):
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), patience)
        if b"200" not in answer.split(b"\r\n")[0]:
            raise ValueError(answer.split(b"\r\n")[0].decode())

    async def conversation(self, reader, writer, progress, patience):
        while self.goes_on():
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), patience)
            length = int(head.lower().partition(b"content-length:")[2].split()[0])
            await asyncio.wait_for(reader.readexactly(length), patience)
            progress()
            await asyncio.sleep(PERIOD)

    async def download(self, reader, writer, progress, patience):
        writer.write(f"GET /bytes/{SIZE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while self.goes_on():
            await asyncio.wait_for(reader.readexactly(CHUNK), patience)
            progress()
            await asyncio.sleep(PERIOD)

    async def upload(self, reader, writer, progress, patience):
        writer.write(f"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n".encode())
        writer.transport.set_write_buffer_limits(high=CHUNK)
        while self.goes_on():
            writer.write(b"x" * CHUNK)
            await asyncio.wait_for(writer.drain(), patience)
            progress()
            await asyncio.sleep(PERIOD)

    async def datagrams(self, end, progress):
        """One flow is lost when it has no answer for as long as the last one may take, or when another real server answers."""
        flow = Flow(progress)
        address, port = end[0], int(end[1].partition(":")[2])
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: flow, remote_addr=(address, port)
        )
        try:
            while self.goes_on() and len(flow.hosts) < 2:
                transport.sendto(b"x" * 64)
                await asyncio.sleep(PERIOD)
        finally:
            transport.abort()
        if len(flow.hosts) > 1:
            raise ValueError("another real server answered")
        if time.time() - flow.last > SILENT:
            raise TimeoutError("no answer any more")

    async def run(self):
        running = set()

        def start(*words):
            task = asyncio.ensure_future(self.recorded(*words))
            running.add(task)
            task.add_done_callback(running.discard)

        for end in self.flows:
            start("datagrams", end, self.datagrams, 0)
        for end in self.ends:
            start("download", end, self.download, LONG_PATIENCE)
            start("upload", end, self.upload, LONG_PATIENCE)
        started, number, conversations = time.monotonic(), 0, 0
        while self.goes_on():
            await asyncio.sleep(max(0, started + number * self.new - time.monotonic()))
            start("new", self.ends[number % len(self.ends)], self.once, self.patience)
            number += 1
            if number * self.new > conversations * OPENED / len(self.ends):
                start("conversation", self.ends[conversations % len(self.ends)], self.conversation, LONG_PATIENCE)
                conversations += 1
        if running:
            await asyncio.wait(running, timeout=LONG_PATIENCE + 1)


if __name__ == "__main__":
    load = Load(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), list(zip(sys.argv[4::2], sys.argv[5::2])))
    asyncio.run(load.run())
    for record in load.records:
        print(json.dumps(record))
