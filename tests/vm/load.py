"""Steady traffic from a client, and what went wrong with it. Runs on a lab machine.

    load.py STOP_FILE ADDRESS:PORT...

To each address it opens one connection after the other for one request each, and beside them connections that it keeps for
KEPT seconds with a request every now and then. Ends when the file is there. Prints JSON: how many requests were answered for
each address, and every failure with its time.
"""

import asyncio
import json
import os
import sys
import time

PAUSE = 5  # seconds between requests: an emulated machine is slow
KEPT = 20  # seconds from its first request to its last, so that an answer late by a minute still comes before a drain gives up
KEPT_AT_ONCE = 1
PATIENCE = 45  # seconds for an answer: retransmissions are no loss, nor is a machine that others keep from running
LONGEST = 3600  # seconds


class Load:
    def __init__(self, stop, addresses):
        self.stop = stop
        self.until = time.monotonic() + LONGEST
        self.answered = dict.fromkeys(addresses, 0)
        self.failures = []

    def goes_on(self):
        return not os.path.exists(self.stop) and time.monotonic() < self.until

    async def request(self, streams, address):
        reader, writer = streams
        writer.write(f"GET / HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        await reader.readexactly(length)
        self.answered[address] += 1

    async def connection(self, address, seconds):
        """A connection from its first to its last request."""
        host, _, port = address.partition(":")
        started, step = time.time(), "connect"
        writer = None
        try:
            streams = await asyncio.wait_for(asyncio.open_connection(host, int(port)), PATIENCE)
            writer = streams[1]
            step, requests = "request", 0
            until = time.monotonic() + seconds
            while True:
                requests += 1
                await asyncio.wait_for(self.request(streams, address), PATIENCE)
                if time.monotonic() + PAUSE > until or not self.goes_on():
                    break
                step = f"request {requests + 1}"
                await asyncio.sleep(PAUSE)
        except Exception as error:
            self.failures.append(
                {
                    "address": address,
                    "began": round(started, 2),
                    "failed": round(time.time(), 2),
                    "kept": bool(seconds),
                    "step": step,
                    "why": f"{type(error).__name__} {error}",
                }
            )
        finally:
            if writer:
                writer.close()

    async def one_after_the_other(self, address, seconds):
        while self.goes_on():
            await self.connection(address, seconds)
            await asyncio.sleep(PAUSE)

    async def run(self):
        await asyncio.gather(
            *(self.one_after_the_other(address, 0) for address in self.answered),
            *(self.one_after_the_other(address, KEPT) for address in self.answered for _ in range(KEPT_AT_ONCE)),
        )


if __name__ == "__main__":
    load = Load(sys.argv[1], sys.argv[2:])
    asyncio.run(load.run())
    print(json.dumps({"answered": load.answered, "failures": load.failures}))
