from __future__ import annotations

from collections.abc import Iterator

from nbplat.backfill.audit.finding import Level, Threshold, Verdict
from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.settings import Limits
from nbplat.backfill.audit.sketch import Sketch
from nbplat.backfill.audit.subject import Subject

__all__ = ["ValueRange"]


class ValueRange(Rule):
    """Numbers are finite and lie within the limits that were given."""

    code = "range"
    title = "Numbers are finite, lists have no null elements, and values lie within the limits given."
    why = "NaN and infinity spread through every sum; statistics leave NaN out, so that filters skip its rows."
    example = "clicks / views where views is 0."
    fix = "guard the expression (CASE, NULLIF, COALESCE)"
    level = Level.WARN
    thresholds = (
        Threshold("min", None, "", "the smallest value allowed; none sets no limit", least=None),
        Threshold("max", None, "", "the largest value allowed; none sets no limit", least=None),
        Threshold("max_odd", 0, "rows", "how many values may be NaN or infinite", whole=True),
    )

    def judge(self, subject: Subject, limits: Limits) -> Iterator[Verdict]:
        for name, counts in subject.survey.measures.items():
            whole = counts.whole
            if counts.scale.kind != "number":
                continue
            if counts.role == "holes":
                yield Verdict(name, not whole.most, _holes(whole), float(whole.most or 0), 0.0)
                continue
            allowed = limits.number("max_odd", counts.column)
            message = f"{whole.odd} values are NaN or infinite"
            yield Verdict(name, whole.odd <= allowed, message, float(whole.odd), allowed)
            if counts.role == "value":
                yield from self._within(name, whole, limits)

    def _within(self, name: str, whole: Sketch, limits: Limits) -> Iterator[Verdict]:
        low, high = limits.get("min", name), limits.get("max", name)
        if low is not None and whole.least is not None:
            least = float(whole.least)
            yield Verdict(name, least >= low, f"the smallest value is {whole.least}, allowed is {low:g}", least, low)
        if high is not None and whole.most is not None:
            most = float(whole.most)
            yield Verdict(name, most <= high, f"the largest value is {whole.most}, allowed is {high:g}", most, high)


def _holes(whole: Sketch) -> str:
    return f"a list has up to {whole.most} null elements" if whole.most else "no list has a null element"
