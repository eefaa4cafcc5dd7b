"""What an audit leaves behind: findings, a profile per column, and rows for the lakehouse."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nbplat.backfill.audit.distance import distance
from nbplat.backfill.audit.finding import Finding
from nbplat.backfill.audit.sketch import Sketch
from nbplat.backfill.audit.survey import MeasureCounts

__all__ = ["AuditReport", "finding_rows", "profile_of"]

_DRAWN_DATES = 120


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All findings of one audit.

    Attributes:
        profile: Per measure of a new column what its picture is drawn from (see `profile_of`).
        notes: What could not be done beside the judging, e.g. writing the findings' table.
    """

    findings: tuple[Finding, ...]
    profile: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """True when no blocking rule is broken."""
        return all(finding.passed or not finding.blocks for finding in self.findings)

    def record(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "findings": [finding.record() for finding in self.findings],
            "profile": list(self.profile),
            "notes": list(self.notes),
        }


def finding_rows(
    findings: Sequence[Finding], *, run: str, job: str, plan_hash: str, table: str, at: dt.datetime
) -> list[dict[str, Any]]:
    """One row per finding for the table of all audits; the columns are those of `AuditLog`."""
    return [
        {
            "run": run,
            "job": job,
            "plan_hash": plan_hash,
            "table": table,
            "rule": finding.rule,
            "column": finding.column,
            "level": str(finding.level),
            "passed": finding.passed,
            "message": finding.message,
            "value": finding.value,
            "threshold": finding.threshold,
            "at": at,
        }
        for finding in findings
    ]


def profile_of(
    name: str, counts: MeasureCounts, before: tuple[str, Sketch] | None, drift_limit: float
) -> dict[str, Any]:
    """A measure as JSON: totals, histogram after and before, and a line per time partition.

    Returns:
        ``column``, ``kind`` (``number``, ``time``, ``category``), totals, ``edges`` (for a category
        ``names``; counts have one bin more than either), ``after``, ``before`` (None without an
        earlier version), ``before_name``, ``drift_limit``, and ``dates`` with ``label``, ``rows``,
        ``nulls``, ``mean`` (None for a category) and ``drift``: the PSI against the date before,
        less what chance explains, at least 0. Neighbouring dates are put together where there are
        more than 120.
    """
    whole, scale = counts.whole, counts.scale
    return {
        "column": name,
        "kind": scale.kind,
        "rows": whole.rows,
        "nulls": whole.nulls,
        "distinct": whole.distinct_count,
        "least": _plain(whole.least),
        "most": _plain(whole.most),
        "mean": _mean(whole),
        "deviation": _finite(whole.deviation) if whole.finite else None,
        "edges": [_finite(float(edge)) for edge in scale.drawn],
        "names": [_plain(value) for value in scale.names],
        "after": whole.drawn.tolist(),
        "before": before[1].drawn.tolist() if before else None,
        "before_name": before[0] if before else "",
        "drift_limit": _finite(drift_limit),
        "dates": _dates(counts),
    }


def _dates(counts: MeasureCounts) -> list[dict[str, Any]]:
    timeline = counts.timeline
    pieces: list[tuple[str, Sketch]] = []
    for part in np.array_split(np.arange(len(timeline)), min(_DRAWN_DATES, len(timeline))) if timeline else []:
        sketch = Sketch(counts.scale)
        for position in part:
            sketch.add(timeline[position][1])
        first, last = timeline[part[0]][0], timeline[part[-1]][0]
        pieces.append((first if first == last else f"{first} … {last}", sketch))
    found = []
    for number, (label, sketch) in enumerate(pieces):
        step = distance(pieces[number - 1][1], sketch) if number else None
        found.append(
            {
                "label": label,
                "rows": sketch.rows,
                "nulls": sketch.nulls,
                "mean": _mean(sketch),
                "drift": None if step is None else round(max(0.0, step.psi - step.psi_noise), 4),
            }
        )
    return found


def _mean(sketch: Sketch) -> float | None:
    return _finite(sketch.mean) if sketch.finite else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return _finite(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.hex() if isinstance(value, bytes) else str(value)
