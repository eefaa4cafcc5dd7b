from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from nbplat.backfill.audit.distance import distance
from nbplat.backfill.audit.finding import Level, Threshold, Verdict
from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.settings import Limits
from nbplat.backfill.audit.subject import Subject

__all__ = ["Neighbours"]


class Neighbours(Rule):
    """A column does not jump from one time partition to the next."""

    code = "neighbours"
    title = "A column does not jump from one time partition to the next."
    why = "A change of source or of unit in the middle of history shows as a step on one date."
    example = "Prices in another currency from 2024-05 on."
    fix = "look at the source around that date; if the step is real, --check neighbours=off"
    level = Level.WARN
    thresholds = (
        Threshold("psi", 0.5, "PSI", "the largest population stability index of neighbours beyond chance"),
        Threshold("min_rows", 20, "rows", "the fewest values that a time partition is compared with", whole=True),
    )

    def judge(self, subject: Subject, limits: Limits) -> Iterator[Verdict]:
        least = limits.count("min_rows")
        for name, counts in subject.survey.measures.items():
            # A time moves on with the partitions by its nature.
            if counts.role == "holes" or counts.scale.kind == "time":
                continue
            timeline = [(label, sketch) for label, sketch in counts.timeline if int(sketch.fine.sum()) >= least]
            steps = [
                (gap.psi - gap.psi_noise, gap, f"{earlier} -> {later}")
                for (earlier, before), (later, after) in pairwise(timeline)
                if (gap := distance(before, after)) is not None
            ]
            if not steps:
                continue
            _, worst, where = max(steps, key=lambda step: step[0])
            limit = limits.number("psi", counts.column) + worst.psi_noise
            message = f"largest of {len(steps)} steps: PSI {worst.psi:.3f} at {where}, limit {limit:.3f}"
            yield Verdict(name, worst.psi <= limit, message, worst.psi, limit)
