"""The plan of a run, as a value: what will be read, computed, written and changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nbplat.backfill.table_facts import Column
from nbplat.backfill.units import SourcePlan, UnitPlan
from nbplat.terms import SnapshotPin, Window, content_hash

__all__ = ["BackfillPlan", "Others", "SourcePlan", "UnitPlan"]

UNCHECKED = "checked while staging"


@dataclass(frozen=True, slots=True)
class Others:
    """What a plan says of the table's other runs; see `BackfillPlan`."""

    conflicts: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """Everything a run will do, as a value.

    Attributes:
        identity: Of the spec; equal for equal cells.
        columns: The new columns with their Iceberg types.
        query: The body in the engine's own SQL; empty for a Python body.
        python: What runs a Python body, see `nbplat.remote.python_body`; None for an SQL body.
        base_columns: Columns of the table that staging reads.
        partition_columns: Source columns of the table's partition fields.
        groups: Unit ids per query, so that sources are read once and memory stays bounded. Of a body that is
            not row-wise, those that must be seen together: all of them, or whole partitions of a grouped body.
        write_bytes: Estimated size of the staged files.
        write_basis: ``sampled`` from a unit that was run, or ``type widths``.
        seconds: Estimated staging time from the sample; None when nothing was sampled.
        key_check: What is known of the key's uniqueness before the run.
        conflicts: Other runs on this table that touch these columns; empty when there are none.
        replaced: Those of the columns that the table has, and that keep their values outside the window.
        checks: What the audit will look at, in words: ``blocks: rows, keys``, ``warns: constant``.
        overlaps: Other runs that are about to land on the same files, or on columns that this one reads.
    """

    name: str
    identity: str
    engine: str
    base: SnapshotPin
    partitioning: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    window: Window
    time_column: str | None
    sources: tuple[SourcePlan, ...]
    base_columns: tuple[str, ...]
    partition_columns: tuple[str, ...]
    units: tuple[UnitPlan, ...]
    groups: tuple[tuple[str, ...], ...]
    query: str
    row_wise: bool
    why: str
    write_bytes: int = 0
    write_basis: str = "type widths"
    seconds: float | None = None
    key_check: str = UNCHECKED
    conflicts: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()
    python: Mapping[str, Any] | None = None
    replaced: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()

    @property
    def body(self) -> dict[str, Any]:
        """What the staging kernel runs; see `nbplat.remote.task`."""
        return dict(self.python) if self.python is not None else {"lang": "sql", "query": self.query}

    @property
    def keys_checked(self) -> bool:
        """True when the plan has read the keys and found them unique."""
        # A plan that was kept says what it said then.
        return not self.key_check.startswith("checked ")

    @property
    def rows(self) -> int:
        """Rows of all units."""
        return sum(unit.rows for unit in self.units)

    @property
    def read_bytes(self) -> int:
        """Exact compressed bytes staging reads: base columns and sources."""
        return sum(unit.read_bytes for unit in self.units) + sum(source.read_bytes for source in self.sources)

    @property
    def copy_bytes(self) -> int:
        """Bytes that promotion copies, and that stay stored twice until the old snapshots expire."""
        return sum(unit.file_bytes for unit in self.units)

    @property
    def plan_hash(self) -> str:
        """SHA-256 over what will be done; estimates do not count."""
        record = self.record()
        for estimate in ("write_bytes", "write_basis", "seconds", "key_check", "conflicts", "overlaps", "checks"):
            del record[estimate]
        return content_hash(record)

    def record(self) -> dict[str, Any]:
        """The JSON form; `from_record` reads it back."""
        return {**asdict(self), "window": self.window.record()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> BackfillPlan:
        """Read what `record` wrote."""
        return cls(
            **{
                **record,
                "base": SnapshotPin(**record["base"]),
                "keys": tuple(record["keys"]),
                "columns": tuple(Column(**column) for column in record["columns"]),
                "window": Window.parse(record["window"]["from"], record["window"]["to"]),
                "sources": tuple(
                    SourcePlan(**{**source, "pin": SnapshotPin(**source["pin"]), "columns": tuple(source["columns"])})
                    for source in record["sources"]
                ),
                "base_columns": tuple(record["base_columns"]),
                "partition_columns": tuple(record["partition_columns"]),
                "units": tuple(UnitPlan(**unit) for unit in record["units"]),
                "groups": tuple(tuple(group) for group in record["groups"]),
                "conflicts": tuple(record["conflicts"]),
                "overlaps": tuple(record.get("overlaps", ())),
                "replaced": tuple(record.get("replaced", ())),
                "checks": tuple(record.get("checks", ())),
            }
        )
