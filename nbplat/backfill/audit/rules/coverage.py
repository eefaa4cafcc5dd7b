from __future__ import annotations

from collections.abc import Iterator

from nbplat.backfill.audit.finding import Level, Threshold, Verdict
from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.settings import Limits
from nbplat.backfill.audit.subject import Subject

__all__ = ["Coverage"]

_SHOWN = 5


class Coverage(Rule):
    """No time partition is left without values."""

    code = "coverage"
    title = "Every time partition has values: no larger share of nulls in one of them than allowed."
    why = "A share over all dates hides the month in which the source was down."
    example = "The source table begins in March, the base table in January."
    fix = "check the source for those dates; allow more with --check coverage.max_share=SHARE"
    level = Level.WARN
    thresholds = (
        Threshold(
            "max_share",
            1.0,
            "share",
            "the largest share of nulls in one time partition; nothing but nulls always breaks it",
            most=1.0,
        ),
    )

    def judge(self, subject: Subject, limits: Limits) -> Iterator[Verdict]:
        for name, counts in subject.survey.columns.items():
            timeline = [(label, sketch) for label, sketch in counts.timeline if sketch.rows]
            if not timeline:
                continue
            limit = limits.number("max_share", name)
            worst_label, worst = max(timeline, key=lambda pair: pair[1].null_share)
            holes = [label for label, s in timeline if s.nulls == s.rows or s.null_share > limit]
            if holes:
                shown = ", ".join(holes[:_SHOWN]) + (" …" if len(holes) > _SHOWN else "")
                message = f"{len(holes)} of {len(timeline)} time partitions lack values: {shown}"
            else:
                message = f"values in all {len(timeline)} time partitions, most nulls in {worst_label}"
            yield Verdict(name, not holes, f"{message} ({worst.null_share:.1%})", worst.null_share, limit)
