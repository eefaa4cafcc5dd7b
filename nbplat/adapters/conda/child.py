"""One task of the conda library in a child process: a request file in, lines of progress, a result file out.

The result file alone says how it went. The library has crashed at interpreter exit after its work was done
(and after a refusal was written), so the exit status counts only where no result was written.

The child ends with us, however we end: it reads the end of a pipe that only this process holds open.
"""

from __future__ import annotations

import collections
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nbplat.environment.ports import Phase, Say
from nbplat.errors import InternalError, SetupError, from_record
from nbplat.remote.scratch_folder import ScratchFolder

__all__ = ["REQUEST", "RESULT", "run_child"]

REQUEST = "request.json"
RESULT = "result.json"
_TAIL_LINES = 12
_MODULE = "nbplat.adapters.conda.child_main"


def run_child(
    task: str,
    request: Mapping[str, Any],
    *,
    say: Say,
    secrets: Mapping[str, Any] | None = None,
    started: Callable[[int], None] | None = None,
) -> Any:
    """Run one task and give back its result.

    Args:
        task: ``module:function``, taking the request and a `child_main.Tell` and returning JSON.
        request: JSON; never with a secret in it.
        say: Gets each phase that the child tells; what it raises ends the child and is raised on.
        secrets: Credentials in the library's own form, by host; they reach the child in a file of mode 0600 that is
            gone with the child, and no text that comes back holds them.
        started: Gets the process id of the child, for those who watch it.

    Raises:
        NbplatError: What the task raised in the child.
        SetupError: ``env.child``: the interpreter does not start.
        InternalError: ``env.child``: it ended without a result; with its last lines.
    """
    with ScratchFolder(None, "nbplat-conda-") as folder:
        (folder / REQUEST).write_text(json.dumps({"task": task, **request}), encoding="utf-8")
        environ = dict(os.environ)
        if secrets:
            environ["RATTLER_AUTH_FILE"] = _auth_file(folder / "auth.json", secrets)
        exit_code, tail = _play(folder, environ, say, started)
        answer = _answer(folder / RESULT)
    if answer is None:
        raise _died(task, exit_code, tail)
    if "error" in answer:
        raise from_record(answer["error"])
    return answer["result"]


def _play(
    folder: Path, environ: dict[str, str], say: Say, started: Callable[[int], None] | None
) -> tuple[int, list[str]]:
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
        )
    except OSError as exc:
        raise SetupError(
            "env.child",
            f"the interpreter {sys.executable} cannot be started: {exc.strerror}",
            fix="see that this process may start others (limits on processes, memory)",
        ) from None
    tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)
    listener = threading.Thread(target=_listen, args=(process.stderr, tail), daemon=True)
    listener.start()
    try:
        if started is not None:
            started(process.pid)
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        for line in process.stdout:
            phase = _phase(line)
            if phase is not None:
                say(phase)
        return process.wait(), list(tail)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        listener.join(timeout=2.0)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _listen(source: Any, tail: collections.deque[str]) -> None:
    for line in source:
        tail.append(line.decode(errors="replace").rstrip())


def _phase(line: bytes) -> Phase | None:
    """None for what is no line of ours: a child that dies may leave half of one."""
    try:
        told = json.loads(line)
        return Phase(**told)
    except (ValueError, TypeError):
        return None


def _answer(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _auth_file(path: Path, secrets: Mapping[str, Any]) -> str:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as sink:
        json.dump(dict(secrets), sink)
    return str(path)


def _died(task: str, exit_code: int, tail: list[str]) -> InternalError:
    how = f"with exit code {exit_code}" if exit_code >= 0 else f"of {signal.Signals(-exit_code).name}"
    said = "; its last lines:\n" + "\n".join(tail) if tail else ""
    return InternalError(
        "env.child",
        f"the child process of {task.rpartition(':')[2]!r} ended {how} and without a result{said}",
        fix="run the same command again: nothing half-made is kept; if it stays, report it with these lines",
    )
