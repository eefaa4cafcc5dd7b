"""How many base rows have a staged row: from the plan's counts before anything is read, exact from what was read."""

from __future__ import annotations

from dataclasses import dataclass

from nbplat.errors import from_record
from nbplat.remote.training.covered import SeenCover, too_few
from nbplat.training.join.plan import JoinPlan

__all__ = ["Cover", "SeenCover", "check_coverage", "coverage"]


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
            named = [unit.name or unit.period for unit in short]
            error = too_few(side.ref, side.run, plan.spec.min_coverage, covered, plan.rows, named, "")
            raise from_record(error.record())
