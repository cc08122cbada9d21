"""Servers for every type of health check. Runs on a lab machine.

    check_servers.py RIGHT WRONG CERTIFICATE

On the address RIGHT each answers as its check wants it, on WRONG it does not: the ports are those of tests/vm/test_check_types.py.
"""

import asyncio
import ssl
import struct
import sys

TCP, HTTP, HTTPS, DIGEST, SMTP = 7001, 7002, 7003, 7004, 7005
DNS, UDP = 7006, 7007
CONTENT = b"all is fine\n"


def dns(right, data):
    """An answer with one address, or SERVFAIL (RFC 1035, 4.1)."""
    number, question = data[:2], data[12:]
    head = struct.pack("!HHHHH", 0x8180 if right else 0x8182, 1, int(right), 0, 0)
    answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 1])
    return number + head + question + (answer if right else b"")


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answer):
        self.answer = answer

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, sender):
        self.transport.sendto(self.answer(data), sender)


def http(status, content):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(content), content))
        await writer.drain()
        writer.close()

    return serve


def smtp(code):
    async def serve(reader, writer):
        writer.write(b"220 lab\r\n")
        while line := await reader.readline():
            writer.write(b"221 bye\r\n" if line.startswith(b"QUIT") else b"%d lab\r\n" % code)
            await writer.drain()
        writer.close()

    return serve


async def main(right, wrong, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    await asyncio.start_server(http(200, b""), right, TCP)  # nobody listens on the other address
    for address, status, content in ((right, 200, CONTENT), (wrong, 500, CONTENT)):
        await asyncio.start_server(http(status, content), address, HTTP)
        await asyncio.start_server(http(status, content), address, HTTPS, ssl=context)
    for address, content in ((right, CONTENT), (wrong, b"changed\n")):
        await asyncio.start_server(http(200, content), address, DIGEST)
    for address, code in ((right, 250), (wrong, 550)):
        await asyncio.start_server(smtp(code), address, SMTP)
    for address in (right, wrong):
        own = address == right
        await loop.create_datagram_endpoint(lambda own=own: Datagrams(lambda data: dns(own, data)), (address, DNS))
        await loop.create_datagram_endpoint(
            lambda own=own: Datagrams(lambda data: b"pong" if own else b"no"), (address, UDP)
        )
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
