"""The sorted events of one bucket, and what an as-of question selects of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa

__all__ = ["Events", "Rule", "Selection"]


class Events(NamedTuple):
    """Events of whole entities in the total order: entity, type, time, id columns, hash of the declared columns.

    Attributes:
        rows: The columns that were asked for, a row an event.
        entity: ``int32[rows]``, ascending: the entity's place in `entities`.
        entities: The entity columns, one row each, sorted by value, no duplicates and no nulls.
        type: ``int16[rows]``: place in `types`; ascending within an entity.
        types: Names of event types, sorted.
        time_us: ``int64[rows]``, microseconds since 1970 UTC.
        seen_us: ``int64[rows]``: when the event was known; never before `time_us`. None: there is no arrival clock.
        until_us: ``int64[rows]``: when a later copy of the event was known, the largest int64 where there is none.
            None: no event has copies.
        passes: ``int64[rows]``: bit k is set where condition k holds. None: there are no conditions.
    """

    rows: pa.Table
    entity: Any
    entities: pa.Table
    type: Any
    types: tuple[str, ...]
    time_us: Any
    seen_us: Any = None
    until_us: Any = None
    passes: Any = None


class Rule(NamedTuple):
    """Which events of one type are selected.

    Attributes:
        type: Place in `Events.types`; -1 when the index has no event of the type.
        last: How many at most.
        within_us: How old at most before the cutoff: ``cutoff - within <= time``. None: any age.
        bit: Number of the condition that must hold; None takes all.
    """

    type: int
    last: int
    within_us: int | None = None
    bit: int | None = None


class Selection(NamedTuple):
    """What one rule selects for each example: the places ``[lo, hi)`` of `among` but the exceptions, oldest first.

    Attributes:
        lo, hi: ``int64[examples]``; equal where nothing is selected, and the example stays. A range that is not empty
            begins and ends with a selected event.
        skipped_at: ``int64[examples + 1]``: offsets into `skipped`.
        skipped: ``int64[...]``: places inside ``[lo, hi)`` that are not selected, ascending for each example.
        before: ``int64[examples]``: events that the example may see, those beyond `last` as well.
        after: ``int64[examples]``: events at or after the cutoff (after it, when not strict).
        unseen: ``int64[examples]``: events before the cutoff and not too old that were not known yet.
        among: ``int64[...]``, ascending: rows of the `Events` that the places count; None: the places are the rows.

    The counts are of the example's entity and the rule's type and condition; each copy of an event counts.
    """

    lo: Any
    hi: Any
    skipped_at: Any
    skipped: Any
    before: Any
    after: Any
    unseen: Any
    among: Any | None = None
