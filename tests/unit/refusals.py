"""Which statements of the model refuse something, and which of them a piece of work reaches."""

import ast
import sys
from contextlib import contextmanager
from pathlib import Path

from ansible.module_utils import lvs

MODEL = Path(lvs.__path__[0])
FORM = (
    "inventory.py",
    "inventory_hosts.py",
    "reader.py",
    *(f"contract/{name}.py" for name in ("values", "addresses", "ports", "marks", "key")),
)
RULES = [path for path in sorted((MODEL / "rules").glob("*.py")) if path.name not in ("__init__.py", "catalogue.py")]


def _told_by_rules(tree):
    """What registered checks yield."""
    checks = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.decorator_list]
    inside = [node for check in checks for node in ast.walk(check)]
    return {node.lineno for node in inside if isinstance(node, ast.Expr) and isinstance(node.value, ast.Yield)}


def _refuses(node):
    """What reads values raises a Fault, or reports one."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return ast.unparse(node.exc.func) == "Fault"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func).endswith((".fault", "report"))
    return False


def statements():
    """The first line of each statement that refuses, by file."""
    found = {str(path): _told_by_rules(ast.parse(path.read_text())) for path in RULES}
    for path in (MODEL / name for name in FORM):
        found[str(path)] = {node.lineno for node in ast.walk(ast.parse(path.read_text())) if _refuses(node)}
    return found


@contextmanager
def reached(into):
    """Adds file and line of each such statement that runs meanwhile to the set `into`."""
    lines = statements()

    def trace(frame, event, argument):
        own = lines.get(frame.f_code.co_filename)
        if own is None:
            return None

        def line(frame, event, argument):
            if event == "line" and frame.f_lineno in own:
                into.add((frame.f_code.co_filename, frame.f_lineno))
            return line

        return line

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
