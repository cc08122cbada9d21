"""Keeps the bytecode of what Python imports from zip archives.

Ansible sends its modules as source in a new archive each time, and an emulated processor takes seconds to compile them. What is
kept is found by the source itself, so that it never stands for another one.
"""

import _imp
import marshal
import os
import zipimport

FOLDER = "/var/cache/lvskit-lab-bytecode"
compile_source = zipimport._compile_source


def kept_or_compiled(path, source):
    kept = f"{FOLDER}/{_imp.source_hash(len(source), source).hex()}"
    try:
        with open(kept, "rb") as file:
            return marshal.load(file)
    except (OSError, ValueError, EOFError, TypeError):
        code = compile_source(path, source)
    try:
        with open(f"{kept}.{os.getpid()}", "wb") as file:
            marshal.dump(code, file)
        os.replace(f"{kept}.{os.getpid()}", kept)
    except OSError:
        pass  # no root, or no room: then it is compiled again
    return code


zipimport._compile_source = kept_or_compiled
