"""An FTP server (RFC 959, RFC 2428) of the commands that a download needs, of both families. Runs on a lab machine, as root.

    ftp_server.py PORT

RETR N sends N octets, in active mode from the port below PORT, in passive mode from any.
"""

import ipaddress
import re
import socket
import socketserver
import sys

ANSWERS = {"USER": "331 Password", "PASS": "230 Logged in", "TYPE": "200 Type set", "QUIT": "221 Bye"}


class Control(socketserver.StreamRequestHandler):
    def handle(self):
        self.say("220 Ready")
        data = None
        for line in self.rfile:
            command, _, argument = line.decode().strip().partition(" ")
            if command in ANSWERS:
                self.say(ANSWERS[command])
            elif command in ("PASV", "EPSV"):
                data = self.passive(command)
            elif command in ("PORT", "EPRT"):
                data = self.active(command, argument)
            elif command == "RETR":
                self.say("150 Here it comes")
                with data() as connection:
                    connection.sendall(b"x" * int(argument))
                self.say("226 Done")
            else:
                self.say("502 Not here")
            if command == "QUIT":
                return

    def say(self, line):
        self.wfile.write(f"{line}\r\n".encode())

    @property
    def own(self):
        return self.connection.getsockname()[0].replace("::ffff:", "")

    def passive(self, command):
        family = socket.AF_INET6 if ":" in self.own else socket.AF_INET
        listener = socket.create_server((self.own, 0), family=family)
        port = listener.getsockname()[1]
        if command == "EPSV":
            self.say(f"229 Extended passive (|||{port}|)")
        else:
            self.say(f"227 Passive ({self.own.replace('.', ',')},{port >> 8},{port & 255})")
        return lambda: listener.accept()[0]

    def active(self, command, argument):
        if command == "EPRT":
            _, _, address, port, _ = argument.split("|")
        else:
            numbers = re.findall(r"\d+", argument)
            address, port = ".".join(numbers[:4]), int(numbers[4]) * 256 + int(numbers[5])
        self.say("200 Active")
        source = self.own, self.server.server_address[1] - 1
        return lambda: socket.create_connection((str(ipaddress.ip_address(address)), int(port)), 20, source)


class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6  # and IPv4, inside it
    allow_reuse_address = daemon_threads = True


if __name__ == "__main__":
    with Server(("::", int(sys.argv[1])), Control) as server:
        server.serve_forever()
