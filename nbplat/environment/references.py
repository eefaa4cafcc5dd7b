"""Why an environment is kept: a name means it, a kernel starts it, a run is planned in it, a process runs in it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from nbplat.environment.built import Built
from nbplat.environment.store import Store
from nbplat.environment.store_index import StoreIndex

__all__ = ["KERNEL", "NAME", "RUN", "Reason", "last_uses", "processes_in", "reasons"]

NAME = "name"
KERNEL = "kernel"
RUN = "run"
_PROCESSES = Path("/proc")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an environment is kept.

    Attributes:
        kind: ``name``, ``kernel`` or ``run``.
        text: For people.
    """

    kind: str
    text: str


def reasons(store: Store, needed: Mapping[str, Sequence[str]] = MappingProxyType({})) -> dict[str, list[Reason]]:
    """Why each environment is kept, by key. A key without reasons is not among them.

    A name counts while the project's folder is there, a kernel while its file is there and starts this environment.

    Args:
        needed: By what else, by key, in words.
    """
    index = StoreIndex(store.index)
    found = {key: [Reason(RUN, text) for text in texts] for key, texts in needed.items()}
    for named in index.names():
        if not named.project or Path(named.project).is_dir():
            where = f" in {named.project}" if named.project else ""
            found.setdefault(named.key, []).append(Reason(NAME, f"it is {named.name}{where}"))
    for one in index.references():
        if one.kind == KERNEL and _starts(Path(one.place), store.prefix(one.key)):
            text = f"the kernel {Path(one.place).parent.name} starts it"
            found.setdefault(one.key, []).append(Reason(KERNEL, text))
    return found


def processes_in(prefix: Path) -> list[int]:
    """Processes of this machine whose interpreter lies in a prefix, as far as this user may see; sorted.

    Empty where the system has no ``/proc``: the time of the last use has to do there.
    """
    inside = f"{prefix.resolve()}{os.sep}"
    return sorted(pid for pid, program in _programs() if program.startswith(inside))


def last_uses(store: Store, built: list[Built]) -> dict[str, int]:
    """When each environment was used last, milliseconds since the epoch; its building is a use."""
    noted = StoreIndex(store.index).uses()
    return {one.key: max(one.built_ms, noted.get(one.key, 0)) for one in built}


def _programs() -> Iterator[tuple[int, str]]:
    if not _PROCESSES.is_dir():
        return
    for folder in _PROCESSES.iterdir():
        if folder.name.isdigit():
            try:
                yield int(folder.name), os.readlink(folder / "exe")  # noqa: PTH115 - as text: " (deleted)" may follow
            except OSError:
                continue


def _starts(spec: Path, prefix: Path) -> bool:
    try:
        command = json.loads(spec.read_text(encoding="utf-8"))["argv"][0]
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return str(command).startswith(f"{prefix}{os.sep}")
