"""Training without and with the staged columns, on the same batches, and judging both on the later examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.clock import Clock, SystemClock
from nbplat.errors import DataError
from nbplat.terms import Progress
from nbplat.training.attach import iter_batches, open_sequences
from nbplat.training.evaluate import Estimate, bootstrap_aucs, interval
from nbplat.training.plan import Coverage, JoinPlan
from nbplat.training.ports import ModelKit, OpenSequences, SequenceColumns, TrainingSource

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["TrainingResult", "run_training"]

NULLS = "nulls are 0; each staged column has a second one, 1 where it is present"


@dataclass(frozen=True, slots=True)
class SequenceShare:
    """One joined sequence.

    Attributes:
        ref, version, shape: As in `SequenceUse`.
        columns: How many it brings.
        rows_empty: Rows without a single token; they stay.
    """

    ref: str
    version: str
    shape: str
    columns: int
    rows_empty: int


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What the comparison found.

    Attributes:
        auc_without: On the plain columns.
        auc_with: On plain and staged columns; None when no run was joined.
        gain: ``auc_with - auc_without``, its interval from the same resamples; None likewise.
        cut: The first test example's time: trained on ``time < cut``, tested on ``time >= cut``; ISO, UTC, or a
            number where the time column is one.
        rows_train, rows_test: Examples of either side.
        label_share_test: Share of label 1 among the test examples.
        features: Plain columns.
        staged_features: Joined columns of runs.
        sequences: Joined sequences: what each brings, and how many rows have an empty one.
        preprocessing: What was done to the columns, and the model, one line each.
        batches: Batches that came out of the join, over all passes.
        rows_read: Rows that came out of the join, over all passes.
        kept_in_memory: True when the join was read once and its batches kept for the epochs.
        seconds: Wall time; `join_seconds` of it waiting for the join.
        nulls: Nulls (and NaNs) of each staged column over all rows.
        models: ``without`` and ``with``: the library's own fitted objects; not part of the record.
    """

    name: str
    plan_id: str
    auc_without: Estimate
    auc_with: Estimate | None
    gain: Estimate | None
    cut: str
    rows_train: int
    rows_test: int
    label_share_test: float
    features: tuple[str, ...]
    staged_features: tuple[str, ...]
    sequences: tuple[SequenceShare, ...]
    preprocessing: tuple[str, ...]
    coverage: tuple[Coverage, ...]
    nulls: dict[str, int]
    epochs: int
    batches: int
    rows_read: int
    kept_in_memory: bool
    seconds: float
    join_seconds: float
    models: dict[str, Any] = field(compare=False, repr=False)

    @property
    def rows_per_second(self) -> float:
        """Joined rows a second while the join was being read; 0 when that took no measurable time."""
        return self.rows_read / self.join_seconds if self.join_seconds else 0.0

    def record(self) -> dict[str, Any]:
        """JSON form, without the models."""
        # asdict would copy the fitted models deeply.
        record = asdict(replace(self, models={}))
        del record["models"]
        return record | {"rows_per_second": round(self.rows_per_second, 1)}


def run_training(
    plan: JoinPlan,
    source: TrainingSource,
    kit: ModelKit,
    *,
    sequences: SequenceColumns | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
    keep_bytes: int = 256 << 20,
    clock: Clock | None = None,
) -> TrainingResult:
    """Train, test and compare.

    The cut is the `split` quantile of the time column. Joined batches are kept for the epochs when their numbers fit
    `keep_bytes`; otherwise each epoch reads the join again. Either way gives the same result.

    Raises:
        DataError: a null time, a label that is not 0 or 1, an infinite feature, or a side of the split that lacks one
            of the labels.
    """
    clock = clock or SystemClock()
    started = clock.monotonic_s()
    opened = open_sequences(plan, source, sequences)
    try:
        return _trained(plan, _Passes(plan, source, keep_bytes, clock, opened), kit, progress, clock, started)
    finally:
        if opened is not None:
            opened.close()


