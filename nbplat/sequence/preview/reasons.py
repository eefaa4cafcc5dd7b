"""Why each event of each example is in or out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nbplat.remote.sequence.gather import Ragged
from nbplat.sequence.definition import Definition
from nbplat.sequence.preview.record import REASONS
from nbplat.sequence.preview.staged import Staged

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["ORDER", "Pairs", "pairs_of"]

ORDER = tuple(REASONS)
"""A reason's code is its place here."""

_CODE = {name: code for code, name in enumerate(ORDER)}
_NEVER = np.iinfo(np.int64).max
_BLOCK_PAIRS = 4_000_000


class Pairs(NamedTuple):
    """Every event of the declared types of every example's entity, oldest first within an example and type.

    Attributes:
        example: ``int64[pairs]``, ascending: place among the examples that were asked.
        row: ``int64[pairs]``: row of the `Events`.
        rule: ``int16[pairs]``: place of the rule for the event's type.
        reason: ``int8[pairs]``: place in `ORDER`.
    """

    example: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    rule: npt.NDArray[np.int16]
    reason: npt.NDArray[np.int8]


def pairs_of(definition: Definition, stage: Staged, chosen: npt.NDArray[np.int64]) -> Iterator[Pairs]:
    """Pairs of some examples, in blocks of bounded size.

    What is in is what the kernels selected; the rest is explained by the first rule that the event fails.

    Args:
        chosen: Places among the stage's examples, ascending.
    """
    events = stage.events
    first = np.searchsorted(events.entity, np.arange(events.entities.num_rows + 1))
    known = stage.entity[chosen]
    counts = np.where(known >= 0, first[known + 1] - first[known], 0)
    cuts = np.searchsorted(np.cumsum(counts), np.arange(_BLOCK_PAIRS, counts.sum(), _BLOCK_PAIRS), side="right")
    # Whether the condition holds does not depend on the example.
    alone = np.full(len(events.time_us), _CODE["beyond_last"], np.int8)
    for rule in stage.rules:
        if rule.bit is not None and events.passes is not None:
            fails = (events.passes >> np.int64(rule.bit)) & np.int64(1) == 0
            alone[fails & (events.type == rule.type)] = _CODE["where_false"]
    for part in np.split(chosen, np.unique(cuts)):
        if len(part):
            yield _block(definition, stage, part, first, alone)


def _block(
    definition: Definition,
    stage: Staged,
    chosen: npt.NDArray[np.int64],
    first: npt.NDArray[np.int64],
    alone: npt.NDArray[np.int8],
) -> Pairs:
    events = stage.events
    code = stage.entity[chosen]
    start = np.where(code >= 0, first[code], 0)
    counts = np.where(code >= 0, first[code + 1] - first[code], 0)
    base = np.cumsum(counts) - counts
    row = np.arange(counts.sum()) + np.repeat(start - base, counts)
    rule_of_type = np.full(len(events.types) + 1, -1, np.int16)
    for place, rule in enumerate(stage.rules):
        if rule.type >= 0:
            rule_of_type[rule.type] = place
    rule_at = rule_of_type[events.type[row]] if len(row) else np.empty(0, np.int16)
    reason = _first_failing(definition, stage, np.repeat(stage.as_of_us[chosen], counts), row, rule_at, alone)
    # What a stage kept, by its place in the block.
    for name, lists in (("not_nearest", stage.retrieved), ("cut_by_size", stage.nearest), ("selected", stage.lists)):
        for ragged in lists:
            rows, owner = _of(ragged, chosen)
            reason[base[owner] + rows - start[owner]] = _CODE[name]
    example = np.repeat(chosen, counts)
    mine = rule_at >= 0
    if mine.all():
        return Pairs(example, row, rule_at, reason)
    return Pairs(example[mine], row[mine], rule_at[mine], reason[mine])


def _of(ragged: Ragged, chosen: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of the chosen examples' lists, and the place of each one's example among the chosen."""
    offsets = ragged.offsets
    counts = (offsets[1:] - offsets[:-1])[chosen]
    base = np.cumsum(counts) - counts
    at = np.arange(counts.sum()) + np.repeat(offsets[:-1][chosen] - base, counts)
    return ragged.positions[at], np.repeat(np.arange(len(chosen)), counts)


def _first_failing(
    definition: Definition,
    stage: Staged,
    instant: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
    rule_at: npt.NDArray[np.int16],
    alone: npt.NDArray[np.int8],
) -> npt.NDArray[np.int8]:
    events, as_of = stage.events, definition.as_of
    end = as_of.at == "end"
    time = events.time_us[row]
    reason = alone[row]
    cutoff = instant - as_of.gap_us
    for place, rule in enumerate(stage.rules):
        if rule.within_us is not None and not end:
            old = (rule_at == place) & (time < cutoff - rule.within_us)
            reason[old & (reason == _CODE["beyond_last"])] = _CODE["outside_window"]
    if events.until_us is not None:
        until = events.until_us[row]
        gone = until != _NEVER
        if not end:
            gone &= until < instant if as_of.strict else until <= instant
        reason[gone] = _CODE["superseded"]
    if end:
        return reason
    if events.seen_us is not None:
        seen = events.seen_us[row]
        reason[seen >= instant if as_of.strict else seen > instant] = _CODE["not_known"]
    late = time >= cutoff if as_of.strict else time > cutoff
    reason[late] = _CODE["not_before"]
    if as_of.gap_us:
        reason[late & (time < instant)] = _CODE["in_gap"]
    return reason
