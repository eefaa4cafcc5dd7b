"""Unpacks an archive: its hash first, and nothing outside of its folder."""

from __future__ import annotations

from pathlib import Path

from nbplat.environment.ports import Say

__all__ = ["unpack"]


def unpack(archive: Path, into: Path, sha256: str, say: Say, *, relocate: bool = True) -> Path:
    """Unpack an archive into a folder that must not exist; all of it or nothing.

    Args:
        sha256: What the archive must be.
        relocate: Put the folder's own path into the files that hold one.

    Returns:
        `into`.

    Raises:
        DataError: ``env.hash``: the archive is another one; ``env.unsafe``: it holds an absolute path, ``..``, a device,
            or a link that leads out; ``env.archive``: it ends early or is no archive of a known format.
        Conflict: ``env.exists``: `into` exists.
        SetupError: ``env.space``, ``env.readonly``.
    """
    raise NotImplementedError
