"""The plan as lines a person reads: which files meet which, why, and what is covered."""

from __future__ import annotations

from collections import Counter, defaultdict

from nbplat.terms.with_noun import counted
from nbplat.training.join.coverage import Cover, coverage
from nbplat.training.join.plan import JoinPlan

__all__ = ["explain_join"]

_HOW = {
    "aligned": "attached by position, no key is read",
    "merge": "merged by key",
    "dealt": "SHUFFLED: staged rows are dealt to local files by key first",
    "base": "promoted: read from the base table",
    "absent": "not staged: nulls",
}
_SHOWN = 6


def explain_join(plan: JoinPlan) -> list[str]:
    """Base, sides with how each date gets its values, coverage, units; no data file is read."""
    spec = plan.spec
    lines = [
        f"{spec.base}, snapshot {plan.base.snapshot_id}, schema {plan.base.schema_id}: {plan.rows:,} rows in"
        f" {counted(sum(len(unit.files) for unit in plan.units), 'file')}, {counted(len(plan.units), 'unit')}"
        f" · plan {plan.plan_id[:12]}",
        f"dates {spec.dates} by {plan.time}" if plan.time else "all dates",
        f"keys {', '.join(plan.keys)}" if plan.keys else "no key is read",
        *([f"left out: {plan.skipped:,} rows whose partition is not staged"] if plan.skipped else []),
    ]
    covers = defaultdict(list)
    for cover in coverage(plan):
        covers[cover.ref].append(cover)
    for side in plan.sides:
        names = ", ".join(value.name for value in side.values)
        pin = f", {side.pin.table} snapshot {side.pin.snapshot_id}" if side.pin is not None else ""
        moved = "" if side.planned_on in (None, plan.base.snapshot_id) else f", computed on snapshot {side.planned_on}"
        lines.append(f"{side.ref} → {names}{pin}{moved}")
        hows = Counter(cover.how for cover in covers[side.ref])
        for how, count in hows.items():
            by = f" by {side.pairs}" if how == "merge" and side.pairs else ""
            by = ", each date by itself" if how == "dealt" and len(side.dealt) > 1 else by
            periods = _spans([cover.period for cover in covers[side.ref] if cover.how == how])
            lines.append(f"  {counted(count, 'unit')} {_HOW[how]}{by} · {periods}")
        lines.append("  " + _covered(covers[side.ref]))
    lines += [
        f"sequence {use.ref} → {counted(len(use.columns), 'column')}, {use.shape}, {use.form} · version"
        f" {use.version[:12]} · as of {', '.join(use.reads)}"
        for use in plan.sequences
    ]
    largest = max(plan.units, key=lambda unit: unit.decoded_bytes)
    split = sum("#" in unit.name for unit in plan.units)
    whole = sum(unit.decoded_bytes > spec.max_unit_bytes for unit in plan.units)
    lines.append(
        f"largest unit: {largest.name or 'the whole table'}, {largest.rows:,} rows, about"
        f" {largest.decoded_bytes / 1e6:,.0f} MB decoded"
        + (f" · {split} pieces of units above {spec.max_unit_bytes / 1e6:,.0f} MB" if split else "")
        + (f" · {counted(whole, 'unit')} above max_unit_bytes: a row group is the least that is read" if whole else "")
    )
    return lines


def _covered(covers: list[Cover]) -> str:
    rows, covered = sum(each.rows for each in covers), sum(each.covered for each in covers)
    bound = "" if all(each.exact for each in covers) else "at most "
    by_period: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for each in covers:
        by_period[each.period][0] += each.covered
        by_period[each.period][1] += each.rows
    short = [f"{period} {got:,}/{all_:,}" for period, (got, all_) in by_period.items() if got < all_]
    tail = f" · short in {', '.join(short[:_SHOWN])}" + (
        f" and {len(short) - _SHOWN} more" if len(short) > _SHOWN else ""
    )
    return f"coverage {bound}{covered:,} of {rows:,} rows ({covered / max(rows, 1):.1%})" + (tail if short else "")


def _spans(periods: list[str]) -> str:
    names = list(dict.fromkeys(periods))
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]} ({len(names)} dates)"
