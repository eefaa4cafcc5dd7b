"""From the index to the model's lists for a bounded share of the examples, every stage kept to be looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nbplat.remote.sequence.events import Events
from nbplat.remote.sequence.gather import Ragged, cut, expand, merge, turned
from nbplat.sequence.definition import Definition
from nbplat.sequence.examples import Examples
from nbplat.sequence.groups import groups_of
from nbplat.sequence.ports import Index
from nbplat.sequence.preview.record import Looked
from nbplat.sequence.select import rules_of, select_events
from nbplat.sequence.token_reader import nearest_kept

if TYPE_CHECKING:
    import numpy.typing as npt

    from nbplat.remote.sequence.events import Rule
    from nbplat.sequence.enrich import Joined

__all__ = ["Budget", "Read", "Staged", "read", "staged"]


class Budget(NamedTuple):
    """How much a preview looks at.

    Attributes:
        events: Buckets are read until so many events were seen; at least one is.
        examples: So many examples at most, evenly spread over the buckets that were read; None: all of theirs.
    """

    events: int | None = 500_000
    examples: int | None = 5_000


class Read(NamedTuple):
    """A bucket and the examples of it that are looked at.

    Attributes:
        bucket: Of the index.
        places: ``int64[k]``, ascending: the examples.
        events: The bucket's events.
    """

    bucket: int
    places: npt.NDArray[np.int64]
    events: Events


class Staged(NamedTuple):
    """The examples of one bucket on their way from history to batch.

    Attributes:
        places: ``int64[k]``, ascending: the examples.
        entity: ``int32[k]``: place in `Events.entities`; -1 is unknown.
        as_of_us: ``int64[k]``.
        events: Of the bucket.
        rules: In the definition's order.
        before: ``int64[rules, k]``: events that a rule lets an example see before `last` cuts.
        retrieved: One a rule, oldest first: what `last` leaves.
        nearest: One a rule: what ``select: nearest`` leaves of it; the same where there is none.
        lists: What the model gets, in its order: one in a mixed layout, one a rule otherwise.
    """

    places: npt.NDArray[np.int64]
    entity: npt.NDArray[np.int32]
    as_of_us: npt.NDArray[np.int64]
    events: Events
    rules: tuple[Rule, ...]
    before: npt.NDArray[np.int64]
    retrieved: tuple[Ragged, ...]
    nearest: tuple[Ragged, ...]
    lists: tuple[Ragged, ...]


def read(index: Index, examples: Examples, columns: Sequence[str], budget: Budget) -> tuple[list[Read], Looked]:
    """Read buckets until the budget is used up, spread over the index and always the same ones.

    Args:
        columns: That `Events.rows` is to have.
    """
    bucket = index.bucket_of(examples.entity)
    # Without examples one bucket still says what the events are like.
    held = np.unique(bucket) if len(bucket) else np.zeros(1, np.int32)
    found: list[Read] = []
    events = 0
    for number in _spread(held):
        if found and budget.events is not None and events >= budget.events:
            break
        rows = index.events(number, columns)
        found.append(Read(number, np.flatnonzero(bucket == number), rows))
        events += len(rows.time_us)
    if budget.examples is not None:
        found = _fewer(found, budget.examples)
    seen = sum(len(each.places) for each in found)
    return found, Looked(len(found), len(held), seen, len(examples), events)


def _spread(numbers: npt.NDArray[np.int32]) -> Iterator[int]:
    """All of them, each next one far from those before: the middle, the quarters, the eighths."""
    count = len(numbers)
    width = max(count - 1, 1).bit_length()
    for step in range(1 << width):
        place = int(f"{step:0{width}b}"[::-1], 2)
        if place < count:
            yield int(numbers[place])


def _fewer(found: list[Read], most: int) -> list[Read]:
    """Evenly spread over all of them; a bucket that keeps none stays read."""
    ends = np.cumsum([len(each.places) for each in found])
    if not len(ends) or ends[-1] <= most:
        return found
    kept = np.unique(np.linspace(0, ends[-1] - 1, most).astype(np.int64))
    cuts = np.searchsorted(kept, ends)
    starts = [0, *cuts[:-1]]
    return [
        each._replace(places=each.places[kept[start:end] - (last - len(each.places))])
        for each, start, end, last in zip(found, starts, cuts, ends, strict=True)
    ]


def staged(
    definition: Definition, index: Index, examples: Examples, each: Read, joined: Mapping[str, Joined]
) -> Staged:
    """Take the examples of one bucket through retrieving, selecting and sizing.

    Args:
        joined: Tables of the enrichments at reading, by name.
    """
    rules = rules_of(definition, index.record)
    found = select_events(each.events, rules, definition, examples, each.bucket, each.places)
    retrieved = tuple(expand(selection) for selection in found.selections)
    kept = tuple(
        each if isinstance(each, Ragged) else rows
        for each, rows in zip(nearest_kept(found, definition, examples, joined), retrieved, strict=True)
    )
    return Staged(
        places=each.places,
        entity=found.entity,
        as_of_us=examples.as_of_us[each.places],
        events=each.events,
        rules=rules,
        before=np.array([selection.before for selection in found.selections]).reshape(len(rules), len(each.places)),
        retrieved=retrieved,
        nearest=kept,
        lists=_sized(definition, each.events, kept),
    )


def _sized(definition: Definition, events: Events, kept: tuple[Ragged, ...]) -> tuple[Ragged, ...]:
    lists = (merge(events, kept),) if definition.layout == "mixed" else kept
    sized = []
    for each, group in zip(lists, groups_of(definition), strict=True):
        short = cut(each, group.most, definition.size.truncate)
        sized.append(turned(short) if definition.size.order == "newest_first" else short)
    return tuple(sized)
