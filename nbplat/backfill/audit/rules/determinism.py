from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nbplat.backfill.audit.finding import Level, Threshold, Verdict
from nbplat.backfill.audit.inside import inside
from nbplat.backfill.audit.matching import positions
from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.settings import Limits
from nbplat.backfill.audit.subject import MAX_BYTES, Subject
from nbplat.backfill.compare import unequal_rows
from nbplat.backfill.plan import UnitPlan
from nbplat.errors import DataError, NbplatError

__all__ = ["Determinism"]


class Determinism(Rule):
    """The largest unit, computed again with its rows handed over otherwise, has the same values."""

    code = "determinism"
    title = "The largest unit gives the same values again: SQL with rows in reverse order, Python in two other batches."
    why = "A result that depends on row order or chance cannot be extended, rolled forward or explained."
    example = "row_number() OVER (PARTITION BY customer ORDER BY day) where a day has two orders."
    fix = "break ties: ORDER BY a unique column as well; seed what is random"
    level = Level.BLOCK
    thresholds = (
        Threshold("tolerance", 1e-9, "relative", "the difference of doubles that the order of adding explains"),
        MAX_BYTES,
    )

    def judge(self, subject: Subject, limits: Limits) -> Iterator[Verdict]:
        plan = subject.plan
        if (held := subject.held_bytes) > limits.number("max_bytes"):
            message = f"not computed again: {held:,} stored bytes would be held in memory (determinism.max_bytes)"
            yield Verdict("", False, message, unknown=True)
            return
        unit = max(plan.units, key=lambda unit: unit.rows)
        staged = subject.staged_of(unit)
        if staged is None:
            return
        keys, mask, window = self._rows(subject, unit)
        try:
            again = self._again(subject, window)
        except NbplatError as error:
            # What the machine or another system failed at says nothing of the body.
            unknown = not isinstance(error, DataError)
            for name in subject.columns:
                message = f"computing {unit.rows} rows again failed: {error.message}"
                yield Verdict(name, False, message, unknown=unknown)
            return
        before = subject.writer.read(staged, list(subject.columns))
        if before.num_rows != len(mask):
            return  # the rule on rows says so
        at = positions(keys.filter(pa.array(mask)), again.select(list(plan.keys)))
        for name in subject.columns:
            wanted = before[name].filter(pa.array(mask)).combine_chunks()
            found = again[name].take(pa.array(at, mask=at < 0)).combine_chunks()
            wrong = unequal_rows(wanted, found, tolerance=limits.number("tolerance", name)) | (at < 0)
            count = int(wrong.sum())
            if not count:
                message = f"{len(at)} rows computed again are equal"
                yield Verdict(name, True, message, 0.0, 0.0)
                continue
            row = int(np.flatnonzero(wrong)[0])
            key = keys.filter(pa.array(mask)).slice(row, 1).to_pylist()[0]
            message = (
                f"{count} of {len(at)} rows computed again differ, e.g. {_words(key)}:"
                f" {wanted[row].as_py()} then {found[row].as_py()}"
            )
            yield Verdict(name, False, message, float(count), 0.0)

    def _again(self, subject: Subject, window: pa.Table) -> pa.Table:
        """The body over the same rows: an order means nothing to SQL, and a batch nothing to a row-wise function."""
        plan, body = subject.plan, subject.body
        sources = {source.pin.table: subject.read_source(source.pin, source.columns) for source in plan.sources}
        if body.any_order:
            return body.rows(_reversed(window), {name: _reversed(rows) for name, rows in sources.items()})
        half = window.num_rows // 2
        if not plan.row_wise or not half:
            return body.rows(window, sources)
        return pa.concat_tables([body.rows(window.slice(0, half), sources), body.rows(window.slice(half), sources)])

    def _rows(self, subject: Subject, unit: UnitPlan) -> tuple[pa.Table, npt.NDArray[np.bool_], pa.Table]:
        """The unit's keys, which of its rows are inside the window, and the rows the body runs over."""
        plan = subject.plan
        # A body that is not row-wise sees the whole window.
        units = [unit] if plan.row_wise else list(plan.units)
        parts = []
        keys, mask = pa.table({}), np.ones(0, dtype=bool)
        for each in units:
            rows = subject.read_base(each, plan.base_columns)
            kept = np.ones(rows.num_rows, dtype=bool)
            if plan.time_column is not None and not plan.window.unbounded:
                kept = inside(rows[plan.time_column], plan.window)
            if each.path == unit.path:
                keys, mask = rows.select(list(plan.keys)), kept
            parts.append(rows.filter(pa.array(kept)))
        return keys, mask, pa.concat_tables(parts)


def _reversed(rows: pa.Table) -> pa.Table:
    return rows.take(pa.array(np.arange(rows.num_rows)[::-1]))


def _words(key: dict[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in key.items())
