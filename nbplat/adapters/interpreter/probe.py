"""Asks an interpreter on this machine what it has."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbplat.errors import SetupError
from nbplat.remote import probe as probed

__all__ = ["probe_interpreter"]

# A cold disk and a large environment are slow; more than this is an interpreter that hangs.
_LIMIT_S = 60.0


def probe_interpreter(interpreter: str, imports: Iterable[str] = (), *, packages: bool = True) -> dict[str, Any]:
    """The record of `nbplat.remote.probe`, made by that interpreter.

    Args:
        interpreter: Path of a Python.
        imports: Top-level modules to look for.
        packages: List packages and what they ask of the machine.

    Raises:
        SetupError: ``python.interpreter``: it does not start, hangs, or is no Python that understands the question.
    """
    asked = json.dumps({"imports": sorted(imports), "packages": packages})
    try:
        done = subprocess.run(
            [interpreter, "-I", str(Path(probed.__file__)), asked],
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise _unusable(interpreter, f"it gives no answer in {_LIMIT_S:.0f} s") from None
    except (OSError, ValueError) as exc:
        raise _unusable(interpreter, f"it cannot be started: {getattr(exc, 'strerror', None) or exc}") from None
    # What a sitecustomize prints comes first.
    for line in reversed(done.stdout.splitlines()):
        if line.startswith('{"probe"'):
            record: dict[str, Any] = json.loads(line)
            return record
    said = done.stderr.strip().splitlines()
    raise _unusable(interpreter, f"it gives no answer{': ' + said[-1][:200] if said else ''}")


def _unusable(interpreter: str, why: str) -> SetupError:
    return SetupError(
        "python.interpreter",
        f"the interpreter {interpreter} is of no use: {why}",
        fix="name another (Python 3.9 or newer), or build the environment again: nbplat env build NAME",
        where=interpreter,
    )
