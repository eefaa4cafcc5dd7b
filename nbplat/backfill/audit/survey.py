"""One pass over all files of a staged run, one file in memory at a time, into counts that merge."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nbplat.backfill.audit.inside import inside
from nbplat.backfill.audit.matching import Hashes, hash_rows
from nbplat.backfill.audit.measures import Measure, measures, type_text
from nbplat.backfill.audit.sketch import Scale, Sketch
from nbplat.backfill.plan import BackfillPlan, UnitPlan
from nbplat.backfill.ports import StagedWriter, Tables
from nbplat.errors import DataError
from nbplat.remote.align import key_digest
from nbplat.terms import StagedFile

__all__ = ["FileFacts", "MeasureCounts", "Survey", "take_survey"]

_SCALE_FILES = 8
_SCALE_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What one staged file is, beside its base file.

    Attributes:
        label: Its time partition, ``2011-03``; empty when the table has none.
        rows, base_rows: Staged rows, and live rows of the base file.
        planned: False when the plan has no such base file; nothing of the base was then read.
        digest, base_digest: Of the keys in order, as they are in the files now.
        types: Column -> type in the staged file.
    """

    path: str
    label: str
    rows: int
    base_rows: int
    planned: bool
    recorded_digest: str
    digest: str
    base_digest: str
    types: dict[str, str]


@dataclass(slots=True)
class MeasureCounts:
    """The sketches of one measure of a new column.

    Attributes:
        column: The top-level column.
        role: As in `Measure`.
        whole: Over all rows inside the window; the only one that keeps distinct values.
        dates: Time partition -> sketch, in order of appearance.
        before: The live values that a replaced column has; None for a new one.
    """

    column: str
    role: str
    scale: Scale
    whole: Sketch
    dates: dict[str, Sketch] = field(default_factory=dict)
    before: Sketch | None = None

    @classmethod
    def empty(cls, column: str, role: str, scale: Scale) -> MeasureCounts:
        """Nothing counted yet."""
        return cls(column, role, scale, Sketch(scale))

    def add(self, label: str, sketch: Sketch) -> None:
        """Count rows of a time partition."""
        self.whole.add(sketch)
        sketch.distinct = None
        if label in self.dates:
            self.dates[label].add(sketch)
        else:
            self.dates[label] = sketch

    @property
    def timeline(self) -> list[tuple[str, Sketch]]:
        """Partitions of time in order, those without a date left out."""
        return sorted((label, sketch) for label, sketch in self.dates.items() if label and label != "null")


@dataclass(frozen=True, slots=True)
class Survey:
    """What the pass has seen.

    Attributes:
        measures: By name (``spend``, ``emb.norm``).
        columns: Top-level column -> sketch of its nulls alone (rows and nulls are filled).
        hashes: Of every key, when there are few enough to keep; None beyond that.
        outside_rows: Rows outside the window; they hold null, or the old value of a replaced column.
    """

    files: tuple[FileFacts, ...]
    measures: dict[str, MeasureCounts]
    columns: dict[str, MeasureCounts]
    hashes: Hashes | None
    outside_rows: int


def take_survey(
    plan: BackfillPlan,
    staged: Sequence[StagedFile],
    tables: Tables,
    writer: StagedWriter,
    *,
    keep_hashes: int,
    replaced: Sequence[str] = (),
    show: Callable[[], None] = lambda: None,
) -> Survey:
    """Read every staged file once, with the keys of its base file.

    Args:
        keep_hashes: Keep the hashes of the keys up to this many rows.
        replaced: New columns that the base has already; their old values are counted too.
        show: Called after each file.
    """
    units = {unit.path: unit for unit in plan.units}
    reader = _Reader(plan, tables, writer, tuple(replaced))
    found: dict[str, MeasureCounts] = {}
    columns: dict[str, MeasureCounts] = {}
    for name, measure in reader.samples(staged, units):
        found[measure.name] = MeasureCounts.empty(name, measure.role, Scale.of(measure.values))
    facts: list[FileFacts] = []
    hashes: list[Hashes] = []
    kept = sum(file.rows for file in staged) <= keep_hashes
    outside = 0
    for file in staged:
        view = reader.file(file, units.get(file.base_path))
        facts.append(view.facts)
        if kept:
            hashes.append(hash_rows(view.keys))
        outside += view.outside_rows
        for name, values in view.after.items():
            nulls = columns.setdefault(name, MeasureCounts.empty(name, "value", _NO_SCALE))
            nulls.add(view.facts.label, Sketch(_NO_SCALE, rows=len(values), nulls=values.null_count))
            for measure in measures(name, values):
                counts = found.get(measure.name)
                if counts is None:
                    # Only where types differ between files, which the rule on types reports.
                    counts = found[measure.name] = MeasureCounts.empty(name, measure.role, Scale.of(measure.values))
                if _fits(measure, counts):
                    counts.add(view.facts.label, Sketch.count(measure.values, counts.scale))
        for name, values in view.before.items():
            for measure in measures(name, values):
                if (counts := found.get(measure.name)) is not None and _fits(measure, counts):
                    counts.before = counts.before or Sketch(counts.scale)
                    counts.before.add(Sketch.count(measure.values, counts.scale))
        show()
    return Survey(tuple(facts), found, columns, np.concatenate(hashes) if hashes else None, outside)


