"""Hold a Python body against its table: its keys, the columns it reads, the types it gives, how it may be cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nbplat.backfill.body import BASE, BoundBody
from nbplat.backfill.body_imports import imports_of
from nbplat.backfill.columns import base_columns, new_names, spec_keys
from nbplat.backfill.declared import typed_columns
from nbplat.backfill.ports import PythonBodies, Tables
from nbplat.backfill.python_body import PythonBody
from nbplat.backfill.row_wise import check_row_wise
from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.table_facts import Column, TableFacts
from nbplat.backfill.types import arrow_schema, from_arrow
from nbplat.errors import RequestError, did_you_mean
from nbplat.terms import Window

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["BoundPython", "bind_python"]

_SAMPLE_FILES = 8
SAMPLE_ROWS = 2_000
"""Enough to show a body that looks at its neighbours, few enough for a cell that only plans."""


@dataclass(frozen=True, slots=True)
class BoundPython:
    """A Python body held against its table.

    Attributes:
        bound: Keys and new columns, what is read, and how the body may be cut.
        columns: The new columns as the function gave them, or as declared.
        record: What runs it; see `nbplat.remote.python_body`.
    """

    bound: BoundBody
    columns: tuple[Column, ...]
    record: dict[str, Any]


def bind_python(
    spec: BackfillSpec, body: PythonBody, facts: TableFacts, tables: Tables, runner: PythonBodies
) -> BoundPython:
    """Run the body over a small sample, in its own interpreter, to find its columns and their types.

    Raises:
        RequestError: ``body.keys`` without keys, an unknown column (``body.column``), a type no column can have.
        DataError: whatever the function does wrong on the sample; ``body.not_row_wise``.
        SetupError: an interpreter that is not there or lacks pyarrow or numpy; ``env.check``: an environment that
            lacks what the body imports.
    """
    from nbplat.remote.python_body import schema_text

    keys = spec_keys(spec, facts)
    if not keys:
        raise RequestError(
            "body.keys",
            "a Python body needs the key columns by name",
            fix="name the columns that identify a row: --key COLUMN",
        )
    reads = _reads(body, keys, facts)
    record: dict[str, Any] = {
        "lang": "python",
        "source": body.source,
        "shipped": dict(body.shipped),
        "modules": [module.record() for module in body.modules],
        "params": dict(body.params),
        "keys": list(keys),
        "reads": list(reads),
        "group_by": list(body.group_by),
        "schema": None,
        "declared": sorted(spec.types),
        **runner.settings(body.env, body.interpreter, body.environment),
    }
    # Refuses a window that cannot be before anything runs.
    base_columns(BoundBody("", (), frozenset(), {BASE: reads}, True, ""), keys, _time(spec, facts), spec, facts)
    rows = _sample(facts, tables, spec, reads)
    if not body.group_by:
        rows = rows.slice(0, SAMPLE_ROWS)
    if body.env:
        record["notes"] = runner.check(record, imports_of(body), writer=body.interpreter, project=body.project)
    record["found"] = runner.versions(record)
    result = runner.run(record, rows)
    names = tuple(name for name in result.column_names if name not in keys)
    columns = typed_columns([_column(name, result.schema.field(name).type) for name in names], spec.types)
    record["schema"] = schema_text(arrow_schema({column.name: column.type for column in columns}))
    if body.group_by:
        why = f"it is declared by groups of {', '.join(body.group_by)}, whose rows are handed over together"
    else:
        whole = runner.run(record, rows)
        why = check_row_wise(lambda part: runner.run(record, part), rows, whole, keys)
    bound = BoundBody("", (*keys, *names), frozenset(keys), {BASE: reads}, not body.group_by, why)
    new_names(bound, keys, facts, spec.replace)
    return BoundPython(bound, columns, record)


def _reads(body: PythonBody, keys: Sequence[str], facts: TableFacts) -> tuple[str, ...]:
    """What the batch holds, in table order: what is declared or inferred, the keys and the group columns."""
    names = [column.name for column in facts.columns]
    asked = body.read or body.inferred
    for name in (*(asked or ()), *body.group_by):
        if name not in names:
            raise RequestError(
                "body.column",
                f"the body reads {name!r}, which {facts.pin.table} has not",
                fix=did_you_mean(name, names),
            )
    wanted = {*names} if asked is None else {*asked, *keys, *body.group_by}
    return tuple(name for name in names if name in wanted)


def _sample(facts: TableFacts, tables: Tables, spec: BackfillSpec, reads: Sequence[str]) -> pa.Table:
    """Rows inside the window: of the smallest file that holds enough of them, else of the largest."""
    from nbplat.remote.align import inside_window

    time = _time(spec, facts)
    files = tables.files(facts.pin, time_column=time, window=spec.window)
    if not files:
        raise RequestError(
            "window.outside",
            f"the window {spec.window} meets no data file of {facts.pin.table}",
            fix="choose --from and --to inside the table's time span (%backfill plan without a window shows it)",
        )
    bounds = None if spec.window.unbounded else {"column": time, **_bounds(spec.window)}
    columns = [*reads, *([time] if bounds and time and time not in reads else [])]
    by_rows = sorted(files, key=lambda file: (file.rows < SAMPLE_ROWS, abs(file.rows - SAMPLE_ROWS), file.path))
    for file in by_rows[:_SAMPLE_FILES]:
        rows = tables.read(facts.pin, columns, paths=[file.path])
        inside = inside_window(rows, bounds)
        rows = rows if inside is None else rows.filter(inside)
        if rows.num_rows:
            return rows.select(list(reads))
    raise RequestError(
        "body.sample",
        f"the {min(len(files), _SAMPLE_FILES)} files that were read hold no row of the window {spec.window}",
        fix="choose --from and --to where the table has rows: a Python body's columns are found by running it on some",
    )


def _bounds(window: Window) -> dict[str, int | None]:
    """Microseconds since 1970-01-01 UTC, as the staging kernel takes them."""
    epoch, tick = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
    return {
        "start": None if window.start is None else (window.start - epoch) // tick,
        "end": None if window.end is None else (window.end - epoch) // tick,
    }


def _time(spec: BackfillSpec, facts: TableFacts) -> str | None:
    return spec.time or facts.time_column


def _column(name: str, kind: pa.DataType) -> Column:
    import pyarrow as pa

    return Column(name, "unknown" if pa.types.is_null(kind) else from_arrow(kind))
