"""Run a body again over chosen rows: what determinism and the leak probe compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from nbplat.backfill.body import BASE, engine_name
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import Engine

__all__ = ["Recompute", "body_of"]


class Recompute(Protocol):
    """The body of a plan as a function of tables."""

    @property
    def any_order(self) -> bool:
        """True when rows may be handed over in any order: always for SQL, whose tables have none."""

    def rows(self, base: pa.Table, sources: Mapping[str, pa.Table]) -> pa.Table:
        """The body's result over these rows: keys and new columns, in any order.

        Args:
            base: Rows of the base table with at least the plan's base columns.
            sources: By full table name.

        Raises:
            DataError: what the data makes impossible.
        """


@dataclass(frozen=True, slots=True)
class _SqlBody:
    plan: BackfillPlan
    engine: Engine

    @property
    def any_order(self) -> bool:
        return True

    def rows(self, base: pa.Table, sources: Mapping[str, pa.Table]) -> pa.Table:
        tables = {engine_name(name): table for name, table in sources.items()}
        return self.engine.run(self.plan.query, {engine_name(BASE): base, **tables})


def body_of(plan: BackfillPlan, engine: Engine) -> Recompute:
    """The body as the plan's engine runs it."""
    return _SqlBody(plan, engine)
