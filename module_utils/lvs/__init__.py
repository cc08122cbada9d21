"""The model of Linux Virtual Server that everything else in lvskit reads: plain Python, no I/O, no Ansible."""
