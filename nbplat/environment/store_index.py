"""Who needs which environment and when it was used last: names, references, uses; a small SQLite file.

It can be lost: environments say themselves what they are, and the next build of a name writes it again.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbplat.environment.store_faults import no_space, read_only
from nbplat.errors import SetupError

__all__ = ["Named", "Reference", "StoreIndex", "Use"]

_WAIT_S = 30.0
_SCHEMA = """
create table if not exists names (
    name text not null, project text not null, platform text not null, key text not null, lock_digest text not null,
    built_ms integer not null, primary key (name, project, platform)
);
create table if not exists refs (kind text not null, place text not null, key text not null, at_ms integer not null,
    primary key (kind, place));
create table if not exists uses (key text primary key, used_ms integer not null);
"""


@dataclass(frozen=True, slots=True)
class Named:
    """What a name means in a project.

    Attributes:
        project: Folder that the declaration lies in; empty for one given as text.
        built_ms: When it was last built, or found built, under this name.
    """

    name: str
    project: str
    platform: str
    key: str
    lock_digest: str
    built_ms: int


@dataclass(frozen=True, slots=True)
class Reference:
    """Something else that needs an environment.

    Attributes:
        kind: ``kernel``: a kernelspec.
        place: The kernelspec's file; when it is gone it refers to nothing.
    """

    kind: str
    place: str
    key: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Use:
    """When an environment was used last."""

    key: str
    used_ms: int


class StoreIndex:
    """The index of one store.

    Args:
        path: The file; made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def name(self, named: Named) -> None:
        """Let a name mean an environment from now on; it counts as used."""
        with self._writing() as base:
            base.execute(
                "insert or replace into names values (?, ?, ?, ?, ?, ?)",
                (named.name, named.project, named.platform, named.key, named.lock_digest, named.built_ms),
            )
            _use(base, named.key, named.built_ms)

    def names(self) -> list[Named]:
        """Every name, the newest first."""
        return [Named(*row) for row in self._rows("select * from names order by built_ms desc, name, project")]

    def refer(self, reference: Reference) -> None:
        """Keep an environment for this."""
        with self._writing() as base:
            base.execute(
                "insert or replace into refs values (?, ?, ?, ?)",
                (reference.kind, reference.place, reference.key, reference.at_ms),
            )

    def references(self) -> list[Reference]:
        """Everything that needs an environment beside its names."""
        return [Reference(*row) for row in self._rows("select * from refs order by kind, place")]

    def release(self, kind: str, place: str) -> None:
        """Need it no longer."""
        with self._writing() as base:
            base.execute("delete from refs where kind = ? and place = ?", (kind, place))

    def use(self, key: str, now_ms: int) -> None:
        """Note that it is used now. A store that cannot be written is fine: nobody can remove anything there either."""
        with contextlib.suppress(SetupError), self._writing() as base:
            _use(base, key, now_ms)

    def uses(self) -> dict[str, int]:
        """When each was used last, milliseconds since the epoch, by key."""
        return {str(key): int(used_ms) for key, used_ms in self._rows("select key, used_ms from uses")}

    def forget(self, key: str) -> None:
        """Nothing of a removed environment stays."""
        with self._writing() as base:
            for table in ("names", "refs", "uses"):
                base.execute(f"delete from {table} where key = ?", (key,))  # noqa: S608 - names of ours

    def forget_name(self, name: str, project: str) -> None:
        """A name means nothing any more; what it meant stays until it is swept."""
        with self._writing() as base:
            base.execute("delete from names where name = ? and project = ?", (name, project))

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        if not self._path.exists():
            return []
        with self._open(read_only=True) as base:
            try:
                return list(base.execute(query))
            except sqlite3.OperationalError as exc:
                if "no such table" in str(exc):
                    return []
                raise

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._open() as base:
            base.executescript(_SCHEMA)
            with base:
                yield base

    @contextmanager
    def _open(self, *, read_only: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            if not read_only:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            address = f"{self._path.as_uri()}?mode={'ro' if read_only else 'rwc'}"
            with contextlib.closing(sqlite3.connect(address, uri=True, timeout=_WAIT_S)) as base:
                yield base
        except OSError as exc:
            raise _unwritable(self._path, exc.strerror or "") from None
        except sqlite3.DatabaseError as exc:
            raise self._refused(exc) from None

    def _refused(self, exc: sqlite3.DatabaseError) -> SetupError:
        text = str(exc)
        if "full" in text:
            return no_space(self._path.parent)
        if "readonly" in text or "unable to open" in text:
            return _unwritable(self._path, text)
        return SetupError(
            "env.index",
            f"the index of the store cannot be used: {text}",
            fix=f"remove {self._path}: environments stay, and their names come back with the next build of each",
            where=str(self._path),
        )


def _unwritable(path: Path, why: str) -> SetupError:
    return read_only(path, why)


def _use(base: sqlite3.Connection, key: str, now_ms: int) -> None:
    base.execute(
        "insert into uses values (?, ?) on conflict (key) do update set used_ms = max(used_ms, excluded.used_ms)",
        (key, now_ms),
    )
