from __future__ import annotations

from collections.abc import Iterator

from nbplat.backfill.audit.finding import Level, Threshold, Verdict
from nbplat.backfill.audit.probe import LeakProbe, Probed
from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.settings import Limits
from nbplat.backfill.audit.subject import MAX_BYTES, Subject
from nbplat.errors import NbplatError

__all__ = ["Leak"]


class Leak(Rule):
    """A sampled row has the same values when every source is cut at the row's as-of time."""

    code = "leak"
    title = "Sampled rows keep their values when every source is cut at the row's as-of time."
    why = "A feature that knows the future scores well in training and fails in service."
    example = "sum(e.amount) over all events of a customer, without e.event_ts < base.label_ts."
    fix = "compare the source's time with base's as-of time, strictly: e.event_ts < base.label_ts"
    level = Level.BLOCK
    thresholds = (
        Threshold("rows", 200, "rows", "how many rows are sampled", least=1, whole=True),
        Threshold("times", 50, "times", "how many as-of times the body is run for, at most", least=1, whole=True),
        Threshold("tolerance", 1e-9, "relative", "the difference of doubles that the order of adding explains"),
        MAX_BYTES,
    )

    def judge(self, subject: Subject, limits: Limits) -> Iterator[Verdict]:
        plan = subject.plan
        if plan.row_wise and not plan.sources:
            yield Verdict("", True, "a row's values come from that row alone")
            return
        if subject.as_of is None:
            read = ", ".join(source.pin.table for source in plan.sources) or "other rows of base"
            message = f"not probed: the body reads {read}, and no as-of time is declared (--as-of COLUMN)"
            yield Verdict("", False, message, unknown=True)
            return
        timeless = [source.pin.table for source in plan.sources if source.pin.table not in subject.source_times]
        for table in timeless:
            message = f"{table} could not be probed: its time is not declared (--source {table}=COLUMN)"
            yield Verdict("", False, message, unknown=True)
        if plan.row_wise and len(timeless) == len(plan.sources):
            return
        if (held := subject.held_bytes) > limits.number("max_bytes"):
            message = f"not probed: {held:,} stored bytes would be held in memory (leak.max_bytes)"
            yield Verdict("", False, message, unknown=True)
            return
        rows, times, tolerance = limits.count("rows"), limits.count("times"), limits.number("tolerance")
        probe = LeakProbe(subject, subject.as_of, rows, times, tolerance)
        try:
            probed = probe.run()
        except NbplatError as error:
            yield Verdict(
                "", False, f"not probed: the body cannot be run on cut sources: {error.message}", unknown=True
            )
            return
        for name in subject.columns:
            yield _verdict(name, probed, subject.as_of)


def _verdict(column: str, probed: Probed, as_of: str) -> Verdict:
    found = [case for case in probed.cases if case.column == column]
    aside = f"; {probed.without_time} sampled rows have no {as_of}" if probed.without_time else ""
    if not probed.rows:
        return Verdict(column, False, f"not probed: no sampled row has an as-of time in {as_of}{aside}", unknown=True)
    if not found:
        message = f"{probed.rows} rows recomputed as of {probed.times} times of {as_of} are equal{aside}"
        return Verdict(column, True, message, 0.0, 0.0)
    case = found[0]
    blamed = ", ".join(case.sources) or "the sources together"
    message = (
        f"{len(found)} of {probed.rows} sampled rows change when sources are cut at {as_of}:"
        f" {case.key} as of {case.as_of} is staged as {case.staged}, known by then was {case.known};"
        f" it looks ahead in {blamed}{aside}"
    )
    return Verdict(column, False, message, float(len(found)), 0.0)
