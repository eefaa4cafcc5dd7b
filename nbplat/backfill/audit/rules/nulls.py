from __future__ import annotations

from collections.abc import Iterator

from nbplat.backfill.audit.finding import Level, Threshold, Verdict
from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.settings import Limits
from nbplat.backfill.audit.subject import Subject

__all__ = ["Nulls"]


class Nulls(Rule):
    """A column is not null in more than a share of its rows, and never in all of them."""

    code = "nulls"
    title = "A column has values, and no larger share of nulls than allowed."
    why = "A join that matches nothing gives a column of nulls, and a model trains on it without a word."
    example = "ON e.customer = base.id instead of base.customer: no row matches."
    fix = "look at the body's joins and CASE branches; allow more with --check nulls.max_share=SHARE"
    level = Level.BLOCK
    thresholds = (
        Threshold(
            "max_share", 1.0, "share", "the largest share of nulls; a column of nothing else always breaks it", most=1.0
        ),
    )

    def judge(self, subject: Subject, limits: Limits) -> Iterator[Verdict]:
        outside = subject.survey.outside_rows
        aside = f"; {outside} rows outside the window are not counted" if outside else ""
        for name, counts in subject.survey.columns.items():
            whole = counts.whole
            limit = limits.number("max_share", name)
            passed = not whole.rows or (whole.nulls < whole.rows and whole.null_share <= limit)
            message = f"{whole.nulls} of {whole.rows} rows are null ({whole.null_share:.1%}){aside}"
            yield Verdict(name, passed, message, whole.null_share, limit)
