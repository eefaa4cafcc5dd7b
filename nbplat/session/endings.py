"""Why a driver ended, in words a person can act on."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any

from nbplat.session.ports import Ending

__all__ = ["batch_reason", "death_reason", "lost_output"]

_MEMORY = (
    "java.lang.OutOfMemoryError",
    "MemoryError",
    "Cannot allocate memory",
    "oom-kill",
    "Out of memory",
    "running beyond physical memory",
)
_SHOWN_LINES = 12


def death_reason(ending: Ending, jvm_code: int | None = None) -> dict[str, Any]:
    """An error record of a driver that ended without being asked to.

    Args:
        jvm_code: Exit code of its JVM, when that ended first; negative: a signal.

    Returns:
        ``code`` (``session.died`` or ``session.memory``), ``message``, ``fix`` and ``tail``, its log's last lines.
    """
    who, code = ("session's driver", ending.code) if jvm_code is None else ("session's JVM", jvm_code)
    how = _how(code)
    tail = [line for line in ending.tail if line.strip()][-_SHOWN_LINES:]
    if memory := _out_of_memory(code, tail):
        return {
            "code": "session.memory",
            "message": f"the {who} ended {how}: {memory}",
            "fix": "take less data to the driver, or start the session with more memory (--driver-memory)",
            "tail": tail,
        }
    return {
        "code": "session.died",
        "message": f"the {who} ended {how}",
        "fix": "read its log (%session logs), then start another session",
        "tail": tail,
    }


def batch_reason(ending: Ending) -> dict[str, Any]:
    """An error record of a batch that ended with anything but success."""
    found = death_reason(ending)
    if found["code"] == "session.memory":
        fix = "give it more memory (driverMemory), or read less at once"
        return {**found, "code": "batch.memory", "message": _of_batch(found), "fix": fix}
    return {**found, "code": "batch.failed", "message": _of_batch(found), "fix": "read its log: GET /batches/{id}/log"}


def _of_batch(found: Mapping[str, Any]) -> str:
    return str(found["message"]).replace("the session's driver", "the batch", 1)


def lost_output(reason: Mapping[str, Any]) -> dict[str, Any]:
    """The output of a statement whose driver ended before it did."""
    lines = [f"{reason['message']}\n", *(f"  {line}\n" for line in reason.get("tail", ()))]
    return {
        "status": "error",
        "ename": "SessionDied",
        "evalue": reason["message"],
        "traceback": lines,
        "error_class": reason["code"],
        "dropped": 0,
    }


def _how(code: int | None) -> str:
    if code is None:
        return "without a trace"
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"of {signal.Signals(-code).name}"
    except ValueError:
        return f"of signal {-code}"


def _out_of_memory(code: int | None, tail: Sequence[str]) -> str:
    """What is known of it; empty when nothing speaks for it."""
    if any(mark in line for line in tail for mark in _MEMORY):
        return "it ran out of memory"
    # A kernel short of memory ends a process so, and a person may.
    return "most likely it ran out of memory, unless somebody killed it" if code == -signal.SIGKILL else ""
