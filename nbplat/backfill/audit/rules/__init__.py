"""The rules of the audit: a closed set, one file each, in the order they are judged and shown."""

from __future__ import annotations

from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.rules.alignment import Alignment
from nbplat.backfill.audit.rules.constant import Constant
from nbplat.backfill.audit.rules.coverage import Coverage
from nbplat.backfill.audit.rules.determinism import Determinism
from nbplat.backfill.audit.rules.drift import Drift
from nbplat.backfill.audit.rules.keys import Keys
from nbplat.backfill.audit.rules.leak import Leak
from nbplat.backfill.audit.rules.neighbours import Neighbours
from nbplat.backfill.audit.rules.nulls import Nulls
from nbplat.backfill.audit.rules.rows import Rows
from nbplat.backfill.audit.rules.unchanged import Unchanged
from nbplat.backfill.audit.rules.value_range import ValueRange
from nbplat.backfill.audit.rules.value_type import ValueType

__all__ = ["RULES", "STAGED_RULES", "Unchanged"]

STAGED_RULES: tuple[type[Rule], ...] = (
    Rows,
    Keys,
    Alignment,
    ValueType,
    Nulls,
    Coverage,
    ValueRange,
    Constant,
    Drift,
    Neighbours,
    Determinism,
    Leak,
)
"""What is judged before anything is published."""

RULES: tuple[type[Rule], ...] = (*STAGED_RULES, Unchanged)
"""All rules; `Unchanged` is judged on the run's branch while it is promoted."""
