"""Run a body again over chosen rows: what determinism and the leak probe compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from nbplat.backfill.body import BASE, engine_name
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import Engine, PythonBodies
from nbplat.backfill.types import arrow_type
from nbplat.errors import DataError
from nbplat.remote.cast import CastError, cast_column

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
        return _typed(self.plan, self.engine.run(self.plan.query, {engine_name(BASE): base, **tables}))


@dataclass(frozen=True, slots=True)
class _PythonBody:
    plan: BackfillPlan
    record: dict[str, Any]
    bodies: PythonBodies

    @property
    def any_order(self) -> bool:
        return False

    def rows(self, base: pa.Table, sources: Mapping[str, pa.Table]) -> pa.Table:
        return _typed(self.plan, self.bodies.run(self.record, base))


def body_of(plan: BackfillPlan, engine: Engine, bodies: PythonBodies) -> Recompute:
    """The body of a plan, in whichever language it is."""
    if plan.python is not None:
        # A record of its own gets an interpreter of its own, which has kept nothing of the staging.
        return _PythonBody(plan, {**plan.python, "purpose": "audit"}, bodies)
    return _SqlBody(plan, engine)


def _typed(plan: BackfillPlan, result: pa.Table) -> pa.Table:
    """The new columns in their planned types, as staging casts them."""
    columns = {key: result[key] for key in plan.keys}
    for column in plan.columns:
        try:
            columns[column.name] = cast_column(result[column.name], arrow_type(column.type))
        except CastError as exc:
            raise DataError(
                "body.overflow", f"a value of {column.name} does not fit {column.type}: {exc}", fix="cast to double"
            ) from None
    return pa.table(columns)
