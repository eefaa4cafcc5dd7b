"""Scripts that find their Python beside themselves, wherever an archive is unpacked."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

from nbplat.environment.packing.files import PackedFile
from nbplat.errors import DataError

__all__ = ["entry_point", "entry_points_of", "portable_script", "python_link", "script_stub"]

# A shell reads line 2 as an exec; Python reads lines 2 and 3 as a string that nobody uses.
_HERE = '"$(dirname -- "$(realpath -- "$0" 2>/dev/null || printf %s "$0")")"'
_LINK = f'#!/bin/sh\nexec {_HERE}/{{python}} "$@"\n'
_ENTRY = """\
# -*- coding: utf-8 -*-
import sys

from {module} import {attribute}

if __name__ == "__main__":
    sys.exit({function}())
"""
_SHEBANG = re.compile(rb"#!\s*(?P<path>[^\s]+)/(?P<python>python[0-9.]*)(?P<arguments>( [^\n]*)?)\r?\n")
# What installers write where a path is too long for a shebang line.
_EXEC = re.compile(
    rb"#!/bin/sh\n'''exec' \"?'?(?P<path>[^\n\"']+?)/(?P<python>python[0-9.]*)'?\"?"
    rb"(?P<arguments>( -[^\s\"]+)*) \"\$0\" \"\$@\"\s*"
    rb"(\n' '''|#''')\n"
)
_WRITTEN = re.compile(r"^from (?P<module>[\w.]+) import (?P<attribute>\w+)\s*$", re.MULTILINE)
_CALLED = re.compile(r"sys\.exit\((?P<function>[\w.]+)\(\)\)")


def script_stub(python: str, arguments: str = "") -> str:
    """The first lines of a Python script that is started by the Python beside it, from any folder.

    Args:
        python: File beside the script; empty takes ``python3`` of the machine.
        arguments: For that Python.
    """
    program = f"{_HERE}/{python}" if python else "python3"
    words = " ".join(word for word in (program, arguments.strip()) if word)
    return f"#!/bin/sh\n'''exec' {words} \"$0\" \"$@\"\n' '''\n"


def portable_script(data: bytes, prefix: bytes) -> bytes | None:
    """A Python script of some prefix with a first line that works in any folder; None when it is no such script.

    A script stays as it is when the longer head would change what it means (a ``__future__`` import behind a
    docstring, an encoding on its first lines).
    """
    found = _SHEBANG.match(data) or _EXEC.match(data)
    if found is None or found["path"] != prefix + b"/bin":
        return None
    arguments = found["arguments"].decode("ascii", "replace").rstrip()
    stub = script_stub(found["python"].decode(), arguments).encode()
    rest = data[found.end() :]
    return stub + rest if _means_the_same(stub, rest) else None


def entry_points_of(folder: Path) -> Mapping[str, tuple[str, str]]:
    """(module, function) of each command that a portable package declares; empty without any."""
    try:
        declared = json.loads((folder / "info" / "link.json").read_bytes())["noarch"].get("entry_points") or []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    found = {}
    for line in declared:
        name, _, called = str(line).partition("=")
        module, _, function = called.partition("[")[0].partition(":")
        found[name.strip()] = (module.strip(), function.strip())
    return found


def entry_point(path: str, declared: Mapping[str, tuple[str, str]], prefix: Path, python: str) -> PackedFile:
    """The script of a command, written by us: equal in every prefix.

    Args:
        declared: By name of the command; for others the installer's script in `prefix` says what it calls.

    Raises:
        DataError: ``env.prefix``: neither says it.
    """
    called = declared.get(path.rpartition("/")[2]) or _written(prefix / path)
    if called is None:
        raise DataError(
            "env.prefix",
            f"the command {path} says no more what it calls",
            fix="have it mended: nbplat env verify --repair",
            where=str(prefix),
        )
    module, function = called
    text = script_stub(f"python{python}")
    text += _ENTRY.format(module=module, attribute=function.partition(".")[0], function=function)
    return PackedFile(path, content=text.encode(), executable=True)


def python_link(path: str, python: str) -> PackedFile:
    """What stands for the links ``python`` and ``python3`` where an archive may hold none."""
    return PackedFile(path, content=_LINK.format(python=python).encode(), executable=True)


def _written(script: Path) -> tuple[str, str] | None:
    try:
        text = script.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    module, called = _WRITTEN.search(text), _CALLED.search(text)
    return (module["module"], called["function"]) if module and called else None


def _means_the_same(stub: bytes, rest: bytes) -> bool:
    if re.search(rb"coding[:=]\s*(?!\s|utf-?8)", b"\n".join(rest.split(b"\n", 2)[:2]), re.IGNORECASE):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(stub + rest, "script", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return False
    return True
