"""What systemd does with a unit of lvskit, on a host in a folder whose programs are shell scripts."""

import shlex
import subprocess


def _values(text, key):
    lines = text.replace("\\\n", " ").splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def conditions(text):
    """The paths of ConditionPathExists=. Those with | before them are alternatives."""
    return _values(text, "ConditionPathExists")


def program(root, name, script):
    """Makes a program of the host. Each run of it adds a line with its name and arguments to the file that `told` reads."""
    path = root / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\n{script}\necho {name} "$@" >>{root}/told\n')
    path.chmod(0o755)


def start(text, root):
    """The exit code of the unit: it runs the commands one after the other until one fails. 0 if its conditions do not hold."""
    (root / "told").write_text("")
    there = {path: (root / path.lstrip("|/")).exists() for path in conditions(text)}
    required = [path for path in there if not path.startswith("|")]
    alternatives = [path for path in there if path.startswith("|")]
    if not all(there[path] for path in required) or (alternatives and not any(there[path] for path in alternatives)):
        return 0
    for command in _values(text, "ExecStart"):
        words = shlex.split(command.replace("$$", "$").replace("/etc/lvskit", f"{root}/etc/lvskit"))
        done = subprocess.run(words, env={"PATH": f"{root}/bin:/usr/bin:/bin"}, check=False)
        if done.returncode:
            return done.returncode
    return 0


def told(root):
    """The programs that the last start ran, with their arguments."""
    return (root / "told").read_text().replace(f"{root}/", "/").splitlines()
