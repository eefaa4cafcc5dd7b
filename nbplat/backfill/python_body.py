"""The Python body of a feature: what it defines, which columns it reads, what it must be shipped with.

Everything here is read from the text: the cell is parsed and never run in our process.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import symtable
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbplat.errors import RequestError
from nbplat.terms import EnvironmentRef, TableName

__all__ = ["FEATURE", "Module", "PythonBody", "parse_python", "unshipped_names"]

FEATURE = "feature"

MODULE_BYTES = 4 << 20
"""All modules of a body together; they travel with every run's record."""

_MODULE_KINDS = (".py", ".whl", ".zip")
# Statements that only name things: nothing else happens when the cell is defined.
_NAMING = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
_DUNDERS = frozenset({"__name__", "__doc__"})


@dataclass(frozen=True, slots=True)
class Module:
    """A module (``.py``) or a wheel or zip of modules that the body can import.

    Attributes:
        name: File name, which a ``.py`` module is imported by.
        data: Its bytes.
    """

    name: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def record(self) -> dict[str, str]:
        """The JSON form."""
        return {"name": self.name, "sha256": self.sha256, "data": base64.b64encode(self.data).decode()}


@dataclass(frozen=True, slots=True)
class PythonBody:
    """A parsed Python body, not yet held against a table.

    Attributes:
        source: The cell's text.
        shipped: Name -> source text that defines it.
        modules: What can be imported beside the interpreter's own packages.
        params: JSON values, bound by name and handed over as ``params``.
        read: Columns that the batch holds; empty when they are inferred.
        inferred: Columns named in the text; None when the batch is used in a way that may read any.
        group_by: Columns whose groups are handed over whole, one group a call; empty: a batch may be cut anywhere.
        interpreter: Python that runs it; empty takes the one of the process that stages.
        env: Name of an environment, or a path, that wins over `interpreter`; empty when there is none.
        project: Folder whose declaration the name means where several projects use one name; empty takes the newest.
        environment: The built environment that a name meant when the run was asked for; None for a path, for no
            environment and before it was looked up. Part of the identity: another build makes another run.
    """

    source: str
    shipped: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[Module, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    read: tuple[str, ...] = ()
    inferred: tuple[str, ...] | None = None
    group_by: tuple[str, ...] = ()
    interpreter: str = ""
    env: str = ""
    project: str = ""
    environment: EnvironmentRef | None = None

    @property
    def sql(self) -> str:
        """Empty: there is none."""
        return ""

    @property
    def sources(self) -> tuple[TableName, ...]:
        """Empty: a Python body reads its batch only."""
        return ()

    def record(self) -> dict[str, Any]:
        """The JSON form; `parse_python` takes it as keyword arguments."""
        return {
            "source": self.source,
            "shipped": dict(self.shipped),
            "modules": [module.record() for module in self.modules],
            "params": dict(self.params),
            "read": list(self.read),
            "group_by": list(self.group_by),
            "interpreter": self.interpreter,
            "env": self.env,
            **self._means(),
        }

    def _means(self) -> dict[str, Any]:
        """What the environment's name means; once it was looked up, the folder that it was asked in is no matter."""
        if self.environment is not None:
            return {"environment": self.environment.record()}
        return {"project": self.project} if self.project else {}


def parse_python(
    source: str,
    *,
    shipped: Mapping[str, str] | None = None,
    modules: Sequence[Mapping[str, str]] = (),
    params: Mapping[str, Any] | None = None,
    read: Sequence[str] = (),
    group_by: Sequence[str] = (),
    interpreter: str = "",
    env: str = "",
    project: str = "",
    environment: Mapping[str, str] | None = None,
) -> PythonBody:
    """Parse and check a body without running it.

    Args:
        modules: ``name`` and ``data`` (base64) of each.
        environment: Record of an `EnvironmentRef`.

    Raises:
        RequestError: ``body.empty``, ``body.syntax`` (with line and column), ``body.statement`` (the cell does more
            than define), ``body.feature`` (not one function `feature` of a batch), ``body.free_name`` (a name that
            is not shipped), ``body.shipped``, ``body.module``, ``body.param``.
    """
    if not source.strip():
        raise RequestError("body.empty", "the body is empty", fix="define `def feature(batch):` in the cell")
    shipped = dict(sorted((shipped or {}).items()))
    params = _params(params or {})
    tree = _parse(source, "the body")
    _check_statements(tree, "the body")
    function = _feature(tree)
    for name, text in shipped.items():
        if name not in _defined(_parse(text, f"the source of {name}")):
            raise RequestError(
                "body.shipped", f"the source shipped as {name!r} does not define {name}", fix=f"ship --with {name} anew"
            )
    for name, (text, line) in unshipped_names(source, shipped, params).items():
        raise RequestError(
            "body.free_name",
            f"{text} uses {name!r}, which it neither defines nor imports",
            fix=f"ship it: --with {name} (a function, class or constant of the notebook), --param {name}=VALUE, "
            f"or import it in the body (--py PATH ships a module)",
            where=f"line {line}" if line else "",
        )
    return PythonBody(
        source=source,
        shipped=shipped,
        modules=tuple(_modules(modules)),
        params=params,
        read=tuple(read),
        inferred=_inferred(function),
        group_by=tuple(group_by),
        interpreter=interpreter,
        env=env,
        project=project,
        environment=EnvironmentRef(**environment) if environment is not None else None,
    )


def unshipped_names(
    source: str, shipped: Mapping[str, str], params: Mapping[str, Any]
) -> dict[str, tuple[str, int | None]]:
    """Names that the body or what it is shipped with uses, and that nothing gives.

    Returns:
        Name -> who uses it, in words, and the line of the first use there; empty when the body is whole.

    Raises:
        RequestError: ``body.syntax``; ``body.statement`` for ``from x import *``, which hides what is used.
    """
    import builtins

    texts = {"the body": source, **{f"{name} (shipped)": text for name, text in shipped.items()}}
    trees = {who: _parse(text, who) for who, text in texts.items()}
    given = {*dir(builtins), *_DUNDERS, *params, *shipped}
    for who, tree in trees.items():
        given |= _defined(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
                raise RequestError(
                    "body.statement",
                    f"{who} imports *, which hides the names it uses",
                    fix="import the names you use",
                    where=f"line {node.lineno}",
                )
    found: dict[str, tuple[str, int | None]] = {}
    for who, tree in trees.items():
        for name in sorted(_used(tree) - given):
            uses = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name]
            found.setdefault(name, (who, min(uses, default=None)))
    return found


def _parse(text: str, what: str) -> ast.Module:
    try:
        tree = ast.parse(text)
        # Compiled as well: `return` outside a function and the like are no syntax of the tree.
        compile(tree, "<body>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as exc:
        place = f"line {exc.lineno}, column {exc.offset}" if isinstance(exc, SyntaxError) and exc.lineno else ""
        reason = exc.msg if isinstance(exc, SyntaxError) else str(exc)
        raise RequestError("body.syntax", f"{what} is not Python: {reason}", fix="mend the code", where=place) from None
    return tree


def _check_statements(tree: ast.Module, what: str) -> None:
    for node in tree.body:
        if isinstance(node, _NAMING) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            continue
        kind = "defines an async function" if isinstance(node, ast.AsyncFunctionDef) else "does more than define names"
        raise RequestError(
            "body.statement",
            f"{what} {kind}: {ast.unparse(node).splitlines()[0]}",
            fix="keep imports, constants, functions and classes only; the function runs later, batch by batch",
            where=f"line {node.lineno}",
        )


def _feature(tree: ast.Module) -> ast.FunctionDef:
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == FEATURE]
    if len(found) != 1:
        others = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name != FEATURE]
        seen = f"defines it {len(found)} times" if found else f"defines {', '.join(others) or 'no function'}"
        raise RequestError(
            "body.feature",
            f"the body must define one function `feature`; it {seen}",
            fix="write `def feature(batch):`, which returns a dict of columns or a pyarrow.Table",
        )
    function = found[0]
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    extra = arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs
    if extra or len(names) not in (1, 2) or (len(names) == 2 and names[1] != "params"):
        raise RequestError(
            "body.feature",
            f"feature takes ({ast.unparse(arguments)}), not a batch",
            fix="write `def feature(batch):` or `def feature(batch, params):`",
            where=f"line {function.lineno}",
        )
    return function


