"""As-of selection over an index: bucket by bucket, which events each example may see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nbplat.errors import InternalError
from nbplat.remote.sequence.events import Events, Rule, Selection
from nbplat.sequence.definition import Definition
from nbplat.sequence.examples import Examples
from nbplat.sequence.ports import Index

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Selected", "rules_of", "select_events", "selected"]


class Selected(NamedTuple):
    """What the examples of one bucket see.

    Attributes:
        bucket: Of the index.
        examples: ``int64[k]``, ascending: places in the examples that were given.
        entity: ``int32[k]``: each example's entity as its place in `Events.entities`; -1 for a null or unknown one.
        events: The bucket's events, with the columns asked for.
        selections: One a rule, in the order of the definition's events; `select: nearest` is not applied yet.
    """

    bucket: int
    examples: npt.NDArray[np.int64]
    entity: npt.NDArray[np.int32]
    events: Events
    selections: tuple[Selection, ...]


def rules_of(definition: Definition, record: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The definition's rules in the numbers of an index.

    Args:
        record: The index record, which may hold more types and conditions than this definition (or variant) uses.
    """
    types, conditions = sorted(record["types"]), list(record["conditions"])
    for rule in definition.events:
        if rule.event_type not in types or (rule.where is not None and rule.where not in conditions):
            raise InternalError(
                "sequence.index",
                f"the index was not built for {rule.event_type!r} of {definition.name}",
                fix=f"%sequence build {definition.name}",
            )
    return tuple(
        Rule(
            type=types.index(rule.event_type),
            last=rule.last,
            within_us=rule.within_us,
            bit=None if rule.where is None else conditions.index(rule.where),
        )
        for rule in definition.events
    )


def selected(
    index: Index,
    definition: Definition,
    examples: Examples,
    columns: Sequence[str],
    *,
    places: Any = None,
    among: bool = False,
) -> Iterator[Selected]:
    """What each example sees, bucket by bucket; one bucket's events are in memory at a time.

    Every example comes once, also one without history or without a known entity; the buckets come in order.

    Args:
        definition: Or one of its variants.
        columns: Of the index that `Events.rows` is to have.
        places: ``int64[m]``, only these examples; None: all.
        among: See `nbplat.remote.sequence.ranges.select`; and see `later` of `Index.events`.
    """
    wanted = np.arange(len(examples), dtype=np.int64) if places is None else np.asarray(places, dtype=np.int64)
    entity = examples.entity if places is None else examples.take(wanted).entity
    bucket = index.bucket_of(entity)
    order = np.argsort(bucket, kind="stable")
    cuts = np.flatnonzero(np.diff(bucket[order])) + 1
    rules = rules_of(definition, index.record)
    for mine in np.split(order, cuts) if len(order) else ():
        number = int(bucket[mine[0]])
        events = index.events(number, columns, later=among)
        yield select_events(events, rules, definition, examples, number, np.sort(wanted[mine]), among=among)


def select_events(
    events: Events,
    rules: Sequence[Rule],
    definition: Definition,
    examples: Examples,
    bucket: int,
    places: npt.NDArray[np.int64],
    *,
    among: bool = False,
) -> Selected:
    """What the examples at `places` see of these events, by the definition's as-of rule; see `selected`."""
    from nbplat.remote.sequence.ranges import locate, select

    mine = examples.take(places)
    code = locate(events, mine.entity)
    found = select(
        events,
        list(rules),
        code,
        mine.as_of_us,
        strict=definition.as_of.strict,
        gap_us=definition.as_of.gap_us,
        end=definition.as_of.at == "end",
        among=among,
    )
    return Selected(bucket, places, code, events, tuple(found))
