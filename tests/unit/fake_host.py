"""A host in a folder: files below it, and programs that keep what they are told in memory and answer as the real ones do.

It serves to hold lvskit's decisions: which commands, in which order, with which files. What kernels do with them is the business of
the scenarios on virtual machines.
"""

import contextlib
import io
import json
from pathlib import Path

from ansible.module_utils.lvs_host import files, host, ipvs, ipvs_netlink, netfilter, programs
from ansible.module_utils.lvs_host.errors import HostError
from ansible.module_utils.lvs_host.kinds import TEXTS
from ansible.module_utils.lvs_host.resource import statements
from ansible.module_utils.testing import patch_module_args

PROGRAMS = (
    "ip",
    "ipvsadm",
    "iptables",
    "iptables-save",
    "iptables-restore",
    "ip6tables",
    "ip6tables-save",
    "ip6tables-restore",
    "modprobe",
    "rmmod",
    "systemctl",
    "depmod",
)
RECORDS = set(TEXTS.values())
# The kind of the tunnels of each kernel module, and the device that it creates.
TUNNELS = {"ipip": ("ipip", "tunl0"), "sit": ("sit", "sit0"), "ip6_tunnel": ("ip6tnl", "ip6tnl0")}


class FakeHost:
    """`addresses` are those that each interface has from the beginning. `fails` maps words of a command to what it says as it fails."""

    def __init__(self, folder, monkeypatch, addresses=()):
        self.folder = folder
        self.addresses = {"lo": ["127.0.0.1/8"], **{name: [address] for name, address in dict(addresses).items()}}
        self.up, self.routes, self.rules = set(self.addresses), [], {"4": [], "6": []}
        self.tables, self.tables6, self.services = {}, {}, {}
        self.active = set()
        self.programs, self.fails, self.log = set(PROGRAMS), {}, []
        self.place("/run").mkdir(parents=True)
        monkeypatch.setattr(files, "ROOT", str(folder))
        monkeypatch.setattr(programs, "run", self)
        for module in (programs, host, netfilter):
            monkeypatch.setattr(module, "find", lambda name: name if name in self.programs else None)
        monkeypatch.setattr(ipvs_netlink, "carry_out", self.netlink)
        monkeypatch.setattr("os.geteuid", lambda: 0)

    def place(self, path):
        return Path(f"{self.folder}{path}")

    def write(self, path, text):
        self.place(path).parent.mkdir(parents=True, exist_ok=True)
        self.place(path).write_text(text)

    def sysctl(self, key):
        return int(self.place(f"/proc/sys/{key}").read_text())

    def tree(self):
        """All files below /etc, /var and /run, with their content."""
        found = (path for top in ("etc", "var", "run") for path in (self.folder / top).rglob("*"))
        return {f"/{path.relative_to(self.folder)}": path.read_bytes() for path in found if path.is_file()}

    def boot(self):
        """Does what the files of record say, as at boot, and links their units."""
        for name in statements(self.text(TEXTS["modules"])):
            self(["modprobe", name])
        for line in statements(self.text(TEXTS["sysctls"])):
            key, _, value = line.partition(" = ")
            self.write(f"/proc/sys/{key}", f"{value}\n")
        for name, tables in (("", self.tables), ("6", self.tables6)):
            rules = self.text(TEXTS[f"netfilter{name}"])
            if rules:
                self([f"ip{name}tables-restore"], rules)
            for table, chain in [(t, c) for t, chains in tables.items() for c in chains]:
                hook = chain.partition("LVSKIT-")[2]
                tables[table].setdefault(hook, []).append(f"-A {hook} -j {chain}")
        self.netlink(statements(self.text(TEXTS["ipvs"])))
        self(["ip", "-batch", "-"], self.text(TEXTS["network"]))
        self(["ip", "-6", "-batch", "-"], self.text(TEXTS["network6"]))
        for path in (path for path in RECORDS if path.endswith(".service") and self.text(path)):
            self(["systemctl", "enable", "--no-reload", Path(path).name])
            self.active.add(Path(path).name)
        self.log.clear()

    def text(self, path):
        return self.place(path).read_text() if self.place(path).exists() else ""

    def run(self, module, check=False, **arguments):
        """What an Ansible module returns of the host."""
        out = io.StringIO()
        given = patch_module_args({**arguments, "_ansible_check_mode": check})
        with given, contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            module.main()
        return json.loads(out.getvalue())

    def __call__(self, argv, stdin=None):
        """A CommandRunner."""
        self.log.append(" ".join(argv))
        if argv[0] not in self.programs:
            raise HostError(programs.missing(argv[0]))
        for words, said in self.fails.items():
            if words in f"{' '.join(argv)}\n{stdin or ''}":
                return 1, "", said
        answer = getattr(self, f"_{argv[0].replace('-', '_')}")(argv, stdin)
        return 0, answer or "", ""

    def _modprobe(self, argv, stdin):
        if argv[1] == "--show-depends":
            return f"insmod /lib/{argv[2]}.ko\n"
        self.place(f"/sys/module/{argv[1]}/parameters").mkdir(parents=True, exist_ok=True)
        for setting in argv[2:]:
            name, _, value = setting.partition("=")
            self.write(f"/sys/module/{argv[1]}/parameters/{name}", f"{value}\n")
        if argv[1] in TUNNELS:
            self.addresses.setdefault(TUNNELS[argv[1]][1], [])
        return None

    def _rmmod(self, argv, stdin):
        folder = self.place(f"/sys/module/{argv[1]}")
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()

    def _depmod(self, argv, stdin):
        pass

    def _systemctl(self, argv, stdin):
        name = argv[-1]
        link = self.place(f"/etc/systemd/system/multi-user.target.wants/{name}")
        if argv[1] == "enable":
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(f"../{name}")
        elif argv[1] == "disable":
            link.unlink(missing_ok=True)
            self.active.discard(name)
        elif argv[1] == "start":
            self.active.add(name)
        elif argv[1] == "show":
            return f"Version=252\nActiveState={'active' if name in self.active else 'inactive'}\nNeedDaemonReload=no\n"
        return None

    def _ip(self, argv, stdin):
        family = "6" if "-6" in argv else "4"
        if "-batch" in argv:
            for line in statements(stdin):
                self._statement(line.split(), family)
            return None
        wanted = argv[argv.index("show") - 1]
        if wanted == "address":
            start = dict(TUNNELS.values())[argv[-1]].rstrip("0") if "type" in argv else ""
            return json.dumps([self._link(name) for name in self.addresses if name.startswith(start)])
        found = (
            [r for r in self.routes if family == "4" or ":" in " ".join(r)] if wanted == "route" else self.rules[family]
        )
        return json.dumps(list(map(_spelled, found)))

    def _link(self, name):
        info = []
        for address in self.addresses[name]:
            words = address.split()
            local, _, length = words[0].partition("/")
            scope = "link" if local.startswith("fe80") else "host" if local.startswith("127") else "global"
            one = {
                "family": "inet6" if ":" in local else "inet",
                "local": local,
                "prefixlen": int(length),
                "scope": scope,
            }
            one["preferred_life_time"] = 0 if "preferred_lft" in words else 4294967295
            info.append({**one, **({"nodad": True} if "nodad" in words else {})})
        return {"ifname": name, "flags": ["UP"] if name in self.up else [], "addr_info": info}

    def _statement(self, words, family):
        kind, verb, *rest = words
        if kind == "link":
            (self.up.add if rest[-1] == "up" else self.up.discard)(rest[1])
        elif kind == "address":
            held = self.addresses[rest[2]]
            held[:] = [address for address in held if address.split()[0] != rest[0]]
            if verb == "replace":
                held.append(" ".join([rest[0], *rest[3:]]))
        else:
            held = self.routes if kind == "route" else self.rules[family]
            held.append(rest) if verb != "del" else held.remove(rest)

    def _ip6tables_save(self, argv, stdin):
        return self._iptables_save(argv, stdin)

    def _ip6tables_restore(self, argv, stdin):
        self._iptables_restore(argv, stdin)

    def _iptables_save(self, argv, stdin):
        tables = self.tables6 if argv[0].startswith("ip6") else self.tables
        lines = []
        for table, chains in tables.items():
            heads = [f":{chain} {'-' if chain.startswith('LVSKIT') else 'ACCEPT'} [0:0]" for chain in chains]
            lines += [f"*{table}", *heads, *(rule for rules in chains.values() for rule in rules), "COMMIT", ""]
        return "\n".join(lines)

    def _iptables_restore(self, argv, stdin):
        tables = self.tables6 if argv[0].startswith("ip6") else self.tables
        for line in statements(stdin):
            verb, _, rest = line.partition(" ")
            chain = rest.partition(" ")[0]
            if line.startswith("*"):
                chains = tables.setdefault(line[1:], {})
            elif line.startswith(":"):
                chains[verb[1:]] = []
            elif verb in ("-A", "-I"):
                chains.setdefault(chain, []).append(f"-A {rest}")
            elif verb == "-D":
                chains[chain].remove(f"-A {rest}")
            elif verb == "-X":
                del chains[chain]

    def _ipvsadm(self, argv, stdin):
        if "--save" in argv:
            return ipvs.render(self.services)
        raise AssertionError("netlink does it")

    def netlink(self, lines):
        """The IPVS table's changes, as ipvs_netlink.carry_out makes them; what was refused."""
        self.log += [f"ipvsadm {line}" for line in lines]
        refused = [f"{line}: No space left on device" for line in lines if any(words in line for words in self.fails)]
        for line in (line for line in lines if not refused):
            verb, flag, address, *rest = line.split()
            if verb in ("-A", "-E"):
                there = self.services.get((flag, address))
                self.services[flag, address] = ipvs.VirtualService(" ".join(rest), there.destinations if there else {})
            elif verb == "-D":
                del self.services[flag, address]
            elif verb == "-d":
                del self.services[flag, address].destinations[rest[1]]
            else:
                self.services[flag, address].destinations[rest[1]] = " ".join(rest[2:])
        self.write(ipvs.TABLE, "IP Virtual Server version 1.2.1 (size=4096)\n" + self._listed())
        return refused

    def _listed(self):
        return "".join(f"{'TCP' if flag == '-t' else 'UDP'}  {address}\n" for flag, address in self.services)


def _spelled(words):
    """A route or rule, as `ip -json` spells it."""
    found = {}
    if words[0] == "default":
        found["dst"], words = words[0], words[1:]
    names = {"via": "gateway", "from": "src", "lookup": "table", "suppress_prefixlength": "suppress_prefixlen"}
    for name, value in zip(words[::2], words[1::2]):
        key = names.get(name, name)
        found[key] = int(value) if key in ("sport", "priority", "suppress_prefixlen") else value
    return found