_NO_SCALE = Scale("category", np.empty(0), np.empty(0))


@dataclass(frozen=True, slots=True)
class _View:
    facts: FileFacts
    keys: pa.Table
    after: dict[str, pa.Array]
    before: dict[str, pa.Array]
    outside_rows: int


@dataclass(frozen=True, slots=True)
class _Reader:
    plan: BackfillPlan
    tables: Tables
    writer: StagedWriter
    replaced: tuple[str, ...]

    @property
    def windowed(self) -> bool:
        return self.plan.time_column is not None and not self.plan.window.unbounded

    def file(self, file: StagedFile, unit: UnitPlan | None) -> _View:
        plan = self.plan
        keys, new = list(plan.keys), [column.name for column in plan.columns]
        staged = self._staged(file, [*keys, *new])
        base = self._base(unit, [*keys, *self.replaced]) if unit else staged.slice(0, 0).select(keys)
        mask = self._mask(base, staged.num_rows)
        facts = FileFacts(
            path=file.base_path,
            label=_label(plan, unit),
            rows=staged.num_rows,
            base_rows=base.num_rows,
            planned=unit is not None,
            recorded_digest=file.key_digest,
            digest=key_digest(staged.select(keys)),
            base_digest=key_digest(base.select(keys)) if unit else "",
            types={name: type_text(staged.schema.field(name).type) for name in new},
        )
        after = {name: _cut(staged[name], mask) for name in new}
        before = {name: _cut(base[name], mask) for name in self.replaced} if unit else {}
        return _View(facts, staged.select(keys), after, before, 0 if mask is None else int((~mask).sum()))

    def samples(self, staged: Sequence[StagedFile], units: dict[str, UnitPlan]) -> Iterator[tuple[str, Measure]]:
        """Each measure over rows of up to eight files, evenly spread, to set its scale by."""
        new = [column.name for column in self.plan.columns]
        parts = []
        for place in np.unique(np.linspace(0, len(staged) - 1, _SCALE_FILES).astype(int)) if staged else []:
            file = staged[place]
            rows = self._staged(file, new)
            unit = units.get(file.base_path)
            if self.windowed and unit is not None:
                mask = self._mask(self._base(unit, []), rows.num_rows)
                rows = rows.filter(pa.array(mask)) if mask is not None else rows
            stride = max(1, -(-rows.num_rows // _SCALE_ROWS))
            parts.append(rows.take(pa.array(np.arange(0, rows.num_rows, stride))))
        for name in new:
            kind = parts[0].schema.field(name).type if parts else pa.null()
            alike = [part[name] for part in parts if part.schema.field(name).type == kind]
            whole = pa.chunked_array([chunk for column in alike for chunk in column.chunks], type=kind)
            for measure in measures(name, _whole(whole)):
                yield name, measure

    def _staged(self, file: StagedFile, columns: list[str]) -> pa.Table:
        try:
            return self.writer.read(file, columns)
        except (OSError, pa.ArrowException) as exc:
            raise DataError(
                "audit.staged_file",
                f"a staged file cannot be read: {str(exc).splitlines()[0]}",
                fix="stage again: run the cell with --new",
                where=file.path,
            ) from None

    def _base(self, unit: UnitPlan, columns: list[str]) -> pa.Table:
        time = [self.plan.time_column] if self.windowed and self.plan.time_column else []
        return self.tables.read(self.plan.base, list(dict.fromkeys([*columns, *time])), paths=[unit.path])

    def _mask(self, base: pa.Table, rows: int) -> npt.NDArray[np.bool_] | None:
        """Rows inside the window; None means all, or that base and staged rows cannot be laid side by side."""
        if not self.windowed or self.plan.time_column is None or base.num_rows != rows:
            return None
        return inside(base[self.plan.time_column], self.plan.window)


def _fits(measure: Measure, counts: MeasureCounts) -> bool:
    """False where a file's type has drifted so far that its values cannot go into the column's bins."""
    return Scale.kind_of(measure.values.type) == counts.scale.kind


def _cut(column: pa.ChunkedArray, mask: npt.NDArray[np.bool_] | None) -> pa.Array:
    whole = _whole(column)
    return whole if mask is None else whole.filter(pa.array(mask))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)


_DATE = re.compile(r"\d{4}(-\d{2}){0,3}")
_TIME_TRANSFORM = re.compile(r"(year|month|day|hour|identity)\((.*)\)")


def _label(plan: BackfillPlan, unit: UnitPlan | None) -> str:
    """The time partition of a unit; the partition's words stand in the order of the table's partition fields."""
    if unit is None:
        return ""
    values = [part.partition("=")[2] for part in unit.partition.split(", ")]
    fields = [_TIME_TRANSFORM.fullmatch(text) for text in plan.partitioning.split(", ")]
    for time_column in (plan.time_column, None):
        for field_match, value in zip(fields, values, strict=False):
            named = field_match is not None and (time_column is None or field_match[2] == time_column)
            if named and _DATE.match(value):
                return value
    return ""
