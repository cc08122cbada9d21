"""Runs on the controller: between Ansible's variables and the model."""
