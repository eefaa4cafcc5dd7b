"""How many base rows have a staged row: from the plan's counts before anything is read, exact from what was read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nbplat.errors import DataError
from nbplat.training.join.plan import JoinPlan

__all__ = ["Cover", "SeenCover", "check_coverage", "check_seen", "coverage"]


@dataclass(frozen=True, slots=True)
class Cover:
    """Rows of one side in one partition.

    Attributes:
        ref: The run or table.
        unit: The partition in words.
        period: Its date.
        how: As in `plan.UnitSide`.
        rows: Base rows, by their manifests.
        covered: Those with a staged row.
        exact: False when `covered` is an upper bound, as it is wherever rows meet by key.
    """

    ref: str
    unit: str
    period: str
    how: str
    rows: int
    covered: int
    exact: bool


@dataclass(slots=True)
class SeenCover:
    """What reading has told of one side so far.

    Attributes:
        nulls: Column of the result -> nulls before filling.
        missed: Unit -> up to five keys without a staged row.
    """

    ref: str
    rows: int
    matched: int
    null_keys: int
    dropped: int
    nulls: dict[str, int]
    missed: dict[str, str]

    @property
    def share(self) -> float:
        """Share of the rows that have a staged row; 1 before any was read."""
        return self.matched / self.rows if self.rows else 1.0

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "ref": self.ref,
            "rows": self.rows,
            "matched": self.matched,
            "null_keys": self.null_keys,
            "dropped": self.dropped,
            "nulls": dict(self.nulls),
            "missed": dict(list(self.missed.items())[:_SHOWN]),
        }


_SHOWN = 5


def coverage(plan: JoinPlan) -> tuple[Cover, ...]:
    """Per side and unit, in the plan's order."""
    return tuple(
        Cover(
            side.ref,
            unit.name,
            unit.period,
            unit.sides[at].how,
            unit.rows,
            unit.sides[at].covered,
            unit.sides[at].exact,
        )
        for at, side in enumerate(plan.sides)
        for unit in plan.units
    )


def check_coverage(plan: JoinPlan) -> None:
    """Return when the plan's counts leave it possible that enough rows are covered.

    Raises:
        DataError: ``training.coverage``, naming dates and partitions.
    """
    for at, side in enumerate(plan.sides):
        covered = sum(unit.sides[at].covered for unit in plan.units)
        if covered < plan.spec.min_coverage * plan.rows:
            short = [unit for unit in plan.units if unit.sides[at].covered < unit.rows]
            raise _short(plan, side.ref, covered, plan.rows, [unit.name or unit.period for unit in short], "")


def check_seen(plan: JoinPlan, seen: Iterable[SeenCover], *, ended: bool) -> None:
    """Return while what was read can still reach the share that is asked for.

    Args:
        ended: True when everything was read.

    Raises:
        DataError: ``training.coverage``, naming partitions and up to five keys.
    """
    least = plan.spec.min_coverage
    for each in seen:
        gone = each.rows - each.matched
        if (ended and each.share < least) or gone > (1 - least) * plan.rows:
            keys = next(iter(each.missed.values()), "")
            raise _short(plan, each.ref, each.matched, each.rows, list(each.missed), keys)


def _short(plan: JoinPlan, ref: str, covered: int, rows: int, units: Sequence[str], keys: str) -> DataError:
    named = "; ".join(units[:_SHOWN]) + (f" and {len(units) - _SHOWN} more" if len(units) > _SHOWN else "")
    run = next((side.run for side in plan.sides if side.ref == ref), "")
    mend = f"`%backfill extend {run.partition('@')[0]}` fills them" if run else f"write the missing rows of {ref}"
    return DataError(
        "training.coverage",
        f"{ref} covers {covered:,} of {rows:,} rows ({covered / max(rows, 1):.2%}), asked for are"
        f" {plan.spec.min_coverage:.2%}; short in {named or 'some partitions'}" + (f", e.g. {keys}" if keys else ""),
        fix=f"{mend}; or lower min_coverage",
    )
