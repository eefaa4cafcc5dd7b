"""The join of one unit: a left join whose rows are the base's, in the base's order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.remote.align import inside_window
from nbplat.remote.failure import KernelError
from nbplat.remote.read import read_groups, read_live

from .deal import dealt_part, part_of, parts_in
from .match import match, shown_keys
from .places import POOL, Places
from .task import JoinFile, JoinTask, Side

__all__ = ["Joined", "SideReport", "join"]


class SideReport(NamedTuple):
    """What one side gave to one unit.

    Attributes:
        ref: As asked for.
        rows: Base rows.
        matched: Those that have a staged row (or, read from the base, stand in a file that holds the column).
        null_keys: Those whose key holds a null or NaN.
        dropped: Staged rows that gave way to a later one of the same key.
        missed: Up to five keys without a staged row, as text; empty when there is none, or no key was read.
        nulls: Result name -> nulls before filling.
    """

    ref: str
    rows: int
    matched: int
    null_keys: int
    dropped: int
    missed: str
    nulls: dict[str, int]


class Joined(NamedTuple):
    """The rows of a unit.

    Attributes:
        table: The columns of `JoinTask.output`.
        counts: Rows per base file, in order; they sum to the table's rows.
        reports: One per side.
    """

    table: pa.Table
    counts: list[int]
    reports: list[SideReport]


class _Base(NamedTuple):
    """Rows of the base, with what belongs to them.

    Attributes:
        counts: Live rows per file.
        positions: Per file its physical rows; None where all rows of it live and are read.
    """

    table: pa.Table
    counts: list[int]
    positions: list[Any]


def join(task: JoinTask) -> Joined:
    """Read a unit's base files and attach every side's columns.

    The result depends on the task alone: a unit can be joined again, anywhere, and gives the same rows.

    Raises:
        KernelError: ``training.duplicate_keys``; ``training.rows``: an aligned file does not fit its base file;
            ``training.rows_out``: rows out are not rows in; and what reading breaks (see `read.read_live`).
    """
    base = _read_base(task)
    wanted = inside_window(base.table, task["window"])
    found = {name: base.table[name] for name in base.table.column_names}
    reports = []
    for side in task["sides"]:
        columns, report = _attached(task, side, base, wanted)
        found.update(columns)
        reports.append(report)
    table = _table(found, task["output"], base.table.num_rows)
    counts = base.counts
    if wanted is not None and not pc.all(wanted).as_py():
        mask = wanted.to_numpy(zero_copy_only=False)
        counts = [int(mask[start:end].sum()) for start, end in _spans(base.counts)]
        table = table.filter(wanted)
    if table.num_rows != sum(counts):
        raise KernelError(
            "training.rows_out",
            f"{sum(counts)} rows went into {task['unit']}, {table.num_rows} came out",
            fix="report this",
            kind="InternalError",
        )
    return Joined(table, counts, reports)


def _read_base(task: JoinTask) -> _Base:
    schema = pa.ipc.read_schema(pa.py_buffer(task["columns"]))
    tables, positions = [], []
    for file in task["files"]:
        table, at = _read(file, schema, task["names"], task["storage"])
        tables.append(table)
        positions.append(at)
    return _Base(_one(tables), [table.num_rows for table in tables], positions)


def _read(
    file: JoinFile, schema: pa.Schema, names: Any, storage: Any, *, by_name: bool = False
) -> tuple[pa.Table, Any]:
    if file.get("groups") is not None:
        rows = read_groups(file, schema, names, storage, file["groups"], by_name=by_name, pool=POOL)
    else:
        rows = read_live(file, schema, names, storage, by_name=by_name, pool=POOL)
    return rows.table, rows.positions


def _attached(task: JoinTask, side: Side, base: _Base, wanted: Any) -> tuple[dict[str, Any], SideReport]:
    """The side's columns by their names in the result, with presence beside; and what it gave."""
    rows = base.table.num_rows
    types = pa.ipc.read_schema(pa.py_buffer(side["types"]))
    has: Any = None  # bool[rows]; None: every row has a staged one
    null_keys = dropped = 0
    missed = ""
    if side["how"] == "absent":
        raw = {name: pa.chunked_array([pa.nulls(rows, types.field(name).type)]) for _, name in side["values"]}
        has = np.zeros(rows, bool)
    elif side["how"] == "base":
        raw = {name: base.table[own] for own, name in side["values"]}
        has = _of_files(side, base) if side["files"] else None
    elif side["how"] == "aligned":
        raw, has = _aligned(side, base, types)
    elif side["how"] == "dealt":
        raw, has, dropped, null_keys = _dealt(task, side, base.table, types)
        missed = _missed(base.table, task["keys"], has, wanted)
    else:
        staged = _staged(side)
        found = match(
            base.table, staged, task["keys"], side["keys"], ref=side["ref"], unit=task["unit"], order=side["order"]
        )
        null_keys, dropped = found.null_keys, found.dropped
        places = None if found.at is None else Places(found.at)
        raw = {name: staged[own] if places is None else places.take(staged[own]) for own, name in side["values"]}
        if places is not None and places.missing is not None:
            has = ~places.missing
            missed = _missed(base.table, task["keys"], has, wanted)
    columns: dict[str, Any] = {}
    nulls = {}
    for _, name in side["values"]:
        values = _cast(raw[name], types.field(name).type)
        nulls[name] = _null_count(values, wanted)
        if name in side["present"]:
            columns[f"{name}__present"] = values.is_valid()
        fill = side["fill"].get(name)
        columns[name] = (
            values if fill is None or not values.null_count else values.fill_null(_scalar(fill, values.type))
        )
    inside = np.ones(rows, bool) if wanted is None else wanted.to_numpy(zero_copy_only=False)
    matched = int(inside.sum()) if has is None else int((has & inside).sum())
    return columns, SideReport(side["ref"], int(inside.sum()), matched, null_keys, dropped, missed, nulls)