def _params(params: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in params.items():
        if not name.isidentifier() or name in ("batch", FEATURE):
            raise RequestError("body.param", f"{name!r} cannot name a parameter", fix="give a Python name: --param k=v")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise RequestError(
                "body.param",
                f"the parameter {name} is {type(value).__name__}, which JSON cannot hold",
                fix="give text, a number, true or false, or a list or dict of them; a date as ISO text",
            ) from None
    return dict(sorted(params.items()))


def _modules(records: Sequence[Mapping[str, str]]) -> Iterator[Module]:
    size = 0
    names: set[str] = set()
    for record in records:
        try:
            module = Module(record["name"], base64.b64decode(record["data"], validate=True))
        except ValueError:
            raise RequestError(
                "body.module", f"the bytes of {record['name']} are no base64", fix="send the file's bytes as base64"
            ) from None
        if not module.name.endswith(_MODULE_KINDS) or "/" in module.name:
            raise RequestError(
                "body.module",
                f"{module.name!r} is no module that can be shipped",
                fix=f"give a file that ends in {', '.join(_MODULE_KINDS)}; zip a package's folder first",
            )
        size += len(module.data)
        if module.name in names or size > MODULE_BYTES:
            what = "is shipped twice" if module.name in names else f"brings the modules above {MODULE_BYTES:,} bytes"
            raise RequestError(
                "body.module", f"{module.name} {what}", fix="install big ones in the interpreter's environment: --env"
            )
        names.add(module.name)
        yield module


class _PlainSignatures(ast.NodeTransformer):
    """Takes annotations out: they are never evaluated, so their names need not be shipped."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant("")
        return self.generic_visit(node)


def _table(tree: ast.Module) -> symtable.SymbolTable:
    plain = _PlainSignatures().visit(ast.parse(ast.unparse(tree)))
    return symtable.symtable(ast.unparse(plain), "<body>", "exec")


def _defined(tree: ast.Module) -> frozenset[str]:
    symbols = _table(tree).get_symbols()
    return frozenset(symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported())


def _used(tree: ast.Module) -> set[str]:
    """Names that any scope looks up outside of itself and its functions."""
    used: set[str] = set()
    waiting = [_table(tree)]
    while waiting:
        scope = waiting.pop()
        waiting += scope.get_children()
        for symbol in scope.get_symbols():
            if symbol.is_referenced() and (symbol.is_global() or scope.get_type() == "module"):
                used.add(symbol.get_name())
    return used


def _inferred(function: ast.FunctionDef) -> tuple[str, ...] | None:
    """Columns that the function names; None when it uses its batch in a way that may read any column."""
    batch = function.args.args[0].arg
    parents = {child: parent for parent in ast.walk(function) for child in ast.iter_child_nodes(parent)}
    found: set[str] = set()
    for node in ast.walk(function):
        if not isinstance(node, ast.Name) or node.id != batch:
            continue
        named = _named_by(node, parents)
        if named is None:
            return None
        found |= named
    return tuple(sorted(found))


def _named_by(node: ast.Name, parents: Mapping[ast.AST, ast.AST]) -> set[str] | None:
    """Columns that one use of the batch reads: ``batch["x"]``, ``.column("x")``, ``.select(["x"])``, ``.num_rows``."""
    parent = parents[node]
    if isinstance(parent, ast.Subscript) and parent.value is node and isinstance(parent.ctx, ast.Load):
        return _literals(parent.slice)
    if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name) and parent.func.id == "len":
        return set()
    if not isinstance(parent, ast.Attribute) or not isinstance(parent.ctx, ast.Load):
        return None
    if parent.attr == "num_rows":
        return set()
    call = parents[parent]
    if isinstance(call, ast.Call) and call.func is parent and len(call.args) == 1 and not call.keywords:
        argument = call.args[0]
        if parent.attr == "column":
            return _literals(argument)
        if parent.attr == "select" and isinstance(argument, (ast.List, ast.Tuple)):
            parts = [_literals(element) for element in argument.elts]
            return None if None in parts else {name for part in parts if part for name in part}
    return None


def _literals(node: ast.AST) -> set[str] | None:
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
