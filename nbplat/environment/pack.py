"""Makes the archive of a built environment: equal locks give equal bytes, and what did not change is not done again."""

from __future__ import annotations

from nbplat.environment.pack_record import Pack, PackFolders, PackOptions, PackSource
from nbplat.environment.packing.ports import PackTools
from nbplat.environment.ports import Say

__all__ = ["pack"]


def pack(source: PackSource, options: PackOptions, folders: PackFolders, tools: PackTools, say: Say) -> Pack:
    """Make the archive, or find it made.

    Layers are kept compressed, one a package; an archive is its layers one after the other behind a small head.

    Raises:
        RequestError: an option that cannot be.
        DataError: ``env.hash``: a file is not the one of its package, neither in the cache nor in the prefix;
            ``env.prefix``: the prefix does not hold what the lock says.
        SetupError: ``env.space``, ``env.readonly``.
    """
    raise NotImplementedError
