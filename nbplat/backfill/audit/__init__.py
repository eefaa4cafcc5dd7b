"""The audit of a staged run: rules, what they count, and the report they leave."""

from __future__ import annotations

from nbplat.backfill.audit.finding import Finding, Level, Threshold, Verdict
from nbplat.backfill.audit.judge import audit
from nbplat.backfill.audit.recompute import Recompute, body_of
from nbplat.backfill.audit.report import AuditReport, finding_rows
from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.rules import RULES, STAGED_RULES, Unchanged
from nbplat.backfill.audit.settings import Checks, read_checks
from nbplat.backfill.audit.versions import Previous

__all__ = [
    "RULES",
    "STAGED_RULES",
    "AuditReport",
    "Checks",
    "Finding",
    "Level",
    "Previous",
    "Recompute",
    "Rule",
    "Threshold",
    "Unchanged",
    "Verdict",
    "audit",
    "body_of",
    "finding_rows",
    "read_checks",
]
