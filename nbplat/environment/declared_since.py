"""Whether a declaration or its lock has moved on since an environment was built from it."""

from __future__ import annotations

from pathlib import Path

from nbplat.environment.definition_file import SUFFIXES, lock_path, read_file, read_text
from nbplat.environment.lock_check import check_lock
from nbplat.environment.lock_read import parse_lock
from nbplat.errors import NbplatError
from nbplat.terms import EnvironmentRef

__all__ = ["behind_declaration"]


def behind_declaration(ref: EnvironmentRef, folder: Path) -> str:
    """What differs between a build and its declaration as it is now, with the mend; empty when nothing does.

    Whatever cannot be read says nothing: the verbs of environments say what is wrong with it.

    Args:
        folder: Of the declaration.
    """
    try:
        file = next((path for suffix in SUFFIXES if (path := folder / (ref.name + suffix)).is_file()), None)
        if file is None or not lock_path(file).is_file():
            return ""
        lock = parse_lock(read_text(lock_path(file)), str(lock_path(file)))
        changed = check_lock(read_file(file), lock, sources=False)
    except NbplatError:
        return ""
    if changed:
        return (
            f"{file.parent.name}/{file.name} has changed since {ref.name} was built: {changed[0].text} "
            f"(nbplat env lock {ref.name}, then nbplat env build {ref.name})"
        )
    if lock.digest != ref.lock_digest:
        return f"{ref.name} was locked anew since it was built (nbplat env build {ref.name})"
    return ""
