"""The model of an LVS environment, which all other parts of lvskit use: plain Python, no I/O, no Ansible."""
