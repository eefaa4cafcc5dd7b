from __future__ import annotations

from collections.abc import Iterator

from nbplat.backfill.audit.finding import Level, Threshold, Verdict
from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.settings import Limits
from nbplat.backfill.audit.sketch import DISTINCT_CAP
from nbplat.backfill.audit.subject import Subject

__all__ = ["Constant"]


class Constant(Rule):
    """A column holds more than one value."""

    code = "constant"
    title = "A column has at least so many distinct values."
    why = "A constant teaches a model nothing, and is most often a join or filter gone wrong."
    example = "COALESCE(sum(e.amount), 0) where no event ever matches."
    fix = "look at the body's joins; if it is meant, --check constant=off"
    level = Level.WARN
    thresholds = (
        Threshold("min_distinct", 2, "values", "the least number of distinct values", most=DISTINCT_CAP, whole=True),
    )

    def judge(self, subject: Subject, limits: Limits) -> Iterator[Verdict]:
        for name, counts in subject.survey.measures.items():
            whole = counts.whole
            if counts.role != "value" or whole.nulls == whole.rows:
                continue
            least = limits.number("min_distinct", name)
            distinct = whole.distinct_count
            shown = f"{distinct}" if distinct is not None else f"more than {DISTINCT_CAP}"
            span = "" if whole.least is None else f", from {whole.least} to {whole.most}"
            passed = distinct is None or distinct >= least
            seen = None if distinct is None else float(distinct)
            yield Verdict(name, passed, f"{shown} distinct values{span}", seen, least)
