"""What of a definition decides its index; two definitions with the same record share one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbplat.errors import RequestError
from nbplat.sequence.definition import Definition, Enrichment
from nbplat.sequence.where_text import where_columns
from nbplat.terms import content_hash

__all__ = ["MAX_CONDITIONS", "index_columns", "index_record", "index_version"]

# Bits of an int64 that the sign leaves.
MAX_CONDITIONS = 63


def index_record(parts: Sequence[Definition]) -> dict[str, Any]:
    """The index record as JSON, with keys in no particular order.

    Args:
        parts: A definition and its variants, or one of them alone; their enrichments have `on` and `time` filled in.

    Returns:
        ``source``, ``entity``, ``time``, ``time_unit``, ``zone``, ``arrival``, ``early``, ``id``, ``dedupe``, ``type``
        as in `Definition.record`; ``types`` and ``conditions`` (the distinct ``where`` texts; the place of one is its
        bit), both sorted; ``conditions_of`` (text -> the types that it is for, sorted); ``columns`` as
        `index_columns`; ``enrich``: the enrichments at index by name.

    Raises:
        RequestError: more than 63 conditions.
    """
    first = parts[0].record()
    shared = ("source", "entity", "time", "time_unit", "zone", "arrival", "early", "id", "dedupe", "type")
    of: dict[str, set[str]] = {}
    for rule in (rule for part in parts for rule in part.events):
        if rule.where is not None:
            of.setdefault(rule.where, set()).add(rule.event_type)
    conditions = sorted(of)
    if len(conditions) > MAX_CONDITIONS:
        raise RequestError(
            "sequence.where",
            f"there are {len(conditions)} different conditions in the definition and its variants",
            fix=f"keep them at {MAX_CONDITIONS} or less, or make a variant a definition of its own",
        )
    return {
        **{name: first[name] for name in shared},
        "types": sorted({rule.event_type for part in parts for rule in part.events}),
        "conditions": conditions,
        "conditions_of": {where: sorted(of[where]) for where in conditions},
        "columns": list(index_columns(parts)),
        "enrich": {name: each for part in parts for name, each in part.record()["enrich"]["index"].items()},
    }


def index_version(record: dict[str, Any]) -> str:
    """SHA-256 of an index record."""
    return content_hash(record)


def index_columns(parts: Sequence[Definition]) -> tuple[str, ...]:
    """Every column of the events that one of the definitions names, each once.

    Entity, type, time, arrival and id come first, in this order; the others by name.
    """
    d = parts[0]
    roles = (*d.entity, d.type, d.time, *([d.arrival] if d.arrival is not None else []), *d.id)
    others = {name for part in parts for name in _named(part)}
    return tuple(dict.fromkeys((*roles, *sorted(others))))


def _named(part: Definition) -> set[str]:
    enrichments: tuple[Enrichment, ...] = (*part.enrich_index, *part.enrich_read)
    named = {each.column for each in part.features} | set(part.show)
    for rule in part.events:
        named |= set(where_columns(rule.where)) if rule.where is not None else set()
        named |= {rule.select.column} if rule.select is not None else set()
    named -= {each.name for each in enrichments}
    return named | {ours for each in enrichments for ours, _ in each.on}
