"""Whether a declaration or its lock has moved on since an environment was built from it."""

from __future__ import annotations

from pathlib import Path

from nbplat.environment.definition_file import SUFFIXES, lock_path, read_file, read_text
from nbplat.environment.lock_check import check_lock
from nbplat.environment.lock_read import parse_lock
from nbplat.environment.store import Store
from nbplat.environment.store_index import StoreIndex
from nbplat.errors import NbplatError
from nbplat.terms import EnvironmentRef

__all__ = ["behind_declaration"]


def behind_declaration(ref: EnvironmentRef, project: str, store: Store) -> str:
    """What differs between a build and its declaration as it is now, with the mend; empty when nothing does.

    Whatever cannot be read says nothing: the verbs of environments say what is wrong with it.

    Args:
        project: Folder of the declaration. One that nothing of this name was built from in this store is not looked
            into: who asks may be on another machine.
    """
    known = {(one.name, one.project) for one in StoreIndex(store.index).names()}
    if not project or (ref.name, project) not in known:
        return ""
    folder = Path(project)
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
