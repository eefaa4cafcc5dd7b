"""What the store holds and what it takes: `ls` and `du`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from nbplat.environment.built import Built
from nbplat.environment.disk import Inodes, inodes_in
from nbplat.environment.references import last_uses, processes_in, reasons
from nbplat.environment.store import Store
from nbplat.environment.store_index import StoreIndex

__all__ = ["ListedEnvironment", "PartUsage", "StoreUsage", "listing", "usage"]


@dataclass(frozen=True, slots=True)
class ListedEnvironment:
    """One built environment.

    Attributes:
        names: By which it is called now, sorted; empty when nobody calls it any more.
        used_ms: When it was last built, found or started.
        kept: Why `gc` keeps it, in words; empty when it would go once it has rested.
        running: Processes in it.
        size_bytes: Of its files, shared ones in full.
        own_bytes: What removing it alone would free at once; None when that was not asked.
    """

    names: tuple[str, ...]
    built: Built
    used_ms: int
    kept: tuple[str, ...]
    running: tuple[int, ...]
    size_bytes: int
    own_bytes: int | None = None

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "names": list(self.names),
            "key": self.built.key,
            "platform": self.built.platform,
            "python": self.built.lock.python,
            "prefix": self.built.prefix,
            "packages": len(self.built.lock.conda) + len(self.built.lock.pip) + len(self.built.lock.local),
            "built_ms": self.built.built_ms,
            "used_ms": self.used_ms,
            "kept": list(self.kept),
            "running": list(self.running),
            "size_bytes": self.size_bytes,
            "own_bytes": self.own_bytes,
        }


@dataclass(frozen=True, slots=True)
class PartUsage:
    """One part of the store.

    Attributes:
        name: ``packages``, ``environments``, ``members``, ``packs``, ``wheels``, ``unpacked`` or ``unfinished``.
        bytes: On the disk; files shared with a part named before are counted there.
    """

    name: str
    bytes: int
    count: int

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "bytes": self.bytes, "count": self.count}


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """What a store takes.

    Attributes:
        parts: Their bytes add up to `bytes`.
        bytes: On the disk, each file once.
        shared_bytes: What hard links save: copies of every environment would take so much more.
    """

    root: str
    environments: tuple[ListedEnvironment, ...]
    parts: tuple[PartUsage, ...]
    bytes: int
    shared_bytes: int

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "root": self.root,
            "bytes": self.bytes,
            "shared_bytes": self.shared_bytes,
            "parts": [one.record() for one in self.parts],
            "environments": [one.record() for one in self.environments],
        }


def listing(store: Store, needed: Mapping[str, Sequence[str]] = MappingProxyType({})) -> list[ListedEnvironment]:
    """Every finished environment, the last used first; reads no files but their records.

    Args:
        needed: By what beside the store, by key, in words.
    """
    built = store.every()
    used, kept = last_uses(store, built), reasons(store, needed)
    names: dict[str, set[str]] = {}
    for named in StoreIndex(store.index).names():
        names.setdefault(named.key, set()).add(named.name)
    found = [
        ListedEnvironment(
            names=tuple(sorted(names.get(one.key, ()))),
            built=one,
            used_ms=used[one.key],
            kept=tuple(reason.text for reason in kept.get(one.key, ())),
            running=tuple(processes_in(store.prefix(one.key))),
            size_bytes=one.size_bytes,
        )
        for one in built
    ]
    return sorted(found, key=lambda one: (-one.used_ms, one.built.key))


def usage(store: Store, needed: Mapping[str, Sequence[str]] = MappingProxyType({})) -> StoreUsage:
    """Measure the store: every file is looked at, none is read."""
    listed = listing(store, needed)
    walked = {one.built.key: inodes_in(store.prefix(one.built.key)) for one in listed}
    packages = inodes_in(store.pkgs)
    parts: list[PartUsage] = []
    known: list[Inodes] = []
    finished = {store.prefix(key) for key in walked}
    halves = [path for path in _below(store, "envs") if path not in finished]
    for name, count, found in (
        ("packages", len(_below(store, "pkgs")), [packages]),
        ("environments", len(walked), list(walked.values())),
        ("members", len(_below(store, "members")), [inodes_in(store.members)]),
        ("packs", len(_below(store, "packs")), [inodes_in(store.packs)]),
        ("wheels", len(_below(store, "wheels")), [inodes_in(store.wheels)]),
        ("unpacked", len(_below(store, "run")), [inodes_in(store.run)]),
        ("unfinished", len(_below(store, "tmp")) + len(halves), [inodes_in(store.tmp, *halves)]),
    ):
        size = 0
        for one in found:
            size += one.bytes_beside(known)
            known.append(one)
        parts.append(PartUsage(name, size, count))
    apparent = sum(one.apparent_bytes for one in walked.values())
    return StoreUsage(
        root=str(store.root),
        environments=tuple(_measured(one, walked[one.built.key]) for one in listed),
        parts=tuple(parts),
        bytes=sum(one.bytes for one in parts),
        shared_bytes=max(0, apparent - parts[1].bytes),
    )


def _measured(one: ListedEnvironment, found: Inodes) -> ListedEnvironment:
    return ListedEnvironment(
        names=one.names,
        built=one.built,
        used_ms=one.used_ms,
        kept=one.kept,
        running=one.running,
        size_bytes=found.apparent_bytes,
        own_bytes=found.own_bytes,
    )


def _below(store: Store, name: str) -> list[Any]:
    folder = store.root / name
    return list(folder.iterdir()) if folder.is_dir() else []
