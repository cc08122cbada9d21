"""`python -m lab`: the command line."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from lab import environment, lifecycle, paths, programs, snapshot, spec, update
from lab.errors import LabError
from lab.progress import Progress

INVENTORY = Path(__file__).resolve().parents[1] / "inventory/lab"


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "-i", "--inventory", action="append", default=[], metavar="DIR",
        help="inventory of the lab, as for ansible-playbook; may be repeated, later ones override earlier ones; default: inventory/lab",
    )  # fmt: skip
    top = argparse.ArgumentParser(prog="python -m lab", description="The virtual machines of an inventory.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("image", parents=[common], help="build image and snapshot of the inventory's releases")
    start = commands.add_parser("up", parents=[common], help="start the machines, or check that they are up")
    start.add_argument("--fresh", action="store_true", help="discard running machines and start from the snapshot")
    stop = commands.add_parser("down", help="stop everything this lab started")
    stop.add_argument("--all", action="store_true", help="and the labs of scenarios, too")
    commands.add_parser("status", parents=[common], help="machines, addresses, and whether they answer")
    ports = commands.add_parser("serve", parents=[common], help="have the demo application serve the services' ports")
    ports.add_argument("--keep", action="store_true", help="also keep the ports that it serves already")
    again = commands.add_parser("reboot", parents=[common], help="shut machines down and boot them from their disks")
    again.add_argument("--cut", action="store_true", help="cut their power in place of a shutdown")
    again.add_argument(
        "--kernel-options", default="", metavar="TEXT", help="options for the kernel besides the usual ones"
    )
    again.add_argument("hosts", nargs="+", metavar="HOST")
    ssh = commands.add_parser("ssh", help="log in to a machine, or run a command on it")
    ssh.add_argument("host")
    ssh.add_argument("words", nargs=argparse.REMAINDER, metavar="command")
    console = commands.add_parser("console", help="the end of a machine's serial console")
    console.add_argument("host")
    console.add_argument("-n", "--lines", type=int, default=40)
    return top


def run(options: argparse.Namespace) -> None:
    """Run the command of the command line. Raises LabError for a person to read."""
    state = paths.State(paths.this_lab())
    progress = Progress()
    if options.command == "down":
        stopped = sum(map(lifecycle.down, [state, *state.scenarios()] if options.all else [state]))
        progress(f"{stopped} machines stopped" if stopped else "nothing was running")
    elif options.command == "ssh":
        if not state.ssh_config.exists():
            raise LabError("the lab is down: start it with `python -m lab up`")
        os.execvp("ssh", ["ssh", "-F", str(state.ssh_config), options.host, *options.words])
    elif options.command == "console":
        print(snapshot.console_tail(state.host(options.host), options.lines))
    else:
        lab = spec.parse(environment.read([str(Path(given).absolute()) for given in options.inventory or [INVENTORY]]))
        if options.command == "up":
            lifecycle.up(state, lab, options.fresh, progress)
        elif options.command == "serve":
            update.serve(state, lab, options.keep, progress)
        elif options.command == "reboot":
            lifecycle.reboot(
                state, lab, options.hosts, progress, cut=options.cut, kernel_options=options.kernel_options
            )
        elif options.command == "status":
            print(lifecycle.status(state, lab))
        else:
            programs.require(programs.TO_RUN)
            for system, memory in dict.fromkeys((host.system, host.memory) for host in lab.hosts):
                progress(f"{system} snapshot: {snapshot.ensure(system, memory, progress).folder}")


def main() -> int:
    # A stopped job (CI, a closed terminal) cleans up like an interrupted one.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        run(parser().parse_args())
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
