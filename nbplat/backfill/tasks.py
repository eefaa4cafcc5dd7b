"""From a plan to what the staging kernel is told: tasks over some units, and the sources they share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from nbplat.backfill.body import BASE, engine_name
from nbplat.backfill.failures import our_errors
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import FileRead, Tables
from nbplat.backfill.types import arrow_schema
from nbplat.remote.read import read_live
from nbplat.remote.task import FileTask, Task, WindowBounds
from nbplat.terms import file_location

__all__ = ["file_task", "task_maker", "written_sources"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def task_maker(
    plan: BackfillPlan,
    tables: Tables,
    *,
    run_id: str,
    out: str,
    sources: Mapping[str, str],
    settings: Mapping[str, Any],
    keys_unique: bool,
    hand_keys: bool = False,
) -> Callable[[Mapping[str, int]], Task]:
    """A function from unit ids, with their fences, to the task that stages them.

    For a body that is not row-wise the task holds every unit that must be seen with those asked for (the
    plan's groups); the others have the fence 0 and are read only.

    Args:
        out: Folder for staged files.
        sources: As `written_sources` gives it.
        settings: Threads, memory and spill folder of one task.
        keys_unique: True when the keys of the planned files are known to be unique.
        hand_keys: True when the results are to carry the keys.
    """
    columns = tables.schema(plan.base, plan.base_columns).remove_metadata().serialize().to_pybytes()
    new = arrow_schema({column.name: column.type for column in plan.columns}).serialize().to_pybytes()
    names = {number: list(known) for number, known in tables.names(plan.base).items()}
    storage = dict(tables.storage(plan.base))
    units = {unit.id: unit for unit in plan.units}

    def make(fences: Mapping[str, int]) -> Task:
        wanted = [units[unit_id] for unit_id in (fences if plan.row_wise else _seen_with(plan, fences))]
        reads = tables.reads(plan.base, [unit.path for unit in wanted])
        return Task(
            run=run_id,
            out=out,
            storage=storage,
            files=[file_task(read, unit.id, fences.get(unit.id, 0)) for read, unit in zip(reads, wanted, strict=True)],
            columns=columns,
            names=names,
            sources=dict(sources),
            body=plan.body,
            base=engine_name(BASE),
            whole=not plan.row_wise,
            keys=list(plan.keys),
            keys_unique=keys_unique,
            hand_keys=hand_keys,
            kept=[name for name in plan.base_columns if name in plan.partition_columns],
            new=new,
            window=_bounds(plan),
            replace=[column.name for column in plan.columns if column.name in plan.base_columns],
            settings=dict(settings),
        )

    return make


def _seen_with(plan: BackfillPlan, wanted: Collection[str]) -> list[str]:
    """Units that must be seen together with the wanted ones, in path order."""
    groups = [group for group in plan.groups if not set(group).isdisjoint(wanted)]
    return sorted(unit_id for group in groups for unit_id in group)


def file_task(read: FileRead, unit: str = "", fence: int = 0) -> FileTask:
    """What the kernel is told of a file."""
    return FileTask(
        unit=unit,
        fence=fence,
        path=read.path,
        rows=read.rows,
        constants=dict(read.constants),
        deleted=read.deleted,
    )


@contextmanager
def written_sources(plan: BackfillPlan, tables: Tables, folder: Path) -> Iterator[dict[str, str]]:
    """Every source at its pin, read once, as an Arrow file that tasks map into memory; gone at the end.

    One data file is in memory at a time.

    Args:
        folder: Of this job alone; what an earlier try left in it is replaced.

    Yields:
        The name an engine knows the source by -> the file's location.

    Raises:
        NbplatError: what reading a source breaks.
    """
    shutil.rmtree(folder, ignore_errors=True)
    written = {}
    try:
        for source in plan.sources:
            folder.mkdir(parents=True, exist_ok=True)
            name = engine_name(source.pin.table)
            path = folder / f"{name}.arrow"
            with our_errors():
                _write_source(tables, source.pin, source.columns, path)
            written[name] = file_location(path)
        yield written
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_source(tables: Tables, pin: Any, columns: tuple[str, ...], path: Path) -> None:
    schema = tables.schema(pin, columns)
    names, storage = tables.names(pin), tables.storage(pin)
    plain = pa.schema([pa.field(field.name, field.type) for field in schema])
    with path.open("wb") as sink, pyarrow.ipc.new_file(sink, plain) as writer:
        for read in tables.reads(pin):
            writer.write_table(read_live(file_task(read), schema, names, storage).table)


def _bounds(plan: BackfillPlan) -> WindowBounds | None:
    if plan.window.unbounded or plan.time_column is None:
        return None
    return WindowBounds(column=plan.time_column, start=_micros(plan.window.start), end=_micros(plan.window.end))


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)
