"""Whether the store of environments can work where it lies, in one sentence."""

from __future__ import annotations

import os
from pathlib import Path

from nbplat.environment.store import Store
from nbplat.errors import SetupError

__all__ = ["store_health"]


def store_health(store: Store) -> str:
    """What is built, and whether packages are shared by hard links.

    Raises:
        SetupError: ``env.readonly``: nothing can be built there.
    """
    if not store.root.is_dir():
        return f"ok, nothing is built yet in {store.root}"
    if not os.access(store.root, os.W_OK | os.X_OK):
        raise SetupError(
            "env.readonly",
            f"{store.root} cannot be written: what is built runs, nothing new can be",
            fix="set NBPLAT_HOME to a folder of your own",
        )
    built = store.every()
    copied = sum(not one.linked for one in built)
    words = f"ok, {len(built)} {'environment' if len(built) == 1 else 'environments'} in {store.root}"
    if copied:
        words += f"; {copied} of copies: its file system has no hard links, so each takes its whole size"
    long = _shebang_room(store.root)
    return f"{words}; {long}" if long else words


def _shebang_room(root: Path) -> str:
    """A warning where prefixes are longer than the line that a script's interpreter may take."""
    prefix = root / "envs" / ("0" * 32) / "bin" / "python3.11"
    return "its path is long: scripts start by way of sh" if len(str(prefix)) > 125 else ""
