"""A steady load from a client. Runs on a lab machine.

    load.py RECORD STOP_FILE PERIOD TIMEOUT ADDRESS PORT [ADDRESS PORT…]

To each end it opens a new connection every PERIOD seconds for one request, whatever becomes of the others. A request that has no
complete answer with a status below 500 within TIMEOUT seconds is lost. Nobody listens on port 9 (discard): there a refusal is the
answer, which a kernel gives as long as its machine runs. Writes one line of JSON for each request to RECORD: the time of its start, the
end, whether it was answered, and by which host.
"""

import asyncio
import json
import os
import sys
import time

LONGEST = 7200  # seconds
DISCARD = 9


async def request(address, port):
    try:
        reader, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        if port == DISCARD:
            return ""
        raise
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    if status >= 500:
        raise ValueError(f"status {status}")
    return json.loads(body)["host"]


async def one(record, end, timeout):
    began = time.time()
    try:
        host, why = await asyncio.wait_for(request(*end), timeout), ""
    except Exception as error:
        host, why = "", f"{type(error).__name__} {error}"
    line = {
        "at": round(began, 3),
        "end": end[0],
        "port": end[1],
        "host": host,
        "why": why,
        "took": round(time.time() - began, 3),
    }
    record.write(json.dumps(line) + "\n")


async def main(record, stop, period, timeout, ends):
    running = set()
    until = time.monotonic() + LONGEST
    number = 0
    started = time.monotonic()
    while not os.path.exists(stop) and time.monotonic() < until:
        for place, end in enumerate(ends):
            due = started + (number + place / len(ends)) * period
            await asyncio.sleep(max(0, due - time.monotonic()))
            task = asyncio.ensure_future(one(record, end, timeout))
            running.add(task)
            task.add_done_callback(running.discard)
        number += 1
    if running:
        await asyncio.wait(running)


if __name__ == "__main__":
    words = sys.argv[5:]
    with open(sys.argv[1], "w", buffering=1) as file:
        pairs = [(address, int(port)) for address, port in zip(words[::2], words[1::2])]
        asyncio.run(main(file, sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), pairs))
