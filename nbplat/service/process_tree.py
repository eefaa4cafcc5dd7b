"""Whole process trees: found before anything is signalled, for a dead parent names no children."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable

import psutil

from nbplat.service.discovery import STEP_VARIABLE

__all__ = ["marked", "signal_all", "tree_of"]


def tree_of(pid: int) -> list[psutil.Process]:
    """The process and all that descend from it; empty when it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def marked(mark: str) -> list[psutil.Process]:
    """Every process of ours whose environment carries the mark: those that left the tree by a double fork."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(STEP_VARIABLE, "").startswith(mark):
                found.append(process)
    return found


def signal_all(processes: Iterable[psutil.Process], number: signal.Signals, *, group: int | None = None) -> None:
    """Send a signal once to each that still lives, the group last (the sender may be in it).

    psutil tells a reused process id from the process it saw.
    """
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):
            if group is None or os.getpgid(process.pid) != group:
                process.send_signal(number)
    if group is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
