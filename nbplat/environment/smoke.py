"""Does what was built start, and import what was asked for? Asked of the new interpreter itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nbplat.environment.lock_record import PlatformLock
from nbplat.environment.plain_name import plain_name
from nbplat.environment.ports import Phase, Say
from nbplat.errors import DataError

__all__ = ["smoke_check", "top_level_modules"]

_START_S = 60
_IMPORT_S = 300
_LAST_LINES = 4
# -I: neither PYTHON* variables, nor the working folder, nor the user's own packages take part.
_START = """
import importlib, importlib.util, json, sys
for name, part in (("ssl", "_ssl"), ("sqlite3", "_sqlite3"), ("ctypes", "_ctypes")):
    if importlib.util.find_spec(part):
        importlib.import_module(name)
print(json.dumps([sys.version.split()[0], sys.prefix]))
"""
_IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    print(name, flush=True)
    importlib.import_module(name)
"""
# What packages leave on the top of site-packages by mistake.
_STRAY = frozenset({"conftest", "docs", "examples", "setup", "test", "tests"})
_MODULE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def smoke_check(prefix: Path, lock: PlatformLock, requested: Iterable[str], *, imports: bool, say: Say) -> None:
    """Start the interpreter; import the modules of the packages that were asked for by name.

    Args:
        requested: Names of packages, conda's and pip's.
        imports: False only starts the interpreter.

    Raises:
        DataError: ``env.python``: it does not start, or is another one; ``env.import``: a module that was asked for
            does not import.
    """
    if not lock.python:
        return
    python = prefix / "bin" / "python"
    say(Phase("check", what="python"))
    _starts(python, prefix, lock.python)
    modules = top_level_modules(prefix, requested) if imports else {}
    if modules:
        say(Phase("check", 0, len(modules), "packages", ", ".join(modules)))
        _imports(python, modules)
    say(Phase("check", len(modules), len(modules), "packages"))


def top_level_modules(prefix: Path, requested: Iterable[str]) -> dict[str, list[str]]:
    """The importable modules of packages, as far as what is installed tells; by package.

    A conda package is known by its record (`conda-meta`), a pip one by its ``RECORD``; a package that puts no module
    on the top of site-packages (a library, a program) has none.
    """
    wanted = {plain_name(name) for name in requested} - {"python"}
    found: dict[str, set[str]] = {}
    for name, files in _conda_files(prefix):
        if plain_name(name) in wanted:
            found.setdefault(name, set()).update(_modules(files))
    for name, files in _pip_files(prefix):
        if plain_name(name) in wanted:
            found.setdefault(name, set()).update(_modules(files))
    return {name: sorted(modules) for name, modules in sorted(found.items()) if modules}


def _starts(python: Path, prefix: Path, version: str) -> None:
    done = _run([str(python), "-I", "-c", _START], _START_S)
    if isinstance(done, _Failed):
        raise DataError(
            "env.python",
            f"the Python of the environment does not start: {done}",
            fix="its packages do not fit this machine or each other: see `nbplat env check`, then change the "
            "declaration and lock again",
            where=str(python),
        )
    said: Any = json.loads(done.splitlines()[-1])
    if said != [version, str(prefix)] and [said[0], os.path.realpath(said[1])] != [version, os.path.realpath(prefix)]:
        raise DataError(
            "env.python",
            f"the Python of the environment says that it is {said[0]} in {said[1]}, the lock says {version}",
            fix="the channel's python package is not what its record says: take another build of it, then lock again",
            where=str(python),
        )


def _imports(python: Path, packages: Mapping[str, list[str]]) -> None:
    """All in one process: what they share is imported once."""
    owner = {module: package for package, modules in packages.items() for module in modules}
    done = _run([str(python), "-I", "-c", _IMPORT, *owner], _IMPORT_S)
    if isinstance(done, _Failed):
        module = [name for name in done.out.split() if name in owner][-1]
        raise DataError(
            "env.import",
            f"the package {owner[module]} is installed but `import {module}` fails: {done}",
            fix="a package that it needs is missing or does not fit: add it to the declaration and lock again, or "
            "build with --no-imports when it cannot be imported on this machine",
        )


class _Failed(str):
    """Why a program failed, in one line; with what it had printed."""

    out: str

    def __new__(cls, why: str, out: str) -> _Failed:
        made = super().__new__(cls, why)
        made.out = out
        return made


def _run(command: list[str], limit_s: int) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=limit_s,
            cwd="/",
            env=_environ(os.environ),
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        return _Failed(f"it takes more than {limit_s} s", (exc.stdout or b"").decode(errors="replace"))
    except OSError as exc:
        return _Failed(exc.strerror or "it cannot be started", "")
    if done.returncode == 0:
        return done.stdout
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()][-_LAST_LINES:]
    why = lines[-1] if lines else f"exit code {done.returncode}"
    if done.returncode < 0:
        why = f"it dies of signal {-done.returncode}"
    return _Failed(why[:400], done.stdout)


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    kept = ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER", "LOGNAME", "SYSTEMROOT")
    return {"PATH": "/usr/bin:/bin", **{name: environ[name] for name in kept if name in environ}}


def _conda_files(prefix: Path) -> Iterable[tuple[str, list[str]]]:
    for path in sorted((prefix / "conda-meta").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        yield record["name"], record["files"]


def _pip_files(prefix: Path) -> Iterable[tuple[str, list[str]]]:
    for record in sorted(prefix.glob("lib/python*/site-packages/*.dist-info/RECORD")):
        site = record.parent.parent.relative_to(prefix).as_posix()
        lines = record.read_text(encoding="utf-8", errors="replace").splitlines()
        yield plain_name(record.parent.name.split("-")[0]), [f"{site}/{line.split(',')[0]}" for line in lines]


def _modules(files: Iterable[str]) -> set[str]:
    """Names on the top of site-packages that ``import`` takes; one with a leading underscore is nobody's to ask for."""
    found = set()
    for name in files:
        _, site, below = name.partition("/site-packages/")
        if not site:
            continue
        top, slash, rest = below.partition("/")
        if slash and rest == "__init__.py":
            found.add(top)
        elif not slash and top.endswith((".py", ".so")):
            found.add(top.split(".")[0])
    return {one for one in found if _MODULE.fullmatch(one)} - _STRAY
