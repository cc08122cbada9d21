"""Downloads by FTP, whose data connections have ports of their own: what the director's helper lets through."""

import json
from pathlib import Path

import pytest

SERVER = Path(__file__).parent / "ftp_server.py"
OCTETS = 300_000
CLIENT = """
import ftplib, json, sys
found = {}
for passive in (True, False):
    with ftplib.FTP() as ftp:
        ftp.connect(sys.argv[1], int(sys.argv[2]), timeout=20)
        ftp.login()
        ftp.set_pasv(passive)
        got = []
        ftp.retrbinary("RETR " + sys.argv[3], got.append)
        found["passive" if passive else "active"] = len(b"".join(got))
print(json.dumps(found))
"""


@pytest.fixture
def ftp_servers(entries, other_host):
    """FTP servers in place of the demo application."""
    hosts = {
        server.host.name: (other_host(server.host.name), server.at_port(entry.port))
        for entry in entries
        for server in entry.service.real_servers
    }
    try:
        for machine, port in hosts.values():
            machine.check_output("systemctl stop lvskit-lab-app")
            machine.check_output(f"cat > /run/ftp_server.py <<'LVSKIT'\n{SERVER.read_text()}\nLVSKIT")
            machine.check_output(f"systemd-run --unit=ftp-server python3 /run/ftp_server.py {port}")
            machine.check_output(
                f"for i in $(seq 100); do ss -Hltn sport = {port} | grep -q . && exit; sleep .2; done; false"
            )
        yield hosts
    finally:
        for machine, _ in hosts.values():
            machine.check_output("systemctl stop ftp-server; systemctl start lvskit-lab-app")


@pytest.mark.clients
@pytest.mark.ftp
def test_active_and_passive_downloads_by_ftp(host, entries, ftp_servers):
    assert ftp_servers
    host.check_output(f"cat > /run/ftp_client.py <<'LVSKIT'\n{CLIENT}\nLVSKIT")
    for entry in entries:
        got = json.loads(host.check_output(f"timeout 120 python3 /run/ftp_client.py {entry.vip} {entry.port} {OCTETS}"))
        assert got == {"passive": OCTETS, "active": OCTETS}, entry