def _aligned(side: Side, base: _Base, types: pa.Schema) -> tuple[dict[str, Any], Any]:
    schema = pa.ipc.read_schema(pa.py_buffer(side["columns"]))
    tables = []
    for file, rows, positions in zip(side["files"], base.counts, base.positions):
        if file is None:
            tables.append(pa.table([pa.nulls(rows, field.type) for field in schema], names=schema.names))
        else:
            tables.append(_at_positions(side, file, schema, rows, positions))
    staged, has = _one(tables), _of_files(side, base)
    return {name: staged[own] for own, name in side["values"]}, None if has.all() else has


def _of_files(side: Side, base: _Base) -> Any:
    """``bool[rows]``: whether the row's base file has the side's columns."""
    return np.repeat(np.array([file is not None for file in side["files"]], bool), base.counts)


def _at_positions(side: Side, file: JoinFile, schema: pa.Schema, rows: int, positions: Any) -> pa.Table:
    """The staged rows of the base rows at these physical positions (None: of all of them)."""
    own = schema if file["dense"] else schema.append(pa.field("nb_pos", pa.int64()))
    staged, _ = _read(file, own, side["names"], side["storage"], by_name=side["by_name"])
    if file["dense"]:
        if positions is not None and len(positions) and positions[-1] < staged.num_rows:
            staged = staged.take(pa.array(positions))
    else:
        live = np.arange(rows, dtype=np.int64) if positions is None else positions
        known = staged["nb_pos"].to_numpy()
        staged = staged.take(pa.array(np.flatnonzero(np.isin(known, live, assume_unique=True)))).select(schema.names)
    if staged.num_rows != rows:
        raise KernelError(
            "training.rows",
            f"{side['ref']} has {staged.num_rows} rows for {rows} rows of its base file",
            fix="it was staged on other rows: run its %%backfill cell again with --new",
            where=file["path"],
        )
    return staged


def _staged(side: Side) -> pa.Table:
    """The staged rows whose keys can meet the unit's."""
    schema = pa.ipc.read_schema(pa.py_buffer(side["columns"]))
    tables = [_read(file, schema, side["names"], side["storage"], by_name=side["by_name"])[0] for file in side["files"]]
    return _one(tables) if tables else pa.table([pa.nulls(0, f.type) for f in schema], names=schema.names)


def _dealt(task: JoinTask, side: Side, base: pa.Table, types: pa.Schema) -> tuple[dict[str, Any], Any, int, int]:
    """As a merge, part by part of what `deal` wrote: one part is in memory at a time."""
    place = part_of(base, task["keys"], parts := parts_in(side["folder"]))
    has, dropped, null_keys = np.zeros(base.num_rows, bool), 0, 0
    pieces: dict[str, list[Any]] = {name: [] for _, name in side["values"]}
    order = []
    for part in range(parts):
        rows = np.flatnonzero(place == part)
        if not len(rows):
            continue
        staged = dealt_part(side["folder"], part)
        some = base.select(task["keys"]).take(pa.array(rows))
        found = match(some, staged, task["keys"], side["keys"], ref=side["ref"], unit=task["unit"], order=side["order"])
        order.append(rows)
        has[rows] = True if found.at is None else found.at >= 0
        dropped, null_keys = dropped + found.dropped, null_keys + found.null_keys
        places = None if found.at is None else Places(found.at)
        for own, name in side["values"]:
            values = staged[own] if places is None else places.take(staged[own])
            pieces[name] += _cast(values, types.field(name).type).chunks
    back = pa.array(np.argsort(np.concatenate(order), kind="stable")) if order else pa.array([], pa.int64())
    raw = {name: pa.chunked_array(chunks, types.field(name).type).take(back) for name, chunks in pieces.items()}
    return raw, has, dropped, null_keys


def _missed(base: pa.Table, keys: list[str], has: Any, wanted: Any) -> str:
    lost = ~has if wanted is None else ~has & wanted.to_numpy(zero_copy_only=False)
    some = np.flatnonzero(lost)[:5]
    return shown_keys(base.select(keys).take(pa.array(some))) if len(some) else ""


def _null_count(values: pa.ChunkedArray, wanted: Any) -> int:
    if not values.null_count or wanted is None:
        return int(values.null_count)
    return int(values.filter(wanted).null_count)


def _cast(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return values if values.type == kind else values.cast(kind)


def _scalar(value: Any, kind: pa.DataType) -> pa.Scalar:
    if isinstance(value, float) and value != value:
        return pa.scalar(float("nan"), kind)
    return pa.scalar(value, kind)


def _one(tables: list[pa.Table]) -> pa.Table:
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables)


def _table(found: dict[str, Any], output: list[str], rows: int) -> pa.Table:
    if not output:
        return pa.table({"": pa.nulls(rows)}).select([])
    return pa.table([found[name] for name in output], names=output)


def _spans(counts: list[int]) -> list[tuple[int, int]]:
    ends = np.cumsum([0, *counts]).tolist()
    return list(zip(ends, ends[1:]))
