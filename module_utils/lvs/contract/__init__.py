"""The keys of an inventory and the variables of playbooks and roles, each declared once.

    values      kinds of values: how one is converted, what is refused, its JSON Schema
    addresses   those of values that are addresses or networks
    ports       ports, and ranges of them
    marks       firewall marks
    key         a key: its kind, default, meaning, and the modes it is for
    networks    lvs_networks, and where hosts are plugged in
    hosts       the variables of a host
    directors   lvs_directors
    services    lvs_services
    variables   those of playbooks and roles, and the names that version 0.1.0 had
    schema      all of it as a JSON Schema

The classes of networks, hosts and services are the model's own: a field with `key(…)` is a key of the inventory.
"""
