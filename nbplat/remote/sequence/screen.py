"""Which rows of a source are events of an index: those with an entity, a time and a declared type."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.remote.failure import KernelError

from .stored_rows import SEEN, TIME
from .tally import new_tally
from .tasks import Recipe
from .times import to_us

__all__ = ["Screened", "screen", "screened_schema"]

_MOST_NAMES = 1_000


class Screened(NamedTuple):
    """What is left of some rows.

    Attributes:
        rows: The recipe's `read` columns in the index's types, then ``nb_time`` and, with an arrival, ``nb_seen``:
            ``int64`` microseconds since 1970 UTC.
        tally: What was left out, see `tally.new_tally`.
    """

    rows: pa.Table
    tally: dict[str, Any]


def screened_schema(recipe: Recipe) -> pa.Schema:
    """Schema of `Screened.rows`."""
    whole = pa.ipc.read_schema(pa.py_buffer(recipe["schema"]))
    own = [pa.field(TIME, pa.int64()), *([pa.field(SEEN, pa.int64())] if recipe["arrival"] else [])]
    return pa.schema([*(pa.field(name, whole.field(name).type) for name in recipe["read"]), *own])


def screen(raw: pa.Table, recipe: Recipe) -> Screened:
    """Leave out rows that are no events of the index, and read the clocks of the others.

    Args:
        raw: The recipe's `read` columns as the source has them, rows in any order.

    Raises:
        KernelError: a time that cannot be read (see `times.to_us`); an arrival before the event is only counted.
    """
    tally = new_tally()
    tally["read"] = raw.num_rows
    left = np.ones(raw.num_rows, bool)
    for key, columns in (
        ("null_entity", recipe["entity"]),
        ("null_type", [recipe["type"]]),
        ("null_time", [recipe["time"]]),
        ("null_arrival", [recipe["arrival"]] if recipe["arrival"] else []),
    ):
        tally[key] = _leave_out(left, raw, columns)
    names = raw.column(recipe["type"]).cast(pa.string())
    declared = np.asarray(pc.is_in(names, value_set=pa.array(recipe["types"], pa.string())))
    other = left & ~declared
    if other.any():
        tally["other_types"] = int(other.sum())
        tally["others"] = _counted(names.filter(pa.array(other)))
        left &= declared
    if not left.all():
        raw = raw.filter(pa.array(left))
    return Screened(_with_clocks(raw, recipe, tally), tally)


def _leave_out(left: Any, raw: pa.Table, columns: list[str]) -> int:
    before = int(left.sum())
    for name in columns:
        if raw.column(name).null_count:
            left &= np.asarray(pc.is_valid(raw.column(name)))
    return before - int(left.sum())


def _counted(names: pa.ChunkedArray) -> dict[str, int]:
    counts = pc.value_counts(names.combine_chunks())
    found = zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist())
    return dict(sorted(found, key=lambda pair: (-pair[1], pair[0]))[:_MOST_NAMES])


def _with_clocks(raw: pa.Table, recipe: Recipe, tally: dict[str, Any]) -> pa.Table:
    schema = screened_schema(recipe)
    # The clocks are read from the source's own types: a cast to the index's would hide what is wrong with them.
    time_us = to_us(raw.column(recipe["time"]), unit=recipe["time_unit"], zone=recipe["zone"], name=recipe["time"])
    clocks = [pa.array(time_us)]
    if recipe["arrival"]:
        seen = to_us(
            raw.column(recipe["arrival"]), unit=recipe["time_unit"], zone=recipe["zone"], name=recipe["arrival"]
        )
        early = seen < time_us
        tally["late"] = int((seen > time_us).sum())
        if early.any():
            first = int(np.flatnonzero(early)[0])
            tally["early"] = int(early.sum())
            tally["early_example"] = (
                f"{recipe['arrival']} {raw.column(recipe['arrival'])[first].as_py()} of the event at"
                f" {raw.column(recipe['time'])[first].as_py()}"
            )
            seen = np.maximum(seen, time_us)
        clocks.append(pa.array(seen))
    columns = [_cast(raw.column(field.name), field) for field in list(schema)[: len(recipe["read"])]]
    return pa.Table.from_arrays([*columns, *clocks], schema=schema)


def _cast(column: pa.ChunkedArray, field: pa.Field) -> Any:
    if column.type == field.type:
        return column
    try:
        # Only nanoseconds lose something, and that is stated.
        return column.cast(field.type, safe=not pa.types.is_temporal(field.type))
    except pa.ArrowInvalid as exc:
        raise KernelError(
            "sequence.column_value",
            f"a value of {field.name} does not fit {field.type}: {str(exc).splitlines()[0]}",
            fix=f"store {field.name} in one type in all files of the source",
        ) from exc
