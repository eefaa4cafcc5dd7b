"""Run a body again over chosen rows: what determinism and the leak probe compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import pyarrow as pa

from nbplat.backfill.body import BASE, engine_name
from nbplat.backfill.failures import our_errors
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.types import arrow_schema
from nbplat.remote.body import run_body
from nbplat.remote.task import Task

__all__ = ["NO_BODY", "Recompute", "body_of"]

NO_BODY = "the body is outside the local SQL subset, so that only its own engine computes it"


class Recompute(Protocol):
    """The body of a plan as a function of tables."""

    @property
    def any_order(self) -> bool:
        """True when rows may be handed over in any order: always for SQL, whose tables have none."""

    def rows(self, base: pa.Table, sources: Mapping[str, pa.Table]) -> pa.Table:
        """The body's result over these rows: keys and new columns in their planned types, in any order.

        Args:
            base: Rows of the base table with at least the plan's base columns.
            sources: By full table name.

        Raises:
            DataError: what the data makes impossible.
        """


@dataclass(frozen=True, slots=True)
class _KernelBody:
    """Runs the body as staging does, in this process or a child of it."""

    plan: BackfillPlan
    settings: Mapping[str, Any]

    @property
    def any_order(self) -> bool:
        return self.plan.python is None

    def rows(self, base: pa.Table, sources: Mapping[str, pa.Table]) -> pa.Table:
        plan = self.plan
        # For a Python body a record of its own gets an interpreter of its own, which kept nothing of the staging.
        body = plan.body if plan.python is None else {**plan.body, "purpose": "audit"}
        task = {
            "body": body,
            "base": engine_name(BASE),
            "settings": dict(self.settings),
            "keys": list(plan.keys),
            "new": arrow_schema({column.name: column.type for column in plan.columns}).serialize().to_pybytes(),
        }
        with our_errors():
            return run_body(cast("Task", task), base, {engine_name(name): table for name, table in sources.items()})


def body_of(plan: BackfillPlan | None, settings: Mapping[str, Any]) -> Recompute | None:
    """The body of a plan, in whichever language it is.

    Args:
        plan: With a query that this process can run; None where there is none, which gives None.
        settings: ``threads``, ``memory_bytes`` and ``spill_folder`` of what is computed on this machine.
    """
    return _KernelBody(plan, settings) if plan is not None else None
