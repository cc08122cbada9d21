"""The mutation operators: each mutant of a Python file differs from it in one place of the syntax tree.

Not mutated, since no test should depend on it: docstrings, a module's documentation, annotations, imports, decorators, and the
words of messages for a person.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list"}
METHODS = {"startswith": "endswith", "endswith": "startswith", "union": "intersection", "intersection": "union"}
NONE = ast.Constant(None)
EMPTY: dict[str, ast.expr] = {
    "str": ast.Constant(""),
    "int": ast.Constant(0),
    "bytes": ast.Constant(b""),
    "list": ast.List([], ast.Load()),
    "tuple": ast.Tuple([], ast.Load()),
    "dict": ast.Dict([], []),
}
TEXTS = ("DOCUMENTATION", "EXAMPLES", "RETURN")  # documentation in Ansible modules
NO_BEHAVIOUR = ("annotation", "returns", "decorator_list", "type_comment", "type_params")
UNORDERED = ("set", "frozenset", "isinstance", "issubclass", "startswith", "endswith")
GENERIC = ("dict", "list", "tuple", "set", "frozenset", "Callable", "Mapping", "Optional", "Sequence", "Union")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
SHOWN = 100  # characters of the code around a change that are shown


@dataclass(frozen=True)
class Site:
    """One place of a tree, and the node that replaces it.

    `trail` has the nodes above it, from the module down. It stands in the field `field` of the last node of the trail, in a list at `index`.
    """

    trail: tuple[ast.AST, ...]
    field: str
    index: int | None
    node: ast.AST
    replacement: ast.AST

    @cached_property
    def statement(self) -> ast.stmt:
        return next(node for node in (self.node, *reversed(self.trail)) if isinstance(node, ast.stmt))

    @property
    def line(self) -> int:
        return getattr(self.node, "lineno", self.statement.lineno)

    @property
    def lines(self) -> range:
        """The lines of the statement, of a compound one those of its head."""
        body = getattr(self.statement, "body", None) or getattr(self.statement, "cases", None)
        first = self.statement.lineno
        end = self.statement.end_lineno or first
        return range(first, max(first, getattr(body[0], "lineno", end + 1) - 1) + 1 if body else end + 1)

    @property
    def function(self) -> str:
        """The qualified name of the function or class in which it stands; nothing in the module itself."""
        return ".".join(node.name for node in self.trail if isinstance(node, (*FUNCTIONS[:2], ast.ClassDef)))

    @property
    def at_import(self) -> bool:
        """Whether the code runs when the file is imported, not when a function is called. Default values of parameters do."""
        return not any(
            isinstance(node, FUNCTIONS) and below is not node.args
            for node, below in zip(self.trail, (*self.trail[1:], self.node))
        )

    def applied(self, source: str) -> str:
        """The text of the mutated file. All else in it stays as it is, comments and layout too: tests may read it."""
        unit = self._unit
        if unit is self.node:
            text = ast.unparse(self.replacement)
        else:
            self._put(self.replacement)
            text = ast.unparse(unit)
            self._put(self.node)
        lines = source.encode().splitlines(keepends=True)
        first, last = unit.lineno - 1, (unit.end_lineno or unit.lineno) - 1
        before, after = lines[first][: unit.col_offset], lines[last][unit.end_col_offset :]
        new = (f"({text})" if isinstance(unit, ast.expr) else text).encode()
        return b"".join([*lines[:first], before, new, after, *lines[last + 1 :]]).decode()

    @property
    def _unit(self) -> ast.expr | ast.stmt:
        """The smallest node around the place whose position in the text is known: in an f-string Python 3.11 has wrong ones."""
        nodes = (*self.trail, self.node)
        end = next((n for n, node in enumerate(nodes, 1) if isinstance(node, ast.JoinedStr)), len(nodes))
        return next(node for node in reversed(nodes[:end]) if isinstance(node, (ast.expr, ast.stmt)))

    def told(self) -> tuple[str, str]:
        """The code before and after, with the expressions around it while they fit on a line."""
        shown: ast.AST = self.statement if isinstance(self.node, ast.stmt) else self.node
        for node in reversed(self.trail):
            if shown is self.statement or not isinstance(node, (ast.expr, ast.keyword, ast.comprehension, ast.stmt)):
                break
            if hasattr(node, "body") or len(ast.unparse(node)) > SHOWN:
                break
            shown = node
        before = ast.unparse(shown)
        if shown is self.node:
            return _shortened(before, ast.unparse(self.replacement))
        self._put(self.replacement)
        try:
            return _shortened(before, ast.unparse(shown))
        finally:
            self._put(self.node)

    def _put(self, node: ast.AST) -> None:
        parent = self.trail[-1]
        if self.index is None:
            setattr(parent, self.field, node)
        else:
            getattr(parent, self.field)[self.index] = node


def sites(tree: ast.Module) -> list[Site]:
    """Every mutation of a file, in the order of its text."""
    return list(_below(tree, ()))


def _below(parent: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[Site]:
    trail = (*above, parent)
    for field, value in ast.iter_fields(parent):
        if field in NO_BEHAVIOUR:
            continue
        for index, node in enumerate(value) if isinstance(value, list) else ((None, value),):
            if not isinstance(node, ast.AST) or _silent(node, parent):
                continue
            for replacement in _changes(node, trail):
                yield Site(trail, field, index, node, replacement)
            yield from _below(node, trail)


def _silent(node: ast.AST, parent: ast.AST) -> bool:
    """Whether a node and all below it are left as they are."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)  # a docstring
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) in TEXTS or _is_alias(node)
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in ("__name__ == '__main__'", "TYPE_CHECKING")
    if isinstance(node, (ast.Constant, ast.JoinedStr)):
        return _is_prose(node)
    if isinstance(parent, ast.FormattedValue):
        return node is parent.format_spec
    return isinstance(node, (ast.Import, ast.ImportFrom))


