"""DataFrames of a notebook that a body reads: stored as ordinary tables, named by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nbplat.backfill.ports import FrameTables
from nbplat.backfill.states import ALL_RUNS, KIND
from nbplat.backfill.types import arrow_type, from_arrow
from nbplat.errors import NbplatError, RequestError
from nbplat.job import JobStore
from nbplat.terms import TableName

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["NAMESPACE", "Frames", "StoredFrame", "frame_table"]

NAMESPACE = "nb_frames"
_HASH_DIGITS = 12


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """A DataFrame as a table.

    Attributes:
        name: What the body calls it.
        table: ``nb_frames.<name>__<hash of the content>``.
        frame_bytes: Size in memory.
        created: True when it was not stored before.
    """

    name: str
    table: str
    rows: int
    frame_bytes: int
    created: bool

    def record(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Frames:
    """The stored DataFrames of one state folder.

    Attributes:
        limit_bytes: Largest frame that is taken.
    """

    store: JobStore
    tables: FrameTables
    limit_bytes: int

    def keep(self, name: str, rows: pa.Table) -> StoredFrame:
        """Store a frame; one of equal content is stored once.

        Raises:
            RequestError: ``frame.name``, ``frame.column``, ``frame.size``, or a type that no table can hold.
        """
        check_size(name, rows.nbytes, self.limit_bytes)
        table, plain = frame_table(name, rows)
        created = self.tables.store(table, plain)
        return StoredFrame(name, str(table), plain.num_rows, plain.nbytes, created)

    def let_go(self, tables: Sequence[str]) -> list[str]:
        """Drop frames that no run names; returns those that were dropped. Other tables are never touched."""
        named = self.named()
        gone = [table for table in tables if table.startswith(f"{NAMESPACE}.") and table not in named]
        for table in gone:
            self.tables.drop(TableName.parse(table))
        return gone

    def named(self) -> dict[str, list[str]]:
        """Table of a frame -> runs whose body reads it."""
        found: dict[str, list[str]] = {}
        for run in self.store.runs(KIND, limit=ALL_RUNS):
            for table in (run.spec.get("frames") or {}).values():
                found.setdefault(table, []).append(run.id)
        return found

    def unused(self) -> list[str]:
        """Stored frames that no run names, sorted; what an expiry may drop."""
        named = self.named()
        return [table for table in self.tables.stored() if table not in named]


def check_size(name: str, size_bytes: int, limit_bytes: int) -> None:
    """Refuse a frame above the limit."""
    if size_bytes > limit_bytes:
        raise RequestError(
            "frame.size",
            f"the frame {name!r} has {size_bytes:,} bytes, and the limit is {limit_bytes:,}",
            fix="keep the rows and columns the body needs, raise limits.frame_bytes (NBPLAT_LIMITS_FRAME_BYTES), "
            "or load it as a table",
        )


def frame_table(name: str, rows: pa.Table) -> tuple[TableName, pa.Table]:
    """The table that holds a frame, and the frame as that table holds it.

    Raises:
        RequestError: a name that cannot be a table's, columns without a name or with one name, a type no table holds.
    """
    import pyarrow as pa

    from nbplat.remote.python_body import plain_type

    if not name.isidentifier() or not name.isascii() or name.lower() == "base":
        raise RequestError(
            "frame.name", f"{name!r} cannot name a frame", fix="bind it to a variable with another name (not base)"
        )
    lower = [column.lower() for column in rows.column_names]
    bad = [column for column in rows.column_names if not column or lower.count(column.lower()) > 1 or "." in column]
    if bad or not rows.num_columns:
        raise RequestError(
            "frame.column",
            f"the frame {name!r} has {f'a column named {bad[0]!r}' if bad else 'no column'}",
            fix="give each column one name without a dot, whatever its case",
        )
    fields, columns = [], []
    for column in rows.column_names:
        values = rows.column(column)
        try:
            kind = arrow_type(from_arrow(plain_type(values.type)))
            columns.append(values.cast(kind).combine_chunks())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, NbplatError) as exc:
            reason = exc.message if isinstance(exc, NbplatError) else str(exc).splitlines()[0]
            raise RequestError(
                "frame.column",
                f"the column {column!r} of the frame {name!r} is {values.type}, which a table cannot hold: {reason}",
                fix="leave it out, or cast it (numbers, text, bool, date, timestamp, list or struct of them)",
            ) from None
        fields.append(pa.field(column, kind))
    plain = pa.table(columns, schema=pa.schema(fields))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, plain.schema) as writer:
        writer.write_table(plain)
    digest = hashlib.sha256(sink.getvalue()).hexdigest()[:_HASH_DIGITS]
    return TableName(NAMESPACE, f"{name}__{digest}"), plain
