"""The record inside a finished environment: what it is and what it was made from. It is written last."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nbplat.environment.lock_record import CondaPackage, LocalLayer, PipPackage, PlatformLock
from nbplat.terms import EnvironmentRef

__all__ = ["BUILT_FILE", "Built", "read_built", "write_built"]

BUILT_FILE = ".nbplat/built.json"
"""In a prefix; whatever has none is not finished."""

_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Built:
    """One finished environment.

    Attributes:
        name: Under which it was built first; the index knows every name.
        prefix: Its folder; the text that its files hold for it.
        requested: Match specs of the declaration, and the requirements of its ``pip:`` part.
        built_ms: When, milliseconds since the epoch.
        linked: True when its files are hard links to the packages; False when they are copies.
        files: How many, folders left out.
        size_bytes: Of its files, shared ones in full.
    """

    name: str
    key: str
    platform: str
    prefix: str
    lock_digest: str
    lock: PlatformLock
    requested: tuple[str, ...] = ()
    pip_requested: tuple[str, ...] = ()
    built_ms: int = 0
    linked: bool = True
    files: int = 0
    size_bytes: int = 0

    def ref(self, name: str = "", lock_digest: str = "") -> EnvironmentRef:
        """Refer to it, by another name when one is given."""
        return EnvironmentRef(
            name=name or self.name,
            key=self.key,
            platform=self.platform,
            prefix=self.prefix,
            lock_digest=lock_digest or self.lock_digest,
            python=self.lock.python,
        )


def write_built(built: Built) -> None:
    """Write the record under its name in one move; from then on the environment is there."""
    path = Path(built.prefix) / BUILT_FILE
    path.parent.mkdir(exist_ok=True)
    half = path.with_name("built.half")
    with half.open("w", encoding="utf-8") as sink:
        plain = {one.name: getattr(built, one.name) for one in fields(built) if one.name != "lock"}
        record = {"schema": _SCHEMA, **plain, "lock": _platform_lock_json(built.lock)}
        json.dump(record, sink, sort_keys=True)
        sink.flush()
        os.fsync(sink.fileno())
    half.replace(path)


def read_built(prefix: Path) -> Built | None:
    """The record of a prefix; None when there is none, or one that is not ours or lies elsewhere now."""
    try:
        found = json.loads((prefix / BUILT_FILE).read_text(encoding="utf-8"))
        if found.pop("schema") != _SCHEMA or found["prefix"] != str(prefix):
            return None
        lock = _platform_lock(found.pop("lock"))
        for name in ("requested", "pip_requested"):
            found[name] = tuple(found[name])
        return Built(lock=lock, **found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _platform_lock_json(lock: PlatformLock) -> dict[str, Any]:
    return {
        "platform": lock.platform,
        "virtual": dict(lock.virtual),
        "conda": [asdict(one) for one in lock.conda],
        "pip": [asdict(one) for one in lock.pip],
        "local": [asdict(one) for one in lock.local],
    }


def _platform_lock(found: Mapping[str, Any]) -> PlatformLock:
    return PlatformLock(
        platform=found["platform"],
        virtual=MappingProxyType(dict(found["virtual"])),
        conda=tuple(CondaPackage(**_tuples(one)) for one in found["conda"]),
        pip=tuple(PipPackage(**_tuples(one)) for one in found["pip"]),
        local=tuple(LocalLayer(**_tuples(one)) for one in found["local"]),
    )


def _tuples(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
