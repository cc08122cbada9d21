"""The lab: one QEMU machine for every host of an inventory, wired by a learning switch in user space.

`python -m lab` is the command line; the modules below it each have one subject:

    environment  what the inventory says, read by the model
    spec         the machines for it: ports, default routes, ports of the demo application
    image        the disk image of a Debian release, built once and cached
    snapshot     a booted machine frozen to files, of which every lab machine is a copy-on-write clone
    identity     the files and scripts that make a machine the host of that name
    switch       the vde_switch: VLANs, and what passed each port
    qemu         command line, processes, QMP and guest agent
    machines     the machines of a lab, and what runs in them
    records      what was started for each host
    update       files of machines that run; ports of the demo application
    lifecycle    up, down, status
"""

from pathlib import Path

import ansible.module_utils

# The model, under the name that it has in modules and plugins.
ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
