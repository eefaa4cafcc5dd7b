"""What building an index met: rows in and out of each step, warnings, and what the index holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

__all__ = ["FunnelStep", "IndexReport"]


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """One step and its rows.

    Attributes:
        name: ``read``, ``entity known``, ``type known``, ``time known``, ``arrival known``, ``types``, ``dedupe``.
        rows_in, rows_out: Rows before and after.
        note: What the step went by, or why rows are missing; may be empty.
    """

    name: str
    rows_in: int
    rows_out: int
    note: str = ""

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {"name": self.name, "rows_in": self.rows_in, "rows_out": self.rows_out, "note": self.note}


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What a person must know of an index before trusting it.

    Attributes:
        steps: From the rows read to the rows kept, in the order they were done.
        warnings: Whole sentences; empty when all is well.
        rows: Events in the index.
        entities: Distinct entities among them.
        first_us, last_us: Least and greatest event time, microseconds since 1970 UTC; None when there is no event.
        by_type: Event type -> events; a declared type that never occurs is there with 0.
        bytes: Of the index where it lies: file bytes when stored, Arrow bytes in memory.
        tally: The counts all this was made from (see `nbplat.remote.sequence.tally`); counts of more rows add to it.
    """

    steps: tuple[FunnelStep, ...]
    warnings: tuple[str, ...]
    rows: int
    entities: int
    first_us: int | None
    last_us: int | None
    by_type: Mapping[str, int]
    bytes: int
    tally: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def record(self) -> dict[str, Any]:
        """JSON form; `from_record` reads it."""
        return {
            "steps": [step.record() for step in self.steps],
            "warnings": list(self.warnings),
            "rows": self.rows,
            "entities": self.entities,
            "first_us": self.first_us,
            "last_us": self.last_us,
            "by_type": dict(self.by_type),
            "bytes": self.bytes,
            "tally": dict(self.tally),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> IndexReport:
        """Read what `record` wrote."""
        return cls(
            steps=tuple(FunnelStep(**step) for step in record["steps"]),
            warnings=tuple(record["warnings"]),
            rows=record["rows"],
            entities=record["entities"],
            first_us=record["first_us"],
            last_us=record["last_us"],
            by_type=MappingProxyType(dict(record["by_type"])),
            bytes=record["bytes"],
            tally=MappingProxyType(dict(record["tally"])),
        )