def _is_alias(node: ast.Assign) -> bool:
    """Whether it names a type."""
    value = node.value
    return isinstance(value, ast.Subscript) and isinstance(value.value, ast.Name) and value.value.id in GENERIC


def _is_prose(node: ast.Constant | ast.JoinedStr) -> bool:
    """Whether a text is a sentence of a message and not a command: four words or more, no option."""
    pieces = [node] if isinstance(node, ast.Constant) else node.values
    text = "".join(str(piece.value) if isinstance(piece, ast.Constant) else "x1" for piece in pieces)
    return len(re.findall(r"(?:^|(?<=\s))[A-Za-z]+[,.:;]?(?=\s|$)", text)) >= 4 and not re.search(r"(^|\s)-\w", text)


def _changes(node: ast.AST, trail: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """The nodes that can replace a node."""
    parent = trail[-1]
    if isinstance(parent, ast.If) and node is parent.test:
        yield ast.UnaryOp(ast.Not(), node)
    if isinstance(node, ast.Compare):
        for number, operator in enumerate(node.ops):
            yield _with(node, ops=[*node.ops[:number], COMPARISONS[type(operator)](), *node.ops[number + 1 :]])
    elif isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, (ast.BinOp, ast.AugAssign)):
        sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.value,)
        if type(node.op) in ARITHMETIC and not any(_is_joined(side) for side in sides):
            yield _with(node, op=ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif isinstance(node, (ast.Tuple, ast.List)) and isinstance(node.ctx, ast.Load) and _order_counts(parent):
        for number, (first, second) in enumerate(zip(node.elts, node.elts[1:])):
            if ast.dump(first) != ast.dump(second):
                yield _with(node, elts=[*node.elts[:number], second, first, *node.elts[number + 2 :]])
    elif isinstance(node, ast.IfExp):
        yield _with(node, body=node.orelse, orelse=node.body)
    elif isinstance(node, ast.comprehension):
        for number in range(len(node.ifs)):
            yield _with(node, ifs=[*node.ifs[:number], *node.ifs[number + 1 :]])
    elif isinstance(node, ast.Return):
        yield from _returned(node, trail)
    if _can_go(node):
        yield ast.Pass()
    elif isinstance(node, (ast.Break, ast.Continue)):
        yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    value: Any = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, (int, float)):
        yield ast.Constant(value + 1)
    elif isinstance(value, str):
        yield ast.Constant(value + "XX")
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"XX")


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    if isinstance(node.func, ast.Name) and node.func.id in NAMES:
        kept = [] if node.func.id == "sorted" else node.keywords
        yield _with(node, func=ast.Name(NAMES[node.func.id], ast.Load()), keywords=kept)
    if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
        yield _with(node, func=_with(node.func, attr=METHODS[node.func.attr]))
    for number, keyword in enumerate(node.keywords):
        if keyword.arg == "encoding":  # equivalent where UTF-8 is the default
            continue
        yield _with(node, keywords=[*node.keywords[:number], *node.keywords[number + 1 :]])


def _returned(node: ast.Return, trail: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """None, or the empty value of the annotated type; for bool the negation."""
    if node.value is None:
        yield ast.Pass()
        return
    function = next(above for above in reversed(trail) if isinstance(above, FUNCTIONS[:2]))
    said = ast.unparse(function.returns).split("[")[0] if function.returns else ""
    constant = isinstance(node.value, ast.Constant)
    if said == "bool" and not constant:
        yield ast.Return(ast.UnaryOp(ast.Not(), node.value))
    elif said != "bool":
        for empty in (EMPTY.get(said, NONE), NONE):
            if ast.dump(empty) != ast.dump(node.value):
                yield ast.Return(empty)
                break


def _can_go(node: ast.AST) -> bool:
    """Whether a statement can be removed without leaving a name undefined."""
    if isinstance(node, ast.Assign):
        return all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets)
    return isinstance(node, (ast.Expr, ast.AugAssign, ast.Raise, ast.Delete, ast.Assert))


def _order_counts(parent: ast.AST) -> bool:
    if isinstance(parent, ast.Compare):
        return not any(isinstance(operator, (ast.In, ast.NotIn)) for operator in parent.ops)
    called = getattr(parent, "func", None)
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
    return not isinstance(parent, ast.ExceptHandler) and name not in UNORDERED


def _is_joined(node: ast.AST) -> bool:
    """Whether it is a text or list: with any operator but + there is only a TypeError."""
    literal = isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))
    return literal or isinstance(node, (ast.JoinedStr, ast.List, ast.Tuple, ast.ListComp))


def _with(node: Any, **fields: Any) -> Any:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _shortened(before: str, after: str) -> tuple[str, str]:
    """Both texts on one line each, cut to what stands around the first difference."""
    before, after = (" ".join(text.split()) for text in (before, after))
    same = next((n for n, (one, other) in enumerate(zip(before, after)) if one != other), 0)
    start = max(0, same - SHOWN // 2)
    return _cut(before, start), _cut(after, start)


def _cut(text: str, start: int) -> str:
    end = start + 2 * SHOWN
    return f"{'…' if start else ''}{text[start:end]}{'…' if len(text) > end else ''}"
