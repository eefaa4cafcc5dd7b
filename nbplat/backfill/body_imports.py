"""What a Python body imports from outside of what it is shipped with, and whether it always does."""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nbplat.backfill.python_body import FEATURE, Module, PythonBody

__all__ = ["BodyImports", "imports_in", "imports_of"]

_BRANCHES = (ast.If, ast.Try, ast.TryStar, ast.For, ast.While, ast.Match, ast.ExceptHandler)
_ENDS = (ast.Return, ast.Raise)


@dataclass(frozen=True, slots=True)
class BodyImports:
    """Top-level modules, by name.

    Attributes:
        certain: Imported whenever the body runs: it fails without them.
        possible: Imported under a condition, with something else to fall back on, or in a helper function.
    """

    certain: frozenset[str]
    possible: frozenset[str]

    @property
    def every(self) -> frozenset[str]:
        return self.certain | self.possible


def imports_of(body: PythonBody) -> BodyImports:
    """Read a body's imports from its text; modules that travel with it are left out."""
    certain: set[str] = set()
    possible: set[str] = set()
    for text in (body.source, *body.shipped.values()):
        for name, always in _of_statements(ast.parse(text).body, always=True):
            (certain if always else possible).add(name)
    for module in body.modules:
        possible |= {name for name, _ in _of_module(module)}
    shipped = {name for module in body.modules for name in _names(module)} | {"__future__"}
    return BodyImports(frozenset(certain - shipped), frozenset(possible - certain - shipped))


def imports_in(text: str) -> BodyImports:
    """Read the imports of a cell that runs from its top to its end.

    Raises:
        SyntaxError: it is no Python.
    """
    found = list(_of_statements(ast.parse(text).body, always=True))
    certain = frozenset(name for name, always in found if always) - {"__future__"}
    return BodyImports(certain, frozenset(name for name, _ in found) - certain - {"__future__"})


def _of_statements(statements: Iterable[ast.stmt], *, always: bool) -> Iterator[tuple[str, bool]]:
    for statement in statements:
        if isinstance(statement, ast.FunctionDef) and statement.name == FEATURE and always:
            yield from _of_statements(statement.body, always=True)
            continue
        straight = not isinstance(statement, (*_BRANCHES, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        for node in _walk(statement):
            for name in _modules_of(node):
                yield name, always and straight
        # After a branch that may leave, what follows is not sure to run.
        always = always and (straight or not any(isinstance(node, _ENDS) for node in ast.walk(statement)))


def _walk(statement: ast.stmt) -> Iterator[ast.AST]:
    """The nodes of a statement but for what only a type checker reads."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def _modules_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.partition(".")[0]


def _of_module(module: Module) -> Iterator[tuple[str, bool]]:
    if not module.name.endswith(".py"):
        return
    try:
        tree = ast.parse(module.data)
    except (SyntaxError, ValueError):
        return  # the body's first run says so, with the line
    yield from _of_statements(tree.body, always=True)


def _names(module: Module) -> Iterator[str]:
    """What a shipped module is imported as: one name, or those that lie at the top of its archive."""
    if module.name.endswith(".py"):
        yield module.name.removesuffix(".py")
        return
    try:
        with zipfile.ZipFile(io.BytesIO(module.data)) as archive:
            inside = archive.namelist()
    except zipfile.BadZipFile:
        return
    yield from {name.partition("/")[0].removesuffix(".py") for name in inside}
