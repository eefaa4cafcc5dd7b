"""What a warm driver has taken in at its start besides settings: variables, and files that may change under it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from nbplat.remote.bundle import bundle_bytes
from nbplat.session.warm import Recipe

__all__ = ["facts_of"]

# These differ between shells and say nothing.
_VOLATILE = frozenset(("_", "SHLVL", "PWD", "OLDPWD", "COLUMNS", "LINES"))
_FILES = ("spark.jars", "spark.driver.extraClassPath", "spark.submit.pyFiles")


def facts_of(recipe: Recipe) -> list[str]:
    """Facts that must be the same when a session claims a driver as they were at its start."""
    environ = sorted((name, value) for name, value in os.environ.items() if name not in _VOLATILE)
    return [
        hashlib.sha256(json.dumps(environ).encode(errors="surrogateescape")).hexdigest(),
        _our_code(),
        *_packages(recipe.interpreter),
        *_files(recipe),
    ]


@lru_cache(1)
def _our_code() -> str:
    return hashlib.sha256(bundle_bytes()).hexdigest()


def _packages(interpreter: str) -> Iterator[str]:
    # Installing or removing one changes the folder's time.
    for folder in sorted(Path(interpreter).parent.parent.glob("lib/python3*/site-packages")):
        yield f"{folder} {folder.stat().st_mtime_ns}"


def _files(recipe: Recipe) -> Iterator[str]:
    for key in _FILES:
        for entry in filter(None, recipe.conf.get(key, "").replace(":/", ",/").split(",")):
            path = Path(entry.removeprefix("file://").removeprefix("file:").removeprefix("local:"))
            try:
                found = path.stat()
            except (OSError, ValueError):
                yield f"{entry} elsewhere"
            else:
                yield f"{entry} {found.st_size} {found.st_mtime_ns}"
