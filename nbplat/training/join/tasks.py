"""From a plan to what the kernel is told of each unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from nbplat.remote.training.task import JoinFile, JoinTask, Side, WindowBounds
from nbplat.terms import SnapshotPin
from nbplat.training.join.plan import JoinPlan, PlanFile, PlanSide, Unit, UnitSide
from nbplat.training.join.ports import JoinSource
from nbplat.training.join.result_types import result_type
from nbplat.training.join.spec import Stage

__all__ = ["TaskMaker"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TaskMaker:
    """Makes the task of each unit; asks the source for schemas once and for deletes unit by unit.

    Args:
        dealt: Side's ref -> folders that its groups of staged rows were dealt to (see `PlanSide.dealt`).
    """

    def __init__(self, plan: JoinPlan, source: JoinSource, dealt: Mapping[str, Sequence[str]] | None = None) -> None:
        self.plan, self._source = plan, source
        self._columns = _serialized(source.schema(plan.base, [name for name, _ in plan.base_columns]))
        self._names = {number: list(known) for number, known in source.names(plan.base).items()}
        self._storage = dict(source.storage(plan.base))
        self._window = _window(plan)
        stages = plan.spec.stage
        self._sides = [
            self._side_maker(side, stage, (dealt or {}).get(side.ref, ()))
            for side, stage in zip(plan.sides, stages, strict=True)
        ]

    def task(self, unit: Unit) -> JoinTask:
        """The task of a unit.

        Raises:
            Conflict: a snapshot or a file of it is gone.
        """
        return JoinTask(
            unit=unit.name or "the whole table",
            files=self._recipes(self.plan.base, unit.files),
            columns=self._columns,
            names=self._names,
            storage=self._storage,
            keys=list(self.plan.keys),
            window=self._window,
            sides=[make(side) for make, side in zip(self._sides, unit.sides, strict=True)],
            output=list(self.plan.output),
        )

    def counting(self, unit: Unit) -> JoinTask:
        """A task that reads no more than it takes to learn which rows of a unit are live and inside the dates."""
        return self.bare(unit, (self.plan.time or self.plan.base_columns[0][0],))

    def bare(self, unit: Unit, columns: Sequence[str]) -> JoinTask:
        """A task that gives some base columns of the unit's rows, in the order of the rows, and joins nothing."""
        read = dict.fromkeys([*columns, *([self.plan.time] if self.plan.time else [])])
        schema = _serialized(self._source.schema(self.plan.base, list(read)))
        return JoinTask(**{**self.task(unit), "columns": schema, "keys": [], "sides": [], "output": list(columns)})

    def _recipes(self, pin: SnapshotPin, files: Sequence[PlanFile | None]) -> list[JoinFile]:
        wanted = [file for file in files if file is not None]
        recipes = self._source.recipes(pin, [file.path for file in wanted])
        for file, recipe in zip(wanted, recipes, strict=True):
            if file.groups is not None:
                recipe["groups"] = list(file.groups)
        return recipes

    def _side_maker(self, side: PlanSide, stage: Stage, folders: Sequence[str]) -> Callable[[UnitSide], Side]:
        types = pa.schema([pa.field(value.name, result_type(value.kind)) for value in side.values])
        kinds = {value.name: value.kind for value in side.values}
        plain = pa.schema([pa.field(value.column, result_type(value.kind), nullable=False) for value in side.values])
        values = [[value.column, value.name] for value in side.values]
        pin, base = side.pin, self.plan.base
        keyed, names, storage = b"", {}, self._storage
        if pin is not None:
            read = dict.fromkeys([*side.keys, *([stage.order_by] if stage.order_by else []), *(v[0] for v in values)])
            keyed = _serialized(self._source.schema(pin, list(read)))
            names = {number: list(known) for number, known in self._source.names(pin).items()}
            storage = dict(self._source.storage(pin))
        marked = Side(
            ref=side.ref,
            how="absent",
            files=[],
            folder="",
            columns=b"",
            names=names,
            by_name=False,
            storage=storage,
            keys=list(side.keys),
            values=values,
            types=_serialized(types),
            present=list(stage.present),
            fill={name: _fill(kinds[name], value) for name, value in stage.fill.items()},
            duplicates=stage.duplicates,
            order=stage.order_by,
        )

        def make(unit: UnitSide) -> Side:
            found = Side(**{**marked, "how": unit.how})
            if unit.how == "merge":
                assert pin is not None  # noqa: S101 - a side that is merged has a table
                found["files"] = self._recipes(pin, unit.files)
                found["columns"] = keyed
            elif unit.how == "dealt":
                found["folder"], found["columns"] = folders[unit.group], keyed
            elif unit.how == "base":
                found["files"] = [None if file is None else _staged(file) for file in unit.files]
            elif unit.how == "aligned":
                found["files"] = [None if file is None else _staged(file) for file in unit.files]
                # Staged files of a run are opened as the base's are, and hold the columns by name.
                found["columns"], found["by_name"] = _serialized(plain), True
                found["storage"] = dict(self._source.storage(base))
            return found

        return make


def _staged(file: PlanFile) -> JoinFile:
    return JoinFile(path=file.path, rows=file.rows, constants={}, deleted=b"", dense=file.dense)


def _fill(kind: str, value: Any) -> Any:
    return float("nan") if value == "nan" and kind in ("float", "double") else value


def _serialized(schema: pa.Schema) -> bytes:
    return bytes(schema.serialize().to_pybytes())


def _window(plan: JoinPlan) -> WindowBounds | None:
    if not plan.time:
        return None
    return WindowBounds(column=plan.time, start=_micros(plan.spec.dates.start), end=_micros(plan.spec.dates.end))


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)
