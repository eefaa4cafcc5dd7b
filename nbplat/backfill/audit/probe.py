"""The leak probe: compute sampled rows again from what was known at their as-of time.

One run of the body per distinct as-of time, over the sampled rows of that time and every source cut
to the rows before it. A source is sorted by its time once, so that a cut is a slice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nbplat.backfill.audit.inside import inside, micros
from nbplat.backfill.audit.matching import positions
from nbplat.backfill.audit.subject import Subject
from nbplat.backfill.body import BASE
from nbplat.backfill.compare import unequal_rows
from nbplat.backfill.plan import UnitPlan

__all__ = ["LeakCase", "LeakProbe", "Probed"]

_UNITS = 8
_BLAMED = 3
_NEVER = np.iinfo(np.int64).max

Mask = npt.NDArray[np.bool_]
Micros = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LeakCase:
    """One value that is other than what was known.

    Attributes:
        key: ``id=5``.
        as_of: The row's as-of time, ISO.
        staged, known: The staged value, and the one from cut sources; ``no row`` when the body gives none.
        sources: Which of the sources, cut alone, change the value; filled for the first cases only.
    """

    column: str
    key: str
    as_of: str
    staged: str
    known: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probed:
    """What the probe has seen.

    Attributes:
        rows, times: Sampled rows and their distinct as-of times.
        without_time: Sampled rows without an as-of time, which cannot be probed.
    """

    rows: int
    times: int
    without_time: int
    cases: tuple[LeakCase, ...]


@dataclass(frozen=True, slots=True)
class LeakProbe:
    """Probes one run.

    Attributes:
        as_of: The base column with the as-of times.
        rows, times: Bounds of the sample.
    """

    subject: Subject
    as_of: str
    rows: int
    times: int
    tolerance: float

    def run(self) -> Probed:
        """Sample, compute again, compare.

        Raises:
            DataError: when the body fails on cut sources.
        """
        plan = self.subject.plan
        sample, missing = self._sample()
        cut = {
            source.pin.table: _Cut.of(self._read_source(source.pin.table), self.subject.source_times[source.pin.table])
            for source in plan.sources
            if source.pin.table in self.subject.source_times
        }
        if not plan.row_wise:
            # Other rows of base are looked at as well: they are known up to the row's own time.
            cut[BASE] = _Cut.of(self._whole_base(), self.as_of)
        whole = {s.pin.table: self._read_source(s.pin.table) for s in plan.sources if s.pin.table not in cut}
        moments = micros(sample[self.as_of]) if sample.num_rows else np.empty(0, np.int64)
        cases: list[LeakCase] = []
        times = np.unique(moments)
        for moment in times:
            rows = sample.filter(pa.array(moments == moment))
            known = self._known(rows, int(moment), cut, whole, cut)
            found = self._compare(rows, known)
            if found and len(cases) < _BLAMED:
                found = self._blame(rows, int(moment), cut, whole, found)
            cases += found
        return Probed(sample.num_rows, len(times), missing, tuple(cases))

    def _sample(self) -> tuple[pa.Table, int]:
        """Rows of base with their staged values, and how many were left out for want of a time."""
        subject, plan, random = self.subject, self.subject.plan, self.subject.seed()
        units = [unit for unit in plan.units if unit.rows and subject.staged_of(unit)]
        chosen = sorted(random.permutation(len(units))[:_UNITS])
        share = -(-self.rows // max(1, len(chosen)))
        parts, missing = [], 0
        for place in chosen:
            rows = self._unit_rows(units[place])
            rows = rows.take(pa.array(np.sort(random.permutation(rows.num_rows)[:share])))
            timed = rows.filter(pa.array(micros(rows[self.as_of]) != _NEVER))
            missing += rows.num_rows - timed.num_rows
            parts.append(timed)
        if not parts:
            return pa.table({}), 0
        sample = pa.concat_tables(parts).slice(0, self.rows)
        moments = micros(sample[self.as_of])
        times = np.unique(moments)
        if len(times) > self.times:
            times = random.permutation(times)[: self.times]
            sample = sample.filter(pa.array(np.isin(moments, times)))
        return sample, missing

    def _unit_rows(self, unit: UnitPlan) -> pa.Table:
        """A unit's rows inside the window, staged values beside them as ``staged.<column>``."""
        plan = self.subject.plan
        time = (plan.time_column,) if plan.time_column and not plan.window.unbounded else ()
        rows = self.subject.read_base(unit, (*plan.base_columns, *time, self.as_of))
        file = self.subject.staged_of(unit)
        if file is not None:
            staged = self.subject.writer.read(file, list(self.subject.columns))
            for name in self.subject.columns:
                rows = rows.append_column(_staged(name), staged[name])
        return rows.filter(pa.array(inside(rows[time[0]], plan.window))) if time else rows

    def _whole_base(self) -> pa.Table:
        plan = self.subject.plan
        parts = [self._unit_rows(unit) for unit in plan.units]
        drop = [_staged(name) for name in self.subject.columns]
        return pa.concat_tables([part.drop_columns(drop) for part in parts])

    def _read_source(self, table: str) -> pa.Table:
        [source] = [source for source in self.subject.plan.sources if source.pin.table == table]
        time = self.subject.source_times.get(table)
        return self.subject.read_source(source.pin, (*source.columns, *((time,) if time else ())))

    def _known(
        self,
        rows: pa.Table,
        moment: int,
        cut: Mapping[str, _Cut],
        whole: Mapping[str, pa.Table],
        to_cut: Collection[str],
    ) -> pa.Table:
        """The body over these rows, the named tables cut at the moment: in their order, null where it gives no row."""
        plan = self.subject.plan
        sources = {
            name: table.before(moment) if name in to_cut else table.rows for name, table in cut.items() if name != BASE
        }
        base = rows
        if BASE in cut:
            base = cut[BASE].until(moment) if BASE in to_cut else cut[BASE].rows
        result = self.subject.body.rows(base.select(list(plan.base_columns)), {**sources, **whole})
        at = positions(rows.select(list(plan.keys)), result.select(list(plan.keys)))
        found = result.select(list(self.subject.columns)).take(pa.array(at, mask=at < 0))
        return found.append_column(_FOUND, pa.array(at >= 0))

    def _compare(self, rows: pa.Table, known: pa.Table) -> list[LeakCase]:
        cases = []
        for name in self.subject.columns:
            staged, again = rows[_staged(name)].combine_chunks(), known[name].combine_chunks()
            wrong = unequal_rows(staged, again, tolerance=self.tolerance) | ~_bools(known[_FOUND])
            cases += [self._case(name, rows, known, int(row)) for row in np.flatnonzero(wrong)]
        return cases

    def _case(self, name: str, rows: pa.Table, known: pa.Table, row: int) -> LeakCase:
        key = rows.select(list(self.subject.plan.keys)).slice(row, 1).to_pylist()[0]
        return LeakCase(
            name,
            ", ".join(f"{column}={value}" for column, value in key.items()),
            _moment(rows[self.as_of][row].as_py()),
            str(rows[_staged(name)][row].as_py()),
            str(known[name][row].as_py()) if known[_FOUND][row].as_py() else "no row",
        )

    def _blame(
        self,
        rows: pa.Table,
        moment: int,
        cut: Mapping[str, _Cut],
        whole: Mapping[str, pa.Table],
        found: Sequence[LeakCase],
    ) -> list[LeakCase]:
        """Cut one table at a time, and name those that change a value by themselves."""
        blamed: dict[tuple[str, str], list[str]] = {}
        for table in cut:
            alone = found if len(cut) == 1 else self._compare(rows, self._known(rows, moment, cut, whole, [table]))
            for case in alone:
                blamed.setdefault((case.column, case.key), []).append(table)
        return [
            LeakCase(c.column, c.key, c.as_of, c.staged, c.known, tuple(blamed.get((c.column, c.key), ())))
            for c in found
        ]


@dataclass(frozen=True, slots=True)
class _Cut:
    """A table in the order of its time, so that what was known at a moment is a prefix of it."""

    rows: pa.Table
    moments: Micros

    @classmethod
    def of(cls, rows: pa.Table, time: str) -> _Cut:
        moments = micros(rows[time])
        order = np.argsort(moments, kind="stable")
        return cls(rows.take(pa.array(order)), moments[order])

    def before(self, moment: int) -> pa.Table:
        """Rows with an earlier time; a row without a time is never known."""
        return self.rows.slice(0, int(np.searchsorted(self.moments, moment, side="left")))

    def until(self, moment: int) -> pa.Table:
        """Rows with an earlier time or the same."""
        return self.rows.slice(0, int(np.searchsorted(self.moments, moment, side="right")))


_FOUND = "nb_found"


def _staged(column: str) -> str:
    # A dot cannot stand in the name of a top-level column of base.
    return f"staged.{column}"


def _bools(values: Any) -> Mask:
    return np.asarray(values.to_numpy(), dtype=np.bool_)


def _moment(value: dt.date | dt.datetime) -> str:
    return value.isoformat()
