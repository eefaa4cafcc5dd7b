"""The tokens of the examples that are looked at, with what each holds and from when it held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.remote.sequence.enriching import FROM
from nbplat.sequence.definition import Definition
from nbplat.sequence.preview.staged import Staged
from nbplat.sequence.token_reader import cutoffs

if TYPE_CHECKING:
    import numpy.typing as npt

    from nbplat.sequence.enrich import Joined

__all__ = ["Added", "SeenTokens", "added", "seen_tokens"]


class Added(NamedTuple):
    """An enrichment of some events.

    Attributes:
        values: One an event; null where nothing was found.
        found: ``bool[events]``: a row was found, its value may still be null. None: it is not known any more, as with
            enrichments at index without a time column; then a value that is not null was found.
        from_us: ``int64[events]``: from when it held; undefined where nothing was found. None: no time column.
    """

    values: pa.Array
    found: npt.NDArray[np.bool_]
    from_us: npt.NDArray[np.int64] | None


class SeenTokens(NamedTuple):
    """Tokens of one bucket's examples, list after list.

    Attributes:
        example: ``int64[tokens]``: place among the stage's examples.
        row: ``int64[tokens]``: row of the `Events`.
        added: Name of an enrichment -> its values, one a token.
    """

    example: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    added: Mapping[str, Added]


def seen_tokens(definition: Definition, stage: Staged, joined: Mapping[str, Joined]) -> SeenTokens:
    """All tokens of a stage.

    Args:
        joined: Tables of the enrichments at reading, by name.
    """
    counts = [np.diff(each.offsets) for each in stage.lists]
    example = np.concatenate([np.repeat(np.arange(len(each)), each) for each in counts])
    row = np.concatenate([each.positions for each in stage.lists])
    return SeenTokens(example, row, added(definition, stage, joined, example, row))


def added(
    definition: Definition,
    stage: Staged,
    joined: Mapping[str, Joined],
    example: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
) -> dict[str, Added]:
    """The enrichments of some events as the given examples see them, in the order declared."""
    found: dict[str, Added] = {}
    at = pa.array(row)
    for each in definition.enrich_index:
        values = _one(stage.events.rows.column(each.name).take(at))
        name = each.name + FROM
        if name not in stage.events.rows.column_names:
            found[each.name] = Added(values, np.asarray(pc.is_valid(values)), None)
            continue
        moments = _one(stage.events.rows.column(name).take(at))
        known = np.asarray(pc.is_valid(moments))
        from_us = np.asarray(pc.fill_null(moments.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()), 0))
        found[each.name] = Added(values, known, from_us)
    for each in definition.enrich_read:
        found[each.name] = _read_added(definition, stage, joined[each.name], example, row)
    return found


def _read_added(
    definition: Definition,
    stage: Staged,
    from_: Joined,
    example: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
) -> Added:
    table, as_of = from_.table, definition.as_of
    keys = table.keys(stage.events.rows)[row]
    cutoff = None if as_of.at == "end" else cutoffs(definition, stage.as_of_us)[example]
    at = table.rows(keys, stage.events.time_us[row], cutoff, strict=as_of.strict)
    known = at >= 0
    values = _one(table.values.rows.column(from_.column).take(pa.array(at, mask=~known)))
    moments = table.values.from_us
    if moments is None:
        return Added(values, known, None)
    held = moments[np.where(known, at, 0)] if len(moments) else np.zeros(len(at), np.int64)
    return Added(values, known, held)


def _one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
