#!/bin/bash
# Prints what a host has of the kinds of state that lvskit writes, so that two outputs can be compared:
#   bash -s PART... < state.sh
# No counters are printed. A program that is missing makes it fail. (Not by Ansible's `script`: ssh then has a terminal, and
# Ansible sometimes leaves an empty line of sudo's in the output.)
set -euo pipefail
shopt -s nullglob

network() {
    local family
    for family in -4 -6; do
        ip "$family" -oneline address show | awk '{print "address", $2, $4}'
        ip "$family" rule show
        ip "$family" route show table all
    done
}

# Rules and added chains. Empty tables and their built-in chains stay for good once a program has looked at them.
netfilter() {
    local program
    for program in iptables ip6tables; do
        "$program-save" | awk '/^\*/ {table = $1} /^-A/ {print table, $0} /^:[^ ]+ - / {print table, $1}'
    done
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
    grep -H '' /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/{all/forwarding,{all,default,lo,eth*}/accept_redirects}
}

# Kernel modules that were built, each with the identity of its build, and those of tunnels.
modules() {
    for folder in /sys/module/lvskit_* /sys/module/toa* /sys/module/{ipip,sit,ip6_tunnel}* /sys/class/net/{tunl0,sit0,ip6tnl0}*; do
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
    find /usr/lib -maxdepth 1 -name lvskit
}

for part in "$@"; do
    "$part" | sort | sed "s|^|$part: |"
done
