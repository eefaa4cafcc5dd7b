"""A full or read-only disk under the store, in words that say what to do."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nbplat.errors import NbplatError, SetupError

__all__ = ["fault_in_text", "free_bytes", "no_space", "read_only", "store_faults"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
_FULL_TEXT = re.compile(r"(?i)no space left on device|disk quota exceeded|file too large|os error (28|122|27)\b")
_FORBIDDEN_TEXT = re.compile(r"(?i)read-only file system|permission denied|os error (30|13)\b")


@contextmanager
def store_faults(root: Path, *, needed_bytes: int = 0) -> Iterator[None]:
    """Turn the operating system's refusals below `root` into ours.

    Args:
        needed_bytes: What the work asked for at least, when it is known.

    Raises:
        SetupError: ``env.space``, ``env.readonly``.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno in _FULL:
            raise no_space(root, needed_bytes=needed_bytes) from None
        if exc.errno in _FORBIDDEN:
            raise read_only(Path(os.fsdecode(exc.filename)) if exc.filename else root, exc.strerror or "") from None
        raise


def fault_in_text(text: str, root: Path) -> NbplatError | None:
    """The same for the words of a library or a program; None when they are about something else."""
    if _FULL_TEXT.search(text):
        return no_space(root)
    if _FORBIDDEN_TEXT.search(text):
        return read_only(root, text.strip().splitlines()[-1][:200])
    return None


def no_space(root: Path, *, needed_bytes: int = 0) -> SetupError:
    """The refusal of a full disk, with what is free."""
    need = f"{_mb(needed_bytes)} are needed at least, " if needed_bytes else ""
    return SetupError(
        "env.space",
        f"there is no space for environments: {need}{_mb(free_bytes(root))} are free on the disk of {root}",
        fix="run `nbplat env gc` (--dry-run shows what goes), free space there, or set NBPLAT_HOME to a larger disk",
        where=str(root),
    )


def read_only(path: Path, why: str = "") -> SetupError:
    """The refusal of a store that cannot be written."""
    return SetupError(
        "env.readonly",
        f"the store of environments cannot be written: {why.lower() or 'read-only'}",
        fix="make that folder writable for you, or set NBPLAT_HOME to a folder of your own",
        where=str(path),
    )


def free_bytes(path: Path) -> int:
    """Free bytes on the disk that a path is on, or would be on."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def _mb(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
