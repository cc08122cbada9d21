"""Code that runs on the hosts: reads the kernel's state, and changes it to the wanted state."""
