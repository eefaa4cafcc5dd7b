"""Processes that outlive us: detached, each the head of its group, with a log and a witness of their exit code."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from nbplat.errors import SetupError
from nbplat.session.ports import Ending

__all__ = [
    "end_strays",
    "ending_of",
    "fresh_folder",
    "kept_lives",
    "kill_kept",
    "log_of",
    "start_kept",
    "write_private",
]

# A shell waits for the process, whose parent may be gone when it ends: it writes the exit code down and ends whatever
# is left in the group (a JVM, processes of cells), itself included.
_WITNESS = '"$@"; echo $? > "$0.new"; mv "$0.new" "$0"; kill -KILL 0'
_TAIL_LINES = 20

# What this process started itself must be waited for, or it stays as a zombie.
_children: dict[int, subprocess.Popen[bytes]] = {}


def fresh_folder(folder: Path) -> Path:
    """Make the folder of a process; what an earlier try of the same start left in it is ended and deleted."""
    if folder.exists():
        end_strays(folder)
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    work = folder / "work"
    work.mkdir()
    return work


def write_private(path: Path, text: str) -> None:
    """Write a new file that nobody else may read."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as out:
        out.write(text)


def start_kept(
    folder: Path, log: str, command: Sequence[str], *, environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Start a process in ``work`` of its folder.

    Args:
        log: Name of its log in the folder.

    Returns:
        What finds it again: ``pid`` (of its group), ``born`` (s since the epoch) and ``folder``.

    Raises:
        SetupError: ``session.interpreter``: the machine cannot start it.
    """
    out = os.open(folder / log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _WITNESS, str(folder / "exit"), *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd=folder / "work",
            env={**os.environ, **(environ or {})},
        )
    except OSError as exc:
        raise SetupError(
            "session.interpreter",
            f"the process cannot be started: {exc.strerror}",
            fix="check the session's environment",
            where=command[0],
        ) from None
    finally:
        os.close(out)
    _children[process.pid] = process
    return {"pid": process.pid, "born": float(psutil.Process(process.pid).create_time()), "folder": str(folder)}


def kept_lives(process: Mapping[str, Any]) -> bool:
    """Whether the process is there, and the very same one."""
    if not process:
        return False
    child = _children.get(process["pid"])
    if child is not None and child.poll() is not None:
        _children.pop(process["pid"], None)
        return False
    try:
        found = psutil.Process(process["pid"])
        return abs(found.create_time() - process["born"]) < 1.0 and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ending_of(process: Mapping[str, Any], log: str) -> Ending:
    """How one that has ended came to its end."""
    code: int | None = None
    with contextlib.suppress(OSError, ValueError, KeyError):
        code = int(Path(process["folder"], "exit").read_text())
        # A shell says 128 + n for signal n.
        code = 128 - code if code > 128 else code
    return Ending(code, log_of(process, log, after=-_TAIL_LINES, limit=_TAIL_LINES)[1])


def kill_kept(process: Mapping[str, Any]) -> None:
    """End the whole process group."""
    if not kept_lives(process):
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process["pid"], signal.SIGKILL)
    if (child := _children.pop(process["pid"], None)) is not None:
        child.wait()


def log_of(process: Mapping[str, Any], log: str, *, after: int = 0, limit: int = 1000) -> tuple[int, list[str]]:
    """How many lines a log has, and `limit` of them from line `after`; negative: the last ones."""
    try:
        lines = Path(process["folder"], log).read_bytes().splitlines()
    except (OSError, KeyError):
        return 0, []
    start = max(0, len(lines) + after) if after < 0 else after
    return len(lines), [line.decode(errors="replace") for line in lines[start : start + limit]]


def end_strays(folder: Path) -> None:
    """End every process that was started for a folder, whatever is known of it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            command = process.cmdline()
            # The witness, or a driver that has lost its own.
            ours = str(folder / "exit") in command[:4] or str(folder) in command[-1:]
            if ours and process.pid != os.getpid():
                os.killpg(os.getpgid(process.pid), signal.SIGKILL)
