"""The rows of the catalog's database: which metadata file each table and view is at, moved by compare-and-swap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pyiceberg.catalog.sql import IcebergTables
from sqlalchemy import ColumnElement, Connection, CursorResult, Engine, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from nbplat.service.iceberg_rest.faults import already_exists, commit_failed
from nbplat.service.iceberg_rest.repeats import Repeats

__all__ = ["Identifier", "Kind", "Move", "Pointers", "dotted"]

Identifier = tuple[str, ...]


class Kind(StrEnum):
    """What a row is; the column is Iceberg-Java's `iceberg_type` of its JDBC catalog, version 1."""

    TABLE = "TABLE"
    VIEW = "VIEW"


@dataclass(frozen=True, slots=True)
class Move:
    """One pointer to set.

    Attributes:
        expected: The metadata file it must be at; None when the name must be free.
        location: The metadata file it shall be at.
    """

    identifier: Identifier
    kind: Kind
    expected: str | None
    location: str


def dotted(identifier: Identifier) -> str:
    return ".".join(identifier)


class Pointers:
    """Reads and moves of pointers. Safe across processes: every change says what it found.

    Args:
        engine: The SQL catalog's own engine.
        catalog: Name of the catalog, part of every row's key.
    """

    def __init__(self, engine: Engine, catalog: str) -> None:
        self._engine = engine
        self._catalog = catalog
        self.repeats = Repeats(engine)

    def find(self, identifier: Identifier, kind: Kind) -> str | None:
        """Where the metadata file is; None when there is no such table or view."""
        with self._engine.connect() as db:
            row = db.execute(select(IcebergTables.metadata_location).where(self._is(identifier, kind))).first()
        return row[0] if row else None

    def names(self, namespace: Identifier, kind: Kind) -> list[str]:
        """Names right under a namespace, sorted."""
        where = and_(
            IcebergTables.catalog_name == self._catalog,
            IcebergTables.table_namespace == dotted(namespace),
            _of_kind(kind),
        )
        with self._engine.connect() as db:
            return sorted(row[0] for row in db.execute(select(IcebergTables.table_name).where(where)))

    def move(self, moves: Sequence[Move]) -> None:
        """Set all pointers in one transaction, or none.

        Raises:
            RefusedError: 409 when a pointer is elsewhere by now, or a name that must be free is taken.
        """
        with self._engine.begin() as db:
            for move in moves:
                if move.expected is None:
                    self._insert(db, move)
                else:
                    self._swap(db, move, move.expected)
            self.repeats.note(db, moves[0].location if len(moves) == 1 else "")

    def _insert(self, db: Connection, move: Move) -> None:
        row = {
            "catalog_name": self._catalog,
            "table_namespace": dotted(move.identifier[:-1]),
            "table_name": move.identifier[-1],
            "metadata_location": move.location,
            "previous_metadata_location": None,
            "iceberg_type": str(move.kind),
        }
        try:
            db.execute(insert(IcebergTables).values(**row))
        except IntegrityError:
            raise already_exists(f"{dotted(move.identifier)} already exists") from None

    def _swap(self, db: Connection, move: Move, expected: str) -> None:
        found = db.execute(
            update(IcebergTables)
            .where(self._is(move.identifier, move.kind), IcebergTables.metadata_location == expected)
            .values(metadata_location=move.location, previous_metadata_location=expected)
        )
        if _count(found) != 1:
            raise commit_failed(f"{dotted(move.identifier)} was changed by another writer")

    def drop(self, identifier: Identifier, kind: Kind) -> bool:
        """Forget a table or view; False when there is none. No file is touched."""
        with self._engine.begin() as db:
            dropped = _count(db.execute(delete(IcebergTables).where(self._is(identifier, kind)))) == 1
            if dropped:
                self.repeats.note(db)
            return dropped

    def rename(self, source: Identifier, target: Identifier, kind: Kind) -> bool:
        """Give another name; False when there is no source. Raises 409 when the target is taken."""
        with self._engine.begin() as db:
            try:
                found = db.execute(
                    update(IcebergTables)
                    .where(self._is(source, kind))
                    .values(table_namespace=dotted(target[:-1]), table_name=target[-1])
                )
            except IntegrityError:
                raise already_exists(f"{dotted(target)} already exists") from None
            if _count(found) == 1:
                self.repeats.note(db)
                return True
            return False

    def _is(self, identifier: Identifier, kind: Kind) -> ColumnElement[bool]:
        return and_(
            IcebergTables.catalog_name == self._catalog,
            IcebergTables.table_namespace == dotted(identifier[:-1]),
            IcebergTables.table_name == identifier[-1],
            _of_kind(kind),
        )


def _of_kind(kind: Kind) -> ColumnElement[bool]:
    # Rows written before version 1 of the layout hold no type; all of them are tables.
    of_type = IcebergTables.iceberg_type == str(kind)
    return or_(of_type, IcebergTables.iceberg_type.is_(None)) if kind is Kind.TABLE else of_type


def _count(result: object) -> int:
    return result.rowcount if isinstance(result, CursorResult) else 0
