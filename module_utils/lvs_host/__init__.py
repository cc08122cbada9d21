"""Runs on the hosts: reads what a host's kernel really has, and brings it to what the files of record say."""
