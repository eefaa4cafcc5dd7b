"""The rows that ask: whose history, up to which moment, and what is carried along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.errors import DataError, RequestError, did_you_mean
from nbplat.remote.sequence.times import to_us
from nbplat.sequence.definition import Definition
from nbplat.sequence.failures import our_errors
from nbplat.sequence.ports import EventSource, SourcePin

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Examples", "read_examples"]


@dataclass(frozen=True, slots=True)
class Examples:
    """Training examples in the order that they came in; every answer keeps that order and that number.

    Attributes:
        entity: The definition's entity columns. A row with a null among them is kept: its history is empty.
        as_of_us: ``int64[examples]``, microseconds since 1970 UTC.
        rows: What is carried along: columns of the examples as they were read.
        pin: Where they came from.
    """

    entity: pa.Table
    as_of_us: npt.NDArray[np.int64]
    rows: pa.Table
    pin: SourcePin

    def __len__(self) -> int:
        return len(self.as_of_us)

    @property
    def nameless(self) -> int:
        """How many have a null in their entity."""
        null = np.zeros(len(self), bool)
        for column in self.entity.columns:
            null |= np.asarray(pc.is_null(column))
        return int(null.sum())

    def take(self, places: npt.NDArray[np.int64]) -> Examples:
        """Those at `places`, in that order."""
        at = pa.array(places)
        return Examples(self.entity.take(at), self.as_of_us[places], self.rows.take(at), self.pin)


def read_examples(
    source: EventSource, definition: Definition, carry: Sequence[str] = (), *, limit: int | None = None
) -> Examples:
    """Read examples from a table, files or a frame.

    Args:
        carry: Columns to have in `Examples.rows`, beside the entity, the as-of time and what ``nearest`` compares with.
        limit: Only so many, the first ones; None: all.

    Raises:
        RequestError: ``sequence.examples``, a column is missing; a time column that is none or has no zone.
        DataError: ``sequence.as_of_null``, examples without an as-of time, with their count.
    """
    nearest = [rule.select.to for rule in definition.events if rule.select is not None]
    # A final history needs no moment.
    at_end = definition.as_of.at == "end" and definition.as_of.time not in source.schema.names
    times = [] if at_end else [definition.as_of.time]
    columns = list(dict.fromkeys([*definition.entity, *times, *nearest, *carry]))
    for name in columns:
        if name not in source.schema.names:
            raise RequestError(
                "sequence.examples",
                f"the examples {source.pin.name} have no column {name!r}",
                fix=_fix(name, definition, source.schema.names),
                where=definition.lines.get("as_of.time", "") if name in times else "",
            )
    chunks, held = [source.schema.empty_table().select(columns)], 0
    for chunk in source.read(columns):
        chunks.append(chunk if limit is None else chunk.slice(0, limit - held))
        held += chunks[-1].num_rows
        if held == limit:
            break
    rows = pa.concat_tables(chunks)
    as_of = np.zeros(rows.num_rows, np.int64) if at_end else _moments(rows, definition, source.pin.name)
    return Examples(rows.select(list(definition.entity)), as_of, rows, source.pin)


def _moments(rows: pa.Table, definition: Definition, name: str) -> npt.NDArray[np.int64]:
    column = rows.column(definition.as_of.time)
    if column.null_count:
        raise DataError(
            "sequence.as_of_null",
            f"{column.null_count:,} of {rows.num_rows:,} examples of {name} have no {definition.as_of.time}",
            fix="leave them out of the examples, or name another column as as_of.time",
        )
    zone = definition.zone
    with our_errors():
        found: npt.NDArray[np.int64] = to_us(
            column,
            unit=definition.time_unit,
            zone=None if zone is None else {"name": zone.name, "ambiguous": zone.ambiguous, "missing": zone.missing},
            name=definition.as_of.time,
        )
    return found


def _fix(name: str, definition: Definition, known: Sequence[str]) -> str:
    if name == definition.as_of.time:
        return f"write as_of: {{time: COLUMN}}; {did_you_mean(name, known)}"
    if name in definition.entity:
        return f"the examples need the entity columns {', '.join(definition.entity)}; {did_you_mean(name, known)}"
    return did_you_mean(name, known)
