"""Figures in the shape of the metrics library that Livy uses."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nbplat.session.batches import Batches
from nbplat.session.sessions import Sessions

__all__ = ["metrics"]

_ALL = 1_000_000


def metrics(sessions: Sessions, batches: Batches) -> dict[str, Any]:
    """How many sessions and batches there are, by state, as gauges; and drivers kept warm."""
    gauges: dict[str, Any] = {}
    found = {
        "session": [one.state.value for one in sessions.store.sessions(limit=_ALL)[1]],
        "batch": [one.state.value for one in batches.page(limit=_ALL)[1]],
    }
    for noun, states in found.items():
        gauges[f"livy.{noun}.count"] = {"value": len(states)}
        for state, count in sorted(Counter(states).items()):
            gauges[f"livy.{noun}.{state}"] = {"value": count}
    for state, count in sessions.warm().items():
        gauges[f"nbplat.warm.{state}"] = {"value": count}
    return {"version": "4.0.0", "gauges": gauges, "counters": {}, "histograms": {}, "meters": {}, "timers": {}}