def _trained(
    plan: JoinPlan,
    passes: _Passes,
    kit: ModelKit,
    progress: Callable[[Progress], None],
    clock: Clock,
    started: float,
) -> TrainingResult:
    cut_us, cut, staged_nulls = passes.first()
    spec = plan.spec
    with_staged = bool(plan.joined_features)
    without, both = kit.new_model(spec.seed), kit.new_model(spec.seed) if with_staged else None
    total = passes.rows * (spec.epochs + 1)
    done = 0
    for epoch in range(spec.epochs + 1):
        testing = epoch == spec.epochs
        scored: list[tuple[npt.NDArray[Any], ...]] = []
        for batch in passes.batches():
            done += len(batch.labels)
            side = batch.take(batch.times >= cut_us if testing else batch.times < cut_us)
            if len(side.labels) and not testing:
                without.partial_fit(side.plain, side.labels)
                if both is not None:
                    both.partial_fit(side.all_columns(), side.labels)
            elif len(side.labels):
                both_scores = (both.score(side.all_columns()),) if both is not None else ()
                scored.append((side.labels, without.score(side.plain), *both_scores))
            progress(Progress(done, total, "rows"))
    labels, *scores = (np.concatenate(parts) for parts in zip(*scored, strict=True))
    values = [kit.auc(labels, score) for score in scores]
    resampled = bootstrap_aucs(labels, scores, spec.seed)
    estimates = [interval(value, row) for value, row in zip(values, resampled, strict=True)]
    return TrainingResult(
        name=spec.name,
        plan_id=plan.plan_id,
        auc_without=estimates[0],
        auc_with=estimates[1] if with_staged else None,
        gain=interval(values[1] - values[0], resampled[1] - resampled[0]) if with_staged else None,
        cut=cut,
        rows_train=passes.rows - len(labels),
        rows_test=len(labels),
        label_share_test=float(labels.mean()),
        features=plan.features,
        staged_features=plan.staged_features,
        sequences=tuple(
            SequenceShare(use.ref, use.version, use.shape, len(use.columns), passes.empty[use.ref])
            for use in plan.sequences
        ),
        preprocessing=(NULLS, kit.describe()),
        coverage=plan.coverage(),
        nulls=staged_nulls,
        epochs=spec.epochs,
        batches=passes.batch_count,
        rows_read=passes.rows_read,
        kept_in_memory=passes.kept is not None,
        seconds=clock.monotonic_s() - started,
        join_seconds=passes.join_seconds,
        models={"without": kit.unwrap(without)} | ({"with": kit.unwrap(both)} if both is not None else {}),
    )


@dataclass(frozen=True, slots=True)
class _Numbers:
    """A batch as numbers: ``plain`` and ``staged`` are ``float64[rows, columns]``."""

    times: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    plain: npt.NDArray[np.float64]
    staged: npt.NDArray[np.float64]

    def take(self, mask: npt.NDArray[np.bool_]) -> _Numbers:
        return _Numbers(self.times[mask], self.labels[mask], self.plain[mask], self.staged[mask])

    def all_columns(self) -> npt.NDArray[np.float64]:
        return np.hstack([self.plain, self.staged])


