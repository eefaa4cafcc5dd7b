"""The body of a plan over some of its units in this process, without writing: the plan's sample, checks, tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pyarrow as pa

from nbplat.backfill.body import BASE, engine_name
from nbplat.backfill.dialect import to_duckdb
from nbplat.backfill.failures import our_errors
from nbplat.backfill.plan import BackfillPlan, UnitPlan
from nbplat.backfill.ports import Tables
from nbplat.backfill.tasks import file_task, task_maker, written_sources
from nbplat.backfill.types import from_arrow, spark_type
from nbplat.errors import RequestError
from nbplat.remote import kernel
from nbplat.remote.keys import check_keys as check_files
from nbplat.remote.scratch_folder import ScratchFolder
from nbplat.remote.task import Task

__all__ = ["check_keys", "compute", "here", "probe"]


def here(plan: BackfillPlan, tables: Tables) -> BackfillPlan | None:
    """The plan with a query that this process can run; None when its body is outside the local SQL subset.

    A plan for Spark keeps its body in Spark SQL; inside the subset the same body gives the same here.
    """
    if plan.engine != "spark" or plan.python is not None:
        return plan
    pins = [(BASE, plan.base, plan.base_columns), *((s.pin.table, s.pin, s.columns) for s in plan.sources)]
    types = {
        engine_name(name): {field.name: _spark_type(field) for field in tables.schema(pin, columns)}
        for name, pin, columns in pins
    }
    try:
        return replace(plan, query=to_duckdb(plan.query, types))
    except RequestError:
        return None


def _spark_type(field: pa.Field) -> str:
    try:
        return spark_type(from_arrow(field.type))
    except RequestError:
        return "binary"  # nothing computes with it, see `spark_type`


def compute(
    plan: BackfillPlan, tables: Tables, units: Sequence[UnitPlan], settings: Mapping[str, Any]
) -> list[pa.Table]:
    """Run the body over some units.

    Args:
        settings: ``threads``, ``memory_bytes`` and ``spill_folder``.

    Returns:
        Per unit what its staged file would hold: keys, partition sources and new columns, one row per
        live base row in file order.

    Raises:
        NbplatError: what the body or a file breaks (see `nbplat.remote.kernel.stage`); ``body.outside``, a
            body that only Spark computes.
    """
    runnable = here(plan, tables)
    if runnable is None:
        raise RequestError(
            "body.outside",
            "the body is outside the local SQL subset, so only Spark computes it",
            fix="audit with Spark",
        )
    with _task(runnable, tables, units, settings) as task, our_errors():
        return [columns for _, columns in kernel.compute(task)]


def probe(plan: BackfillPlan, tables: Tables, settings: Mapping[str, Any]) -> tuple[int, int]:
    """Run the middle-sized unit without writing anything.

    Returns:
        Its rows, and the bytes its staged file would have. For a body over the whole window the
        rows and bytes of that unit, after the body ran over all.
    """
    unit = sorted(plan.units, key=lambda unit: unit.rows)[len(plan.units) // 2]
    with _task(plan, tables, [unit], settings) as task, our_errors():
        return kernel.probe(task)


def check_keys(plan: BackfillPlan, tables: Tables, settings: Mapping[str, Any]) -> int:
    """Read the key columns of every unit and make sure that they identify a row; returns the rows read.

    Raises:
        DataError: ``key.duplicate`` or ``key.null``, naming values.
    """
    reads = tables.reads(plan.base, [unit.path for unit in plan.units])
    with our_errors():
        return check_files(
            [file_task(read) for read in reads],
            tables.schema(plan.base, plan.keys),
            tables.names(plan.base),
            tables.storage(plan.base),
            settings,
        )


@contextmanager
def _task(plan: BackfillPlan, tables: Tables, units: Sequence[UnitPlan], settings: Mapping[str, Any]) -> Iterator[Task]:
    with (
        ScratchFolder(None, "nbplat-sources-") as folder,
        written_sources(plan, tables, folder / "sources") as sources,
    ):
        make = task_maker(
            plan, tables, run_id="", out="", sources=sources, settings=settings, keys_unique=plan.keys_checked
        )
        yield make({unit.id: 1 for unit in units})
