"""Run a body again over chosen rows: what determinism and the leak probe compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import pyarrow as pa

from nbplat.backfill.body import BASE, engine_name
from nbplat.backfill.failures import our_errors
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import Engine
from nbplat.backfill.types import arrow_schema
from nbplat.remote.body import run_body, typed
from nbplat.remote.task import Task

__all__ = ["Recompute", "body_of"]


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


@dataclass(frozen=True, slots=True)
class _EngineBody:
    """Runs the body of a plan whose SQL is its engine's own."""

    plan: BackfillPlan
    engine: Engine

    @property
    def any_order(self) -> bool:
        return True

    def rows(self, base: pa.Table, sources: Mapping[str, pa.Table]) -> pa.Table:
        tables = {engine_name(name): table for name, table in sources.items()}
        result = self.engine.run(self.plan.query, {engine_name(BASE): base, **tables})
        new = arrow_schema({column.name: column.type for column in self.plan.columns})
        with our_errors():
            return typed(result, self.plan.keys, new)


def body_of(plan: BackfillPlan, settings: Mapping[str, Any], engine: Engine) -> Recompute:
    """The body of a plan, in whichever language it is.

    Args:
        settings: ``threads``, ``memory_bytes`` and ``spill_folder`` of what is computed on this machine.
        engine: The plan's; it runs SQL that the staging kernel does not.
    """
    if plan.engine == "spark" and plan.python is None:
        return _EngineBody(plan, engine)
    return _KernelBody(plan, settings)