class _Passes:
    """Goes over the join as often as asked, reading it once when it fits memory."""

    def __init__(
        self, plan: JoinPlan, source: TrainingSource, keep_bytes: int, clock: Clock, opened: OpenSequences | None
    ) -> None:
        self.plan, self.source, self.clock, self.opened = plan, source, clock, opened
        self.empty = dict.fromkeys((use.ref for use in plan.sequences), 0)
        width = 2 + len(plan.features) + 2 * len(plan.joined_features)
        self.kept: list[_Numbers] | None = [] if plan.rows * width * 8 <= keep_bytes else None
        self.rows = self.rows_read = self.batch_count = 0
        self.join_seconds = 0.0
        self.time_type = pa.null()

    def first(self) -> tuple[int, str, dict[str, int]]:
        """Read everything once: find the cut, check labels and times, count nulls."""
        nulls = dict.fromkeys(self.plan.staged_features, 0)
        times, labels = [], []
        for batch in self._read():
            times.append(batch.times)
            labels.append(batch.labels)
            present = batch.staged[:, 1::2]
            for at, name in enumerate(nulls):
                nulls[name] += int(len(present) - present[:, at].sum())
            self._count_empty(batch)
            if self.kept is not None:
                self.kept.append(batch)
        time_us, label = np.concatenate(times), np.concatenate(labels)
        self.rows = len(time_us)
        cut_us = int(np.partition(time_us, at := int(self.plan.spec.split * self.rows))[at])
        for side, chosen in (("training", time_us < cut_us), ("test", time_us >= cut_us)):
            seen = set(np.unique(label[chosen]).tolist())
            if seen != {0, 1}:
                raise DataError(
                    "training.one_label",
                    f"the {side} side has {int(chosen.sum())} rows with labels {sorted(seen)}: both 0 and 1 are needed",
                    fix="choose another --split, or load more examples",
                )
        return cut_us, self._show_time(cut_us), nulls

    def _count_empty(self, batch: _Numbers) -> None:
        at = len(self.plan.staged_features)
        for use in self.plan.sequences:
            lengths = [2 * (at + place) for place, name in enumerate(use.columns) if name.endswith("__length")]
            self.empty[use.ref] += int((batch.staged[:, lengths].sum(axis=1) == 0).sum())
            at += len(use.columns)

    def batches(self) -> Iterator[_Numbers]:
        return iter(self.kept) if self.kept is not None else self._read()

    def _read(self) -> Iterator[_Numbers]:
        reading = iter_batches(self.plan, self.source, sequences=self.opened)
        while True:
            started = self.clock.monotonic_s()
            batch = next(reading, None)
            self.join_seconds += self.clock.monotonic_s() - started
            if batch is None:
                return
            self.batch_count += 1
            self.rows_read += batch.num_rows
            self.time_type = batch.schema.field(self.plan.spec.time).type
            yield self._numbers(batch)

    def _numbers(self, batch: pa.RecordBatch) -> _Numbers:
        spec = self.plan.spec
        plain = [_values(batch, name)[0] for name in self.plan.features]
        staged = [column for name in self.plan.joined_features for column in _values(batch, name)]
        return _Numbers(
            _times(batch.column(spec.time), spec.time),
            _labels(batch.column(spec.label), spec.label),
            _stacked(plain, batch.num_rows),
            _stacked(staged, batch.num_rows),
        )

    def _show_time(self, cut: int) -> str:
        if pa.types.is_timestamp(self.time_type):
            return f"{np.datetime64(cut, 'us').astype('M8[s]')}Z"
        return str(np.datetime64(cut, "D")) if pa.types.is_date(self.time_type) else str(cut)


def _stacked(columns: Sequence[npt.NDArray[np.float64]], rows: int) -> npt.NDArray[np.float64]:
    return np.column_stack(columns) if columns else np.empty((rows, 0))


def _values(batch: pa.RecordBatch, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Values with 0 for null and NaN, and 1 where there is a value."""
    column = batch.column(name).cast(pa.float64())
    values = np.array(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    if np.isinf(values).any():
        raise DataError(
            "training.infinite", f"column {name!r} holds an infinite value", fix=f"bound {name} in its feature body"
        )
    present = ~np.isnan(values)
    values[~present] = 0.0
    return values, present.astype(np.float64)


def _times(column: pa.Array, name: str) -> npt.NDArray[np.int64]:
    if column.null_count:
        raise DataError("training.time_null", f"{name!r} holds nulls", fix="fill them, or name another --time column")
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz=column.type.tz))
    elif pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    return np.asarray(column.cast(pa.int64()))


def _labels(column: pa.Array, name: str) -> npt.NDArray[np.int64]:
    values = column.cast(pa.float64())
    if column.null_count or not set(pc.unique(values).to_pylist()) <= {0.0, 1.0}:
        odd = next(v for v in values.to_pylist() if v not in (0.0, 1.0))
        raise DataError(
            "training.label", f"{name!r} holds {odd}, it must be 0 or 1", fix="name another --label, or mend the values"
        )
    return np.asarray(values).astype(np.int64)
