"""What an audit looks at: the plan, the staged files, and the parts to read them with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from nbplat.backfill.audit.finding import Threshold
from nbplat.backfill.audit.recompute import Recompute
from nbplat.backfill.audit.survey import Survey
from nbplat.backfill.audit.versions import Version
from nbplat.backfill.plan import BackfillPlan, UnitPlan
from nbplat.backfill.ports import StagedWriter, Tables
from nbplat.terms import SnapshotPin, StagedFile

__all__ = ["MAX_BYTES", "Subject"]

MAX_BYTES = Threshold(
    "max_bytes",
    2 << 30,
    "bytes",
    "the most stored bytes to hold in memory: the sources, and for a body over the whole window all of it",
    whole=True,
)
"""What rules that compute again hold `Subject.held_bytes` against."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A staged run under audit.

    Attributes:
        body: Runs the plan's body again.
        as_of: The base column that holds each row's as-of time; None when none is declared.
        source_times: Source table -> its time column, as declared.
        survey: The counts of one pass over all files.
        versions: Measure -> its earlier version; those that never had one are left out.
    """

    plan: BackfillPlan
    staged: tuple[StagedFile, ...]
    tables: Tables
    writer: StagedWriter
    body: Recompute
    survey: Survey
    as_of: str | None = None
    source_times: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, Version] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the new columns."""
        return tuple(column.name for column in self.plan.columns)

    @property
    def held_bytes(self) -> int:
        """Stored bytes of what computing again holds in memory: the sources, and a body's whole window."""
        sources = sum(source.read_bytes for source in self.plan.sources)
        return sources if self.plan.row_wise else self.plan.read_bytes

    def staged_of(self, unit: UnitPlan) -> StagedFile | None:
        """The staged file of a unit; None when it is missing."""
        return next((file for file in self.staged if file.base_path == unit.path), None)

    def read_base(self, unit: UnitPlan, columns: tuple[str, ...]) -> pa.Table:
        """Live rows of a unit's base file."""
        return self.tables.read(self.plan.base, list(dict.fromkeys(columns)), paths=[unit.path])

    def read_source(self, pin: SnapshotPin, columns: tuple[str, ...]) -> pa.Table:
        """A pinned source, whole."""
        return self.tables.read(pin, list(dict.fromkeys(columns)))

    def seed(self) -> np.random.Generator:
        """Randomness of this plan: the same sample in every audit of it."""
        return np.random.default_rng(int(self.plan.plan_hash[:16], 16))
