"""Histograms of how long histories are and how old their newest token is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nbplat.sequence.definition import MAX_LAST, EventRule
from nbplat.sequence.preview.figures import age_text, share_text
from nbplat.sequence.preview.record import Histogram

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["lengths_histogram", "rule_text", "staleness_histogram"]

_AGES = (
    ("1m", 60_000_000),
    ("10m", 600_000_000),
    ("1h", 3_600_000_000),
    ("6h", 21_600_000_000),
    ("1d", 86_400_000_000),
    ("7d", 604_800_000_000),
    ("30d", 2_592_000_000_000),
    ("90d", 7_776_000_000_000),
    ("1y", 31_536_000_000_000),
)


def rule_text(rule: EventRule) -> str:
    """``last 100 · within 90d · where amount > 0``."""
    said = [f"last {rule.last:,}"] if rule.last < MAX_LAST else [f"at most {MAX_LAST:,}"]
    if rule.within_us is not None:
        said.append(f"within {age_text(rule.within_us)}")
    if rule.where is not None:
        said.append(f"where {rule.where}")
    if rule.select is not None:
        said.append(f"nearest {rule.select.count:,} by {rule.select.column}")
    return " · ".join(said)


def lengths_histogram(rule: EventRule, before: npt.NDArray[np.int64]) -> Histogram:
    """How many events of a type examples may see, in powers of two and cut at `last`, which is marked."""
    most = int(before.max(initial=0))
    edges = sorted(
        {0, *(1 << power for power in range(most.bit_length())), *([rule.last] if rule.last <= most else [])}
    )
    counts = np.diff(np.append(np.searchsorted(np.sort(before), edges), len(before)))
    labels = []
    for place, low in enumerate(edges):
        high = edges[place + 1] - 1 if place + 1 < len(edges) else most
        labels.append(f"{low:,}" if high <= low else f"{low:,}-{high:,}")
    at_cap = int((before >= rule.last).sum())
    return Histogram(
        name=f"{rule.event_type} before the instant",
        labels=tuple(labels),
        counts=tuple(int(count) for count in counts),
        mark=edges.index(rule.last) if rule.last in edges else None,
        mark_text=f"last {rule.last:,}" if rule.last < MAX_LAST else "",
        note=f"{share_text(at_cap, len(before))} of the examples at the cap",
    )


def staleness_histogram(ages: npt.NDArray[np.int64], examples: int) -> Histogram:
    """Age of the newest token of each example that has one; an age that is not positive comes from the future."""
    edges = np.array([1, *(us for _, us in _AGES)], np.int64)
    place = np.searchsorted(edges, ages, side="right")
    counts = np.bincount(place, minlength=len(edges) + 1)
    labels = ["future", "< 1m", *(name for name, _ in _AGES)]
    first = 0 if counts[0] else 1
    median = f"median {age_text(int(np.median(ages)))}" if len(ages) else "no tokens"
    empty = examples - len(ages)
    return Histogram(
        name="age of the newest token",
        labels=tuple(labels[first:]),
        counts=tuple(int(count) for count in counts[first:]),
        note=median + (f", {share_text(empty, examples)} of the examples have none" if empty else ""),
    )
