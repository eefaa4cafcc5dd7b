"""Has the modules of an environment compiled by its own Python, or by ours where that is the same one."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbplat.remote.compile_modules
from nbplat.errors import SetupError

__all__ = ["compile_modules"]

_START_S = 20
_LIMIT_S = 3600


def compile_modules(
    interpreter: Path,
    root: Path,
    batches: Sequence[Sequence[tuple[str, str]]],
    tag: str,
    *,
    scratch: Path,
    workers: int,
) -> list[list[bytes]] | None:
    """Compile modules to bytecode that is never checked against its source; see `CompileModules`."""
    able = next((one for one in (interpreter, Path(sys.executable)) if _tag(one) == tag), None)
    if able is None:
        return None
    scratch.mkdir(parents=True, exist_ok=True)
    outs = [scratch / str(number) for number in range(len(batches))]
    request = {
        "root": str(root),
        "tag": tag,
        "workers": workers,
        "batches": [{"modules": list(batch), "out": str(out)} for batch, out in zip(batches, outs, strict=True)],
    }
    program = inspect.getsource(nbplat.remote.compile_modules)
    try:
        done = subprocess.run(
            [str(able), "-S", "-s", "-B", "-c", program],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            cwd=scratch,
            # Nothing of this process: hash seeds and paths show in what is compiled.
            env={"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _died(able, type(error).__name__) from None
    if done.returncode:
        raise _died(able, done.stderr.strip().splitlines()[-1] if done.stderr.strip() else str(done.returncode))
    return [_read(out, len(batch)) for out, batch in zip(outs, batches, strict=True)]


def _tag(interpreter: Path) -> str:
    """The cache tag of an interpreter; empty when it does not run here."""
    if interpreter == Path(sys.executable):
        return sys.implementation.cache_tag or ""
    try:
        done = subprocess.run(
            [str(interpreter), "-I", "-S", "-c", "import sys; print(sys.implementation.cache_tag)"],
            capture_output=True,
            text=True,
            timeout=_START_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _read(out: Path, count: int) -> list[bytes]:
    data, at, found = out.read_bytes(), 0, []
    for _ in range(count):
        size = int.from_bytes(data[at : at + 8], "big")
        found.append(data[at + 8 : at + 8 + size])
        at += 8 + size
    out.unlink()
    return found


def _died(interpreter: Path, why: str) -> SetupError:
    return SetupError(
        "env.compile",
        f"the modules of the environment could not be compiled: {why}",
        fix="free memory and pack again, or pack without bytecode (--no-pyc)",
        where=str(interpreter),
    )
