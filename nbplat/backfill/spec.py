"""What a person asks for: one feature body over one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbplat.backfill.body import Body, parse_body
from nbplat.backfill.declared import declared_types
from nbplat.backfill.python_body import PythonBody, parse_python
from nbplat.errors import RequestError, did_you_mean
from nbplat.terms import RunId, TableName, Window, content_hash

__all__ = ["ENGINES", "BackfillSpec"]

ENGINES = ("local", "ray", "spark")

# Do not decide what comes out, so that changing them attaches to the same run.
_NOT_IDENTITY = ("name", "promote", "checks")


@dataclass(frozen=True, slots=True)
class BackfillSpec:
    """A backfill as declared in a cell, a call or a file.

    Attributes:
        name: Names the run; lower-case identifier.
        table: The table that gets the new columns.
        body: One Spark-SQL ``SELECT`` of the keys and the new columns over ``base`` (the window of
            the table) and any other tables by name; or a Python function of a batch of its rows.
        keys: Columns that identify a row of the table. Empty means: every column of the body's
            result that the table has already and that is not replaced.
        window: Which rows to compute; whole files are covered, rows outside hold null, or the old
            value of a replaced column.
        time: The table's time column; None takes the source of its time partition.
        engine: Where staging runs.
        promote: Promote by itself once the audit has passed.
        as_of: Column of the table that holds the time as of which a row's feature must be known;
            None: leakage cannot be probed.
        source_times: Source table -> its time column, for the leak probe.
        replace: Existing columns that the body computes again; they keep their field ids.
        types: New column -> Iceberg type it is cast to; a column left out has its result's type.
        checks: Audit rule or threshold -> value as text: ``nulls`` -> ``warn``,
            ``nulls.max_share`` -> ``0.05``. Wins over the config's.
        frames: Name in the body -> table that holds a DataFrame of the notebook.
        extends: Run whose columns this one computes for files that lack them; None for all others.
    """

    name: str
    table: TableName
    body: Body | PythonBody
    keys: tuple[str, ...] = ()
    window: Window = field(default_factory=Window)
    time: str | None = None
    engine: str = "local"
    promote: bool = False
    as_of: str | None = None
    source_times: Mapping[str, str] = field(default_factory=dict)
    replace: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    checks: Mapping[str, str] = field(default_factory=dict)
    frames: Mapping[str, str] = field(default_factory=dict)
    extends: str | None = None

    @classmethod
    def build(
        cls,
        name: str,
        table: str,
        sql: str = "",
        *,
        python: Mapping[str, Any] | None = None,
        keys: Sequence[str] = (),
        start: str | None = None,
        end: str | None = None,
        time: str | None = None,
        engine: str = "local",
        promote: bool = False,
        as_of: str | None = None,
        source_times: Mapping[str, str] | None = None,
        replace: Sequence[str] = (),
        types: Mapping[str, str] | None = None,
        checks: Mapping[str, str] | None = None,
        frames: Mapping[str, str] | None = None,
        extends: str | None = None,
    ) -> BackfillSpec:
        """Check what can be checked without a catalog.

        Args:
            python: A Python body as keyword arguments of `parse_python`; then `sql` is empty.

        Raises:
            RequestError: a bad name, table, date, engine, a body that is not one ``SELECT`` or not one
                function, or both kinds of body.
        """
        if engine not in ENGINES:
            raise RequestError("backfill.engine", f"there is no engine {engine!r}", fix=did_you_mean(engine, ENGINES))
        return cls(
            name=RunId.check_name(name),
            table=TableName.parse(table),
            body=_parse(sql, python, frames or {}),
            keys=tuple(keys),
            window=Window.parse(start, end),
            time=time,
            engine=engine,
            promote=promote,
            as_of=as_of,
            source_times={str(TableName.parse(source)): column for source, column in (source_times or {}).items()},
            replace=tuple(replace),
            types=declared_types(types or {}),
            checks={key: str(value) for key, value in (checks or {}).items()},
            frames=dict(frames or {}),
            extends=extends,
        )

    @property
    def identity(self) -> str:
        """SHA-256 over what decides the result: body, table, keys, window, times, columns, engine.

        Layout and comments of the body do not count, nor do `promote` and `checks`.
        """
        return content_hash({key: value for key, value in self.record().items() if key not in _NOT_IDENTITY})

    def record(self) -> dict[str, Any]:
        """The JSON form; `from_record` reads it back."""
        return {
            "name": self.name,
            "table": str(self.table),
            "sql": self.body.sql,
            "python": self.body.record() if isinstance(self.body, PythonBody) else None,
            "keys": list(self.keys),
            "from": self.window.record()["from"],
            "to": self.window.record()["to"],
            "time": self.time,
            "engine": self.engine,
            "promote": self.promote,
            "as_of": self.as_of,
            "source_times": dict(self.source_times),
            "replace": list(self.replace),
            "types": dict(self.types),
            "checks": dict(self.checks),
            "frames": dict(self.frames),
            "extends": self.extends,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> BackfillSpec:
        """Read what `record` wrote; what is left out has its default."""
        given = {key: value for key, value in record.items() if value is not None}
        given["start"], given["end"] = given.pop("from", None), given.pop("to", None)
        return cls.build(given.pop("name"), given.pop("table"), given.pop("sql", ""), **given)


def _parse(sql: str, python: Mapping[str, Any] | None, frames: Mapping[str, str]) -> Body | PythonBody:
    if python is None:
        return parse_body(sql, frames)
    if sql.strip():
        raise RequestError("body.two", "the request has an SQL body and a Python body", fix="give one")
    if frames:
        raise RequestError(
            "frame.python",
            f"a Python body reads its batch only, not the DataFrame {min(frames)!r}",
            fix="join the DataFrame in an SQL body, or ship small values with --param",
        )
    return parse_python(**python)
