"""From the counts of a build to what a person reads: the funnel and its warnings."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from nbplat.remote.sequence.tasks import Recipe
from nbplat.sequence.index_report import FunnelStep, IndexReport

__all__ = ["report_of"]

_TIES_WORTH_A_WORD = 0.01
_DEDUPE = {
    "none": "no copies are looked for",
    "exact": "of rows equal in all declared columns one stays",
    "first": "of copies of an id the first stays",
    "last": "of copies of an id the last stays",
}


def report_of(tally: Mapping[str, Any], recipe: Recipe, source: str, size: int) -> IndexReport:
    """The report of an index.

    Args:
        tally: Of all its rows, see `nbplat.remote.sequence.tally`.
        source: Name of the source.
        size: Bytes of the index.
    """
    by_type = {name: int(tally["by_type"].get(name, 0)) for name in recipe["types"]}
    return IndexReport(
        steps=tuple(_steps(tally, recipe, source)),
        warnings=tuple(_warnings(tally, recipe, by_type)),
        rows=tally["rows"],
        entities=tally["entities"],
        first_us=tally["first_us"],
        last_us=tally["last_us"],
        by_type=MappingProxyType(by_type),
        bytes=size,
        tally=MappingProxyType(dict(tally)),
    )


def _steps(tally: Mapping[str, Any], recipe: Recipe, source: str) -> Iterator[FunnelStep]:
    rows = tally["read"]
    yield FunnelStep("read", rows, rows, source)
    known = [("entity", recipe["entity"]), ("type", [recipe["type"]]), ("time", [recipe["time"]])]
    if recipe["arrival"]:
        known.append(("arrival", [recipe["arrival"]]))
    for what, columns in known:
        left = rows - tally[f"null_{what}"]
        note = f"{' or '.join(columns)} is null in the others" if left < rows else ""
        yield FunnelStep(f"{what} known", rows, left, note)
        rows = left
    yield FunnelStep("types", rows, rows - tally["other_types"], ", ".join(recipe["types"]))
    rows -= tally["other_types"]
    yield FunnelStep("dedupe", rows, rows - tally["dropped"], f"{recipe['dedupe']}: {_DEDUPE[recipe['dedupe']]}")


def _warnings(tally: Mapping[str, Any], recipe: Recipe, by_type: Mapping[str, int]) -> Iterator[str]:
    known = sorted({*tally["others"], *(name for name, count in by_type.items() if count)})
    for name, count in by_type.items():
        if not count:
            yield f"no event is of type {name!r}; {_nearest(name, known)}"
    rows = tally["rows"]
    if tally["null_entity"]:
        yield (
            f"{tally['null_entity']:,} of {tally['read']:,} rows have no {' or no '.join(recipe['entity'])} and are"
            " left out"
        )
    if not recipe["id"] and tally["tied"] > _TIES_WORTH_A_WORD * rows:
        yield (
            f"{tally['tied']:,} of {rows:,} events share entity, type and time with another: their order is by a hash"
            " of the declared columns; an id: column would make it meaningful"
        )
    if tally["equal"] and recipe["dedupe"] == "none":
        yield (
            f"{tally['equal']:,} of {rows:,} events are equal to another in all declared columns and are kept;"
            " dedupe: exact keeps one of each"
        )
    if tally["early"]:
        yield (
            f"{tally['early']:,} events were known before they happened ({tally['early_example']}); they are taken as"
            " known when they happened"
        )


def _nearest(name: str, known: list[str]) -> str:
    if not known:
        return "the source has no events of any type"
    folded = {each.casefold(): each for each in reversed(known)}
    near = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)
    if near:
        return f"the nearest that occur: {', '.join(repr(folded[each]) for each in near)}"
    shown = ", ".join(repr(each) for each in known[:8]) + (", …" if len(known) > 8 else "")
    return f"those that occur: {shown}"
