"""What a new lock changes, for people: packages that came, went, moved up or down, with their sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nbplat.environment.floors import compare
from nbplat.environment.lock_record import CondaPackage, LocalLayer, Lock, PipPackage, PlatformLock

__all__ = ["LockDiff", "PackageChange", "PlatformDiff", "What", "diff_locks"]


class What(StrEnum):
    """What became of a package."""

    ADDED = "added"
    REMOVED = "removed"
    UPGRADED = "upgraded"
    DOWNGRADED = "downgraded"
    REBUILT = "rebuilt"
    SOURCE = "source"


_SIGNS = {
    What.ADDED: "+",
    What.REMOVED: "-",
    What.UPGRADED: "↑",
    What.DOWNGRADED: "↓",
    What.REBUILT: "~",
    What.SOURCE: "~",
}


@dataclass(frozen=True, slots=True)
class PackageChange:
    """One package that is not as it was.

    Attributes:
        kind: ``conda``, ``pip`` or ``local``.
        old: Version and, where that is what differs, build; empty: it was not there.
        new: The same of now; empty: it is gone.
        bytes: Size of its file now, or before when it is gone; 0: not known.
    """

    what: What
    kind: str
    name: str
    old: str
    new: str
    bytes: int

    def text(self) -> str:
        """One line: ``↑ numpy 2.1.0 -> 2.2.0 (7.9 MB)``."""
        versions = " -> ".join(part for part in (self.old, self.new) if part)
        kind = f" [{self.kind}]" if self.kind != "conda" else ""
        note = {What.REBUILT: ", other build", What.SOURCE: ", source changed"}.get(self.what, "")
        size = f" ({_size(self.bytes)})" if self.bytes else ""
        return f"{_SIGNS[self.what]} {self.name} {versions}{note}{size}{kind}"


@dataclass(frozen=True, slots=True)
class PlatformDiff:
    """The changes of one platform.

    Attributes:
        changes: By name.
        same: How many packages are as they were.
        bytes_before: Of all package files of known size; 0 of a platform that is new.
    """

    platform: str
    changes: tuple[PackageChange, ...]
    same: int
    bytes_before: int
    bytes_after: int

    def summary(self) -> str:
        """One line: ``linux-64: 1 added, 2 upgraded, 14 the same; 182.3 MB (+12.1 MB)``."""
        counts = [(what.value, sum(one.what is what for one in self.changes)) for what in What]
        told = [f"{count} {word}" for word, count in counts if count] + [f"{self.same} the same"]
        moved = self.bytes_after - self.bytes_before
        growth = f" ({'+' if moved > 0 else '-'}{_size(abs(moved))})" if moved and self.bytes_before else ""
        return f"{self.platform}: {', '.join(told)}; {_size(self.bytes_after)}{growth}"


@dataclass(frozen=True, slots=True)
class LockDiff:
    """What a new lock changes.

    Attributes:
        platforms: Those of the new lock, by name.
        gone: Platforms that only the old one has.
    """

    platforms: tuple[PlatformDiff, ...]
    gone: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.gone) or any(one.changes for one in self.platforms)

    def text(self) -> str:
        """Lines for people; one line when nothing changes."""
        if not self:
            return "\n".join(f"{one.summary()}; nothing changes" for one in self.platforms)
        lines = []
        for one in self.platforms:
            lines += [one.summary(), *(f"  {change.text()}" for change in one.changes)]
        return "\n".join([*lines, *(f"{name}: no longer locked" for name in self.gone)])

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "platforms": [
                {
                    "platform": one.platform,
                    "same": one.same,
                    "bytes_before": one.bytes_before,
                    "bytes_after": one.bytes_after,
                    "changes": [
                        {
                            "what": change.what.value,
                            "kind": change.kind,
                            "name": change.name,
                            "old": change.old,
                            "new": change.new,
                            "bytes": change.bytes,
                        }
                        for change in one.changes
                    ],
                }
                for one in self.platforms
            ],
            "gone": list(self.gone),
        }


def diff_locks(old: Lock | None, new: Lock) -> LockDiff:
    """Compare two locks; without an old one everything was added."""
    before: Mapping[str, PlatformLock] = old.platforms if old is not None else {}
    found = tuple(_platform(before.get(name, PlatformLock(name)), each) for name, each in sorted(new.platforms.items()))
    return LockDiff(found, tuple(sorted(set(before) - set(new.platforms))))


_Package = CondaPackage | PipPackage | LocalLayer


def _platform(old: PlatformLock, new: PlatformLock) -> PlatformDiff:
    changes: list[PackageChange] = []
    same = 0
    for kind, before, after in (
        ("conda", old.conda, new.conda),
        ("pip", old.pip, new.pip),
        ("local", old.local, new.local),
    ):
        had: dict[str, _Package] = {one.name: one for one in before}
        has: dict[str, _Package] = {one.name: one for one in after}
        for name in sorted({*had, *has}):
            change = _change(kind, name, had.get(name), has.get(name))
            if change is None:
                same += 1
            else:
                changes.append(change)
    changes.sort(key=lambda one: one.name)
    return PlatformDiff(new.platform, tuple(changes), same, _bytes(old), _bytes(new))


def _change(kind: str, name: str, old: _Package | None, new: _Package | None) -> PackageChange | None:
    if old is None or new is None:
        one = new or old
        assert one is not None  # noqa: S101 - the name comes from one of the two
        what = What.ADDED if old is None else What.REMOVED
        version = one.version
        return PackageChange(
            what, kind, name, "" if old is None else version, "" if new is None else version, _size_of(one)
        )
    if old.version != new.version:
        what = What.UPGRADED if compare(new.version, old.version) > 0 else What.DOWNGRADED
        return PackageChange(what, kind, name, old.version, new.version, _size_of(new))
    if _content(old) == _content(new):
        return None
    if isinstance(new, LocalLayer):
        return PackageChange(What.SOURCE, kind, name, "", new.version, 0)
    builds = [one.build if isinstance(one, CondaPackage) else "" for one in (old, new)]
    told = [f"{one.version} {build}".strip() for one, build in zip((old, new), builds, strict=True)]
    return PackageChange(What.REBUILT, kind, name, told[0] if told[0] != told[1] else "", told[1], _size_of(new))


def _content(one: _Package) -> Any:
    if isinstance(one, CondaPackage):
        return one.sha256
    return one.hashes if isinstance(one, PipPackage) else (one.source_hash, one.extras)


def _size_of(one: _Package) -> int:
    return 0 if isinstance(one, LocalLayer) else one.size


def _bytes(found: PlatformLock) -> int:
    packages: Iterable[CondaPackage | PipPackage] = (*found.conda, *found.pip)
    return sum(one.size for one in packages)


def _size(count: int) -> str:
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"
