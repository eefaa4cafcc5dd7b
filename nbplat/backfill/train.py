"""A promotion train: several runs of one table, landed in one pass over its files and published in one commit."""

from __future__ import annotations

from collections.abc import Sequence

from nbplat.backfill.plan import BackfillPlan
from nbplat.errors import Conflict, RequestError
from nbplat.job import Run

__all__ = ["refuse_train"]


def refuse_train(runs: Sequence[Run], plans: Sequence[BackfillPlan]) -> None:
    """Return when the runs can go together: they are of one table and make different columns.

    Raises:
        RequestError: ``train.doubled``, ``train.tables``.
        Conflict: ``train.column``.
    """
    if len({run.id for run in runs}) < len(runs):
        raise RequestError("train.doubled", "a run is named twice", fix="name each run once")
    if len({plan.base.table_uuid for plan in plans}) > 1:
        tables = ", ".join(sorted({plan.base.table for plan in plans}))
        raise RequestError("train.tables", f"the runs are of several tables: {tables}", fix="promote table by table")
    makers: dict[str, str] = {}
    for run, plan in zip(runs, plans, strict=True):
        for column in plan.columns:
            other = makers.setdefault(column.name.lower(), run.id)
            if other != run.id:
                raise Conflict(
                    "train.column",
                    f"{other} and {run.id} both make {column.name}",
                    fix="promote one of them; roll the other back",
                )
