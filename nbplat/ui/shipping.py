"""What a Python body takes along from the notebook: sources, modules, values, and the interpreter's path."""

from __future__ import annotations

import ast
import base64
import inspect
import io
import json
import linecache
import re
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from nbplat.backfill.python_body import unshipped_names
from nbplat.environment.named import environment_named
from nbplat.errors import NotFound, RequestError, did_you_mean

if TYPE_CHECKING:
    from nbplat.ui.desk import Desk

__all__ = ["feature_source", "frames_kept", "python_source", "read_params"]

# How IPython and ipykernel name the cells that they compile.
_CELL = re.compile(r"ipython-input|ipykernel_\d+")


def python_source(
    source: str,
    *,
    ship: Iterable[str] = (),
    py: Iterable[str] = (),
    params: Mapping[str, Any] | None = None,
    read: Sequence[str] = (),
    group_by: Sequence[str] = (),
    env: str | None = None,
    namespace: Mapping[str, Any],
) -> dict[str, Any]:
    """The record of a Python body, as `nbplat.backfill.python_body.parse_python` takes it.

    Args:
        ship: Names in `namespace` whose source or value goes along.
        py: Paths of modules, packages (folders), wheels or zips.
        env: Name of an environment, its declaration (``envs/x.yml``), or the path of a folder or an interpreter; None
            takes the interpreter of this process.
        namespace: The notebook's variables.

    Raises:
        RequestError: ``body.free_name`` with the very option that ships the name; ``body.shipped``,
            ``body.module``; NotFound for a name or path that is not there.
    """
    shipped = {name: shipped_source(name, namespace) for name in ship}
    for name, (who, line) in unshipped_names(source, shipped, params or {}).items():
        raise RequestError(
            "body.free_name",
            f"{who} uses {name!r}, which it neither defines nor imports",
            fix=_way_to_ship(name, namespace),
            where=f"line {line}" if line else "",
        )
    return {
        "source": source,
        "shipped": shipped,
        "modules": [_module(Path(path).expanduser()) for path in py],
        "params": dict(params or {}),
        "read": list(read),
        "group_by": list(group_by),
        "interpreter": sys.executable or "",
        **environment_named(env),
    }


def feature_source(body: str | Callable[..., Any]) -> str:
    """The text of a Python body: as it is, or the source of a function, renamed to ``feature``."""
    if isinstance(body, str):
        return body
    text = _source_of(getattr(body, "__name__", "feature"), body)
    return re.sub(rf"(?m)^(\s*def\s+){re.escape(body.__name__)}\b", r"\g<1>feature", text, count=1)


def read_params(words: Iterable[str]) -> dict[str, Any]:
    """``k=v`` words as values: JSON where it is JSON, else text.

    Raises:
        RequestError: ``usage.param`` for a word without an equals sign, or a name given twice.
    """
    params: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name in params:
            why = "is given twice" if name in params else "has no value"
            raise RequestError(
                "usage.param", f"--param {word}: {name!r} {why}", fix="write --param name=value, once each"
            )
        try:
            params[name] = json.loads(text)
        except ValueError:
            params[name] = text
    return params


def shipped_source(name: str, namespace: Mapping[str, Any]) -> str:
    """Source text that defines a name of the notebook: a function's or class's own, or a constant's value.

    Raises:
        NotFound: the notebook has no such name.
        RequestError: a module, a function without source, or a value that cannot be written down.
    """
    if name not in namespace:
        raise NotFound(
            "body.shipped",
            f"the notebook has no {name!r}",
            fix=did_you_mean(name, (known for known in namespace if not known.startswith("_"))) or "define it first",
        )
    value = namespace[name]
    if inspect.isfunction(value) or inspect.isclass(value):
        text = _source_of(name, value)
        return text if value.__name__ == name else f"{text}\n{name} = {value.__name__}"
    if isinstance(value, ModuleType):
        raise RequestError("body.shipped", f"{name!r} is a module", fix=_way_to_ship(name, namespace))
    try:
        text = repr(value)
        if ast.literal_eval(text) == value:
            return f"{name} = {text}"
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    raise RequestError(
        "body.shipped",
        f"{name!r} is {type(value).__name__}, which has no source and no written value",
        fix="ship numbers, text, lists or dicts of them; make other objects inside the body, or join a --frame in SQL",
    )


