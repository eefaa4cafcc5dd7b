"""Sources as a plan pinned them: whoever opens one by name reads what was planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nbplat.sequence.ports import EventSource, EventSources, SourcePin

__all__ = ["PinnedSources"]


@dataclass(frozen=True, slots=True)
class PinnedSources:
    """Implements `nbplat.sequence.ports.EventSources`.

    Attributes:
        pins: Name -> its state; others are opened at their present one.
    """

    sources: EventSources
    pins: Mapping[str, SourcePin]

    def open(self, name: str, pin: SourcePin | None = None) -> EventSource:
        """See the port."""
        return self.sources.open(name, pin or self.pins.get(name))
