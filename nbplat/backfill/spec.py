"""What a person asks for: one feature body over one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbplat.backfill.body import Body, parse_body
from nbplat.errors import RequestError, did_you_mean
from nbplat.terms import RunId, TableName, Window, content_hash

__all__ = ["ENGINES", "BackfillSpec"]

ENGINES = ("local",)


@dataclass(frozen=True, slots=True)
class BackfillSpec:
    """A backfill as declared in a cell, a call or a file.

    Attributes:
        name: Names the run; lower-case identifier.
        table: The table that gets the new columns.
        body: One Spark-SQL ``SELECT`` of the keys and the new columns over ``base`` (the window of
            the table) and any other tables by name.
        keys: Columns that identify a row of the table. Empty means: every column of the body's
            result that the table has already.
        window: Which rows to compute; whole files are covered, rows outside hold null.
        time: The table's time column; None takes the source of its time partition.
        engine: Where staging runs.
        promote: Promote by itself once the audit has passed.
    """

    name: str
    table: TableName
    body: Body
    keys: tuple[str, ...] = ()
    window: Window = field(default_factory=Window)
    time: str | None = None
    engine: str = "local"
    promote: bool = False

    @classmethod
    def build(
        cls,
        name: str,
        table: str,
        sql: str,
        *,
        keys: tuple[str, ...] = (),
        start: str | None = None,
        end: str | None = None,
        time: str | None = None,
        engine: str = "local",
        promote: bool = False,
    ) -> BackfillSpec:
        """Check what can be checked without a catalog.

        Raises:
            RequestError: a bad name, table, date, engine, or a body that is not one ``SELECT``.
        """
        if engine not in ENGINES:
            raise RequestError("backfill.engine", f"there is no engine {engine!r}", fix=did_you_mean(engine, ENGINES))
        return cls(
            name=RunId.check_name(name),
            table=TableName.parse(table),
            body=parse_body(sql),
            keys=tuple(keys),
            window=Window.parse(start, end),
            time=time,
            engine=engine,
            promote=promote,
        )

    @property
    def identity(self) -> str:
        """SHA-256 over what decides the result: body, table, keys, window, time, engine.

        Layout and comments of the body do not count, nor does `promote`.
        """
        record = self.record()
        return content_hash({key: value for key, value in record.items() if key not in ("name", "promote")})

    def record(self) -> dict[str, Any]:
        """The JSON form; `from_record` reads it back."""
        return {
            "name": self.name,
            "table": str(self.table),
            "sql": self.body.sql,
            "keys": list(self.keys),
            "from": self.window.record()["from"],
            "to": self.window.record()["to"],
            "time": self.time,
            "engine": self.engine,
            "promote": self.promote,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> BackfillSpec:
        """Read what `record` wrote."""
        return cls.build(
            record["name"],
            record["table"],
            record["sql"],
            keys=tuple(record.get("keys") or ()),
            start=record.get("from"),
            end=record.get("to"),
            time=record.get("time"),
            engine=record.get("engine") or "local",
            promote=bool(record.get("promote")),
        )