@contextmanager
def frames_kept(desk: Desk, frames: Mapping[str, Any], *, dry_run: bool) -> Iterator[dict[str, str]]:
    """Store DataFrames while a request is made: name -> table.

    After a dry run, and after a request that failed, no table is left that was not there before.
    """
    from nbplat.terms.frame import read_frame

    fresh: list[str] = []
    tables: dict[str, str] = {}
    done = False
    try:
        for name, value in frames.items():
            kept = desk.keep_frame(name, read_frame(name, value))
            tables[name] = kept["table"]
            fresh += [kept["table"]] if kept["created"] else []
        yield tables
        done = not dry_run
    finally:
        if fresh and not done:
            desk.let_go_frames(fresh)


def _source_of(name: str, value: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(value))
    except (OSError, TypeError):
        text = _class_in_cells(value.__name__) if inspect.isclass(value) else None
        if text is not None:
            return text
        raise RequestError(
            "body.shipped",
            f"the source of {name!r} is not known",
            fix="define it in a cell or a file, not by exec or at a bare prompt",
        ) from None


def _class_in_cells(name: str) -> str | None:
    """The newest definition of a class in a cell: classes of ``__main__`` do not know where they were written."""
    cells = [cached[2] for file, cached in linecache.cache.items() if len(cached) > 1 and _CELL.search(file)]
    for lines in reversed(cells):
        text = "".join(lines)
        if f"class {name}" not in text:
            continue
        try:
            tree = ast.parse(text)
        except SyntaxError:
            continue  # a cell with magics in it
        for node in reversed(tree.body):
            if isinstance(node, ast.ClassDef) and node.name == name:
                start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                return "".join(lines[start - 1 : node.end_lineno])
    return None


def _way_to_ship(name: str, namespace: Mapping[str, Any]) -> str:
    """The option or edit that gives a body this name."""
    value = namespace.get(name)
    if name not in namespace:
        return f"define it in the body, or ship a name of the notebook: --with {name}, or a value: --param {name}=VALUE"
    if isinstance(value, ModuleType):
        line = f"import {value.__name__}" + ("" if value.__name__ == name else f" as {name}")
        if _installed(value):
            return f"write `{line}` in the body"
        file = Path(value.__file__ or "")
        return f"write `{line}` in the body and ship it: --py {file.parent if file.name == '__init__.py' else file}"
    if inspect.isfunction(value) or inspect.isclass(value):
        module = sys.modules.get(value.__module__ or "")
        if value.__module__ != "__main__" and module is not None and _installed(module):
            renamed = "" if value.__name__ == name else f" as {name}"
            return f"write `from {value.__module__} import {value.__name__}{renamed}` in the body"
        return f"ship it: --with {name}"
    if isinstance(value, (bool, int, float, str)):
        return f"ship it: --param {name}={json.dumps(value)}"
    return f"ship it: --with {name}"


def _installed(module: ModuleType) -> bool:
    """Whether a module comes with the interpreter or one of its packages."""
    file = getattr(module, "__file__", None) or ""
    return not file or "site-packages" in file or file.startswith(sys.base_prefix)


def _module(path: Path) -> dict[str, str]:
    try:
        if path.is_dir():
            return {"name": f"{path.name}.zip", "data": base64.b64encode(_zipped(path)).decode()}
        return {"name": path.name, "data": base64.b64encode(path.read_bytes()).decode()}
    except OSError as exc:
        raise NotFound(
            "body.module", f"--py {path} cannot be read: {exc.strerror}", fix="give a .py file, a package or a wheel"
        ) from None


def _zipped(folder: Path) -> bytes:
    """A package's folder as a zip of equal bytes for equal sources."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                name = str(Path(folder.name) / file.relative_to(folder))
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), file.read_bytes())
    return out.getvalue()
