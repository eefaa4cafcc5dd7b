"""Which rows of a source are events of an index: those with an entity, a time and a declared type."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.remote.failure import KernelError

from .stored_rows import MOMENT, SEEN, TIME, TYPE
from .tally import new_tally
from .tasks import Recipe
from .times import to_us

__all__ = ["Screened", "lean_schema", "screen", "screened_schema", "type_names", "whole_column"]

_MOST_NAMES = 1_000


class Screened(NamedTuple):
    """What is left of some rows.

    Attributes:
        rows: The recipe's `read` columns in the index's types, then ``nb_time`` and, with an arrival, ``nb_seen``:
            ``int64`` microseconds since 1970 UTC. Or as `lean_schema` says.
        tally: What was left out, see `tally.new_tally`.
    """

    rows: pa.Table
    tally: dict[str, Any]


def screened_schema(recipe: Recipe) -> pa.Schema:
    """Schema of `Screened.rows`."""
    whole = pa.ipc.read_schema(pa.py_buffer(recipe["schema"]))
    own = [pa.field(TIME, pa.int64()), *([pa.field(SEEN, pa.int64())] if recipe["arrival"] else [])]
    return pa.schema([*(pa.field(name, whole.field(name).type) for name in recipe["read"]), *own])


def lean_schema(recipe: Recipe, source: pa.Schema) -> pa.Schema:
    """Schema of `Screened.rows` that take less memory and say the same, for events that stay in this process.

    The type is a number, ``nb_type``: a place in the recipe's `types`. A time that ``nb_time`` gives back is left out,
    and integers are as narrow as in the source. `whole_column` gives back what is asked for.
    """
    fields = []
    for field in screened_schema(recipe):
        if field.name in recipe["entity"]:
            fields.append(field)
        elif field.name == recipe["type"] and field.type == pa.string():
            fields.append(pa.field(TYPE, pa.int16()))
        elif field.name == recipe["time"] and field.type == MOMENT:
            continue
        elif field.name in recipe["read"] and _narrow(source, field):
            fields.append(pa.field(field.name, source.field(field.name).type))
        else:
            fields.append(field)
    return pa.schema(fields)


def type_names(codes: pa.ChunkedArray, types: list[str]) -> pa.DictionaryArray:
    """The types of lean rows as a dictionary."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.to_numpy()), pa.array(types, pa.string()))


def _narrow(source: pa.Schema, field: pa.Field) -> bool:
    return all(pa.types.is_integer(kind) for kind in (field.type, source.field(field.name).type))


def whole_column(rows: pa.Table, name: str, recipe: Recipe) -> pa.ChunkedArray:
    """A column of the recipe's `read`, of rows of either schema, in the type of `screened_schema`."""
    kind = screened_schema(recipe).field(name).type
    if name in rows.column_names:
        column = rows.column(name)
    elif name == recipe["time"]:
        return rows.column(TIME).cast(MOMENT)
    else:
        column = pa.chunked_array([type_names(rows.column(TYPE), recipe["types"])])
    return column if column.type == kind else column.cast(kind)


def screen(raw: pa.Table, recipe: Recipe, schema: pa.Schema | None = None) -> Screened:
    """Leave out rows that are no events of the index, and read the clocks of the others.

    Args:
        raw: The recipe's `read` columns as the source has them, rows in any order.
        schema: Of the rows, `lean_schema`; None: `screened_schema`.

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
    codes, names = _codes(raw.column(recipe["type"]), recipe["types"])
    other = left & (codes < 0)
    if other.any():
        tally["other_types"] = int(other.sum())
        tally["others"] = _counted(names.filter(pa.array(other)).cast(pa.string()))
        left &= codes >= 0
    if not left.all():
        raw, codes = raw.filter(pa.array(left)), codes[left]
    rows = _with_clocks(raw, recipe, tally, screened_schema(recipe) if schema is None else schema, codes)
    return Screened(rows, tally)


def _codes(column: pa.ChunkedArray, types: list[str]) -> tuple[Any, pa.ChunkedArray]:
    """Place of each row's type among the declared ones, ``int16[rows]``, -1 for none of them; and the types' names."""
    declared = pa.array(types, pa.string())
    if pa.types.is_dictionary(column.type):
        # Each name is looked at once, not each row.
        found = [_of_dictionary(chunk, declared) for chunk in column.chunks]
        return np.concatenate([np.empty(0, np.int16), *found]), column
    names = column if pa.types.is_string(column.type) else column.cast(pa.string())
    places = pc.fill_null(pc.index_in(names, value_set=declared), -1)
    return places.to_numpy().astype(np.int16), names


def _of_dictionary(chunk: pa.DictionaryArray, declared: pa.Array) -> Any:
    places = pc.fill_null(pc.index_in(chunk.dictionary.cast(pa.string()), value_set=declared), -1)
    # A null row takes the place behind the last name.
    found = np.append(places.to_numpy(zero_copy_only=False), -1).astype(np.int16)
    return found[pc.fill_null(chunk.indices.cast(pa.int64()), len(chunk.dictionary)).to_numpy(zero_copy_only=False)]


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


def _with_clocks(raw: pa.Table, recipe: Recipe, tally: dict[str, Any], schema: pa.Schema, codes: Any) -> pa.Table:
    # The clocks are read from the source's own types: a cast to the index's would hide what is wrong with them.
    time_us = to_us(raw.column(recipe["time"]), unit=recipe["time_unit"], zone=recipe["zone"], name=recipe["time"])
    seen_us = None
    if recipe["arrival"]:
        seen_us = to_us(
            raw.column(recipe["arrival"]), unit=recipe["time_unit"], zone=recipe["zone"], name=recipe["arrival"]
        )
        early = seen_us < time_us
        tally["late"] = int((seen_us > time_us).sum())
        if early.any():
            first = int(np.flatnonzero(early)[0])
            tally["early"] = int(early.sum())
            tally["early_example"] = (
                f"{recipe['arrival']} {raw.column(recipe['arrival'])[first].as_py()} of the event at"
                f" {raw.column(recipe['time'])[first].as_py()}"
            )
            seen_us = np.maximum(seen_us, time_us)
    own = {TIME: time_us, SEEN: seen_us, TYPE: codes}
    columns = [
        pa.array(own[field.name]) if field.name in own else _cast(raw.column(field.name), field) for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


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
