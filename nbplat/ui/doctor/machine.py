"""Checks of the machine: Python, memory, room on disks, the folder of sockets."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nbplat.config import Config
from nbplat.remote.memory_limits import CGROUP, OWN, group_memory
from nbplat.ui.doctor.finding import Said, Verdict
from nbplat.ui.render.figures import bytes_text

__all__ = ["Memory", "check_memory", "check_python", "check_room", "check_sockets", "memory_here"]

_PYTHON = (3, 11, 5)
_LITTLE_BYTES = 1 << 30
_NONE_BYTES = 128 << 20
# Of the 104 to 108 bytes of a socket's path, what its own name leaves.
_SOCKET_FOLDER_BYTES = 70


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in bytes.

    Attributes:
        most: What this process may ever have: the machine's, or the limit of its control group.
        free: What is left of it now.
        limited: True when a control group (a container, a systemd slice) sets the limit.
    """

    most: int
    free: int
    limited: bool


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Said:
    """The interpreter is new enough."""
    text = ".".join(map(str, version))
    if version < _PYTHON:
        needed = ".".join(map(str, _PYTHON))
        return Said(Verdict.FAULT, f"Python {text} is older than {needed}", f"uv venv --python {needed}, install again")
    return Said(Verdict.OK, f"{text} at {sys.prefix}")


def check_memory(config: Config, memory: Memory | None = None) -> Said:
    """A heavy step's share fits into the machine, or into the container."""
    memory = memory or memory_here()
    where = "this container" if memory.limited else "this machine"
    asked = config.memory_bytes
    text = f"{bytes_text(memory.free)} free of {bytes_text(memory.most)} in {where}"
    least = max(memory.most // 2, 64 << 20)
    if asked > memory.most:
        return Said(
            Verdict.FAULT,
            f"{text}, and a heavy step may use {bytes_text(asked)}: it would be killed",
            f"set NBPLAT_LIMITS_MEMORY_BYTES={least} (limits.memory_bytes in nbplat.toml)",
        )
    if asked > memory.free:
        return Said(
            Verdict.WARNING,
            f"{text}, and a heavy step may use {bytes_text(asked)}",
            f"end what uses it, or set NBPLAT_LIMITS_MEMORY_BYTES={max(memory.free // 2, 64 << 20)}",
        )
    return Said(Verdict.OK, f"{text}; a heavy step may use {bytes_text(asked)}")


def memory_here(cgroup: Path = CGROUP, own: Path = OWN) -> Memory:
    """Memory of the machine, or of the control group when that has less.

    Args:
        cgroup: Where control groups are mounted.
        own: Tells the group of this process.
    """
    import psutil

    machine = psutil.virtual_memory()
    most, free, limited = int(machine.total), int(machine.available), False
    for group in group_memory(cgroup, own):
        if group.limit <= most:
            most, free, limited = group.limit, min(free, max(0, group.limit - group.used)), True
    return Memory(most, free, limited)


def check_room(name: str, folder: Path, mend: str) -> Said:
    """A folder can be written, and has room.

    Args:
        name: What it is, for people.
        mend: What to set to another folder.
    """
    try:
        # A real file: a full disk and a read-only mount both let a folder look writable.
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".nbplat-doctor-") as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
        free = shutil.disk_usage(folder).free
    except OSError as exc:
        return Said(Verdict.FAULT, f"the {name} {folder} cannot be written: {exc.strerror}", mend)
    text = f"{bytes_text(free)} free at {folder}"
    if free < _NONE_BYTES:
        return Said(Verdict.FAULT, text, f"make room (nbplat backfill expire, nbplat env gc), or {mend}")
    if free < _LITTLE_BYTES:
        return Said(Verdict.WARNING, text, f"make room (nbplat backfill expire, nbplat env gc), or {mend}")
    return Said(Verdict.OK, text)


def check_sockets(config: Config) -> Said:
    """The folder of sockets is short, ours and closed to others.

    Raises:
        SetupError: it is another's, or others may open it.
    """
    from nbplat.service.wake import runtime_folder

    folder = runtime_folder(config)
    if len(os.fsencode(folder)) > _SOCKET_FOLDER_BYTES:
        return Said(
            Verdict.FAULT,
            f"{folder} is too long: a socket's path holds about 100 bytes",
            "set XDG_RUNTIME_DIR to a short folder of your own, or leave it unset",
        )
    return Said(Verdict.OK, str(folder))
