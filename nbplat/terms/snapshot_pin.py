from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["HOLD_PREFIX", "SnapshotPin"]

HOLD_PREFIX = "nb-join-"
"""Begins the name of every tag that holds a snapshot for a training plan: what has one is needed still."""


@dataclass(frozen=True, slots=True)
class SnapshotPin:
    """One state of one Iceberg table; reading by a pin gives the same rows for as long as the snapshot lives.

    Attributes:
        table: Full name, ``retail.events``.
        table_uuid: Tells a table from another that took its name later.
        snapshot_id: None for a table that has no snapshot yet (it reads as empty).
        schema_id: The schema to read with.
    """

    table: str
    table_uuid: str
    snapshot_id: int | None
    schema_id: int

    def record(self) -> dict[str, Any]:
        return asdict(self)
