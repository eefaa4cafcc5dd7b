from __future__ import annotations

from collections.abc import Iterator

from nbplat.backfill.audit.distance import distance
from nbplat.backfill.audit.finding import Level, Threshold, Verdict
from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.settings import Limits
from nbplat.backfill.audit.sketch import Sketch
from nbplat.backfill.audit.subject import Subject

__all__ = ["Drift"]


class Drift(Rule):
    """A column is distributed like its earlier version."""

    code = "drift"
    title = "A column is distributed like its earlier version: the live one it replaces, or a promoted run's."
    why = "A model in use was trained on the earlier values; a shift nobody meant is a bug in the new body."
    example = "Amounts in pence where the earlier version had pounds."
    fix = "compare the two with `%backfill diff`; if the change is meant, --check drift=off"
    level = Level.WARN
    thresholds = (
        Threshold("psi", 0.25, "PSI", "the largest population stability index beyond chance"),
        Threshold("ks", 0.2, "share", "the largest distance of cumulative shares beyond chance", most=1.0),
        Threshold("tv", 0.2, "share", "the largest total variation of a category beyond chance", most=1.0),
    )

    def judge(self, subject: Subject, limits: Limits) -> Iterator[Verdict]:
        for name, counts in subject.survey.measures.items():
            version = subject.versions.get(name)
            if version is None or counts.role == "holes":
                continue
            if version.sketch is None:
                yield Verdict(name, False, f"not compared with {version.name}: {version.why}", unknown=True)
                continue
            yield self._compare(name, version.name, version.sketch, counts.whole, limits)

    def _compare(self, name: str, version: str, before: Sketch, after: Sketch, limits: Limits) -> Verdict:
        gap = distance(before, after)
        nulls = f"; nulls {before.null_share:.1%} -> {after.null_share:.1%}"
        if gap is None:
            return Verdict(name, True, f"one of it and {version} has no values{nulls}")
        if after.scale.kind == "category":
            limit = limits.number("tv", name) + gap.ks_noise
            message = f"total variation {gap.tv:.3f} against {version}, limit {limit:.3f}{nulls}"
            return Verdict(name, gap.tv <= limit, message, gap.tv, limit)
        psi, ks = limits.number("psi", name) + gap.psi_noise, limits.number("ks", name) + gap.ks_noise
        message = f"PSI {gap.psi:.3f} (limit {psi:.3f}) and KS {gap.ks:.3f} (limit {ks:.3f}) against {version}{nulls}"
        return Verdict(name, gap.psi <= psi and gap.ks <= ks, message, gap.psi, psi)
