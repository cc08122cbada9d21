#!/bin/bash
# Prints what a host has of the kinds of state that lvskit writes, so that two outputs can be compared:
#   bash -s PART... < state.sh
# No counters are printed. A program that is missing makes it fail. (Not by Ansible's `script`: ssh then has a terminal, and
# Ansible sometimes leaves an empty line of sudo's in the output.)
set -euo pipefail
shopt -s nullglob

network() {
    ip -4 -oneline address show | awk '{print "address", $2, $4}'
    ip -4 rule show
    ip -4 route show table all
}

# Rules and added chains. Empty tables and their built-in chains stay for good once a program has looked at them.
netfilter() {
    iptables-save | awk '/^\*/ {table = $1} /^-A/ {print table, $0} /^:[^ ]+ - / {print table, $1}'
}

# From the kernel: ipvsadm loads its module only to look, and is missing on hosts of one scenario.
ipvs() {
    if [ -e /proc/net/ip_vs ]; then
        echo loaded
        awk 'NR > 3 && $1 == "->" {print $1, $2, $3, $4} NR > 3 && $1 != "->"' /proc/net/ip_vs
    fi
}

settings() {
    local interfaces=(/sys/class/net/eth*)
    for name in all default lo "${interfaces[@]##*/}"; do
        grep -H '' "/proc/sys/net/ipv4/conf/$name"/{arp_ignore,arp_announce,rp_filter,send_redirects,accept_local}
    done
    grep -H '' /proc/sys/net/ipv4/ip_forward
}

# Kernel modules that were built, each with the identity of its build, and those of tunnels.
modules() {
    for folder in /sys/module/lvskit_* /sys/module/toa* /sys/module/ipip* /sys/class/net/tunl0*; do
        note=$folder/notes/.note.gnu.build-id
        echo "$folder $(if [ -e "$note" ]; then od -An -v -tx1 "$note" | tr -d ' \n'; fi)"
    done
}

# Files of record and units.
records() {
    find /etc -name '*lvskit*' -not -path '*lvskit-lab*'
}

# All of lvskit's files.
files() {
    find /etc /var/lib /lib/modules /usr/src /run -name '*lvskit*' -not -path '*lvskit-lab*'
}

for part in "$@"; do
    "$part" | sort | sed "s|^|$part: |"
done
