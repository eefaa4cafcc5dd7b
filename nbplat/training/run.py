"""Training without and with the joined columns, on the same batches, and judging both on the later examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nbplat.clock import Clock, SystemClock
from nbplat.errors import DataError
from nbplat.terms import Progress
from nbplat.training.evaluate import bootstrap_aucs, interval, roc
from nbplat.training.join.open import Batches, OpenJoin
from nbplat.training.numbers import NULLS, Numbers, joined_width, numbers_of, sequence_width, show_time
from nbplat.training.plan import TrainingPlan
from nbplat.training.ports import ModelKit
from nbplat.training.result import Period, SequenceShare, TrainingResult

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["check_fits", "run_training"]


def check_fits(plan: TrainingPlan, opened: OpenJoin) -> None:
    """Return when every pass of a training fits in memory; nothing is read.

    Raises:
        SetupError: ``training.memory``.
    """
    _ranks(plan, opened, 0)


def run_training(
    plan: TrainingPlan,
    opened: OpenJoin,
    kit: ModelKit,
    *,
    progress: Callable[[Progress], None] = lambda progress: None,
    keep_bytes: int = 256 << 20,
    clock: Clock | None = None,
) -> TrainingResult:
    """Train, test and compare.

    The cut is the `split` quantile of the time column. Joined batches are kept for the epochs when their numbers fit
    `keep_bytes` and no shuffle is asked for; otherwise each epoch reads the join again. Either way gives the same
    result.

    Args:
        opened: The plan's join.

    Raises:
        DataError: a null time, a label that is not 0 or 1, an infinite feature, or a side of the split that lacks one
            of the labels.
    """
    clock = clock or SystemClock()
    started = clock.monotonic_s()
    passes = _Passes(plan, opened, keep_bytes, clock)
    cut_us, cut, nulls = passes.first(progress)
    spec = plan.spec
    with_joined = bool(joined_width(plan))
    without, both = kit.new_model(spec.seed), kit.new_model(spec.seed) if with_joined else None
    total = passes.rows * (spec.epochs + 1)
    done = 0
    scored: list[tuple[npt.NDArray[Any], ...]] = []
    for epoch in range(spec.epochs + 1):
        testing = epoch == spec.epochs
        for batch in passes.batches(epoch):
            done += len(batch.labels)
            side = batch.take(batch.times >= cut_us if testing else batch.times < cut_us)
            if len(side.labels) and not testing:
                without.partial_fit(side.plain, side.labels)
                if both is not None:
                    both.partial_fit(side.all_columns(), side.labels)
            elif len(side.labels):
                both_scores = (both.score(side.all_columns()),) if both is not None else ()
                scored.append((side.labels, without.score(side.plain), *both_scores))
            progress(Progress(done, total, "rows", passes.pace()))
    labels, *scores = (np.concatenate(parts) for parts in zip(*scored, strict=True))
    read_and_fit = clock.monotonic_s() - started
    values = [kit.auc(labels, score) for score in scores]
    resampled = bootstrap_aucs(labels, scores, spec.seed)
    estimates = [interval(value, row) for value, row in zip(values, resampled, strict=True)]
    return TrainingResult(
        name=spec.name,
        plan_id=plan.plan_id,
        auc_without=estimates[0],
        auc_with=estimates[1] if with_joined else None,
        gain=interval(values[1] - values[0], resampled[1] - resampled[0]) if with_joined else None,
        curves=tuple(roc(labels, score) for score in scores),
        cut=cut,
        rows_train=passes.rows - len(labels),
        rows_test=len(labels),
        label_share_test=float(labels.mean()),
        features=plan.features,
        staged_features=plan.staged_features,
        sequences=tuple(
            SequenceShare(use.ref, use.version, use.shape, sequence_width(use), empty)
            for use, empty in zip(plan.join.sequences, passes.empty, strict=True)
        ),
        preprocessing=(NULLS, kit.describe()),
        coverage=passes.periods(),
        nulls=nulls,
        epochs=spec.epochs,
        batches=passes.batch_count,
        rows_read=passes.rows_read,
        kept_in_memory=passes.kept is not None,
        seconds=clock.monotonic_s() - started,
        join_seconds=passes.join_seconds,
        compute_seconds=max(read_and_fit - passes.join_seconds, 0.0),
        models={"without": kit.unwrap(without)} | ({"with": kit.unwrap(both)} if both is not None else {}),
    )


class _Passes:
    """Goes over the join as often as asked, reading it once when it fits memory."""

    def __init__(self, plan: TrainingPlan, opened: OpenJoin, keep_bytes: int, clock: Clock) -> None:
        self.plan, self.opened, self.clock = plan, opened, clock
        self.empty = [0] * len(plan.join.sequences)
        width = 2 + len(plan.features) + 2 * joined_width(plan)
        fits = plan.rows * width * 8 <= keep_bytes and plan.spec.shuffle == "none"
        self.kept: list[Numbers] | None = [] if fits else None
        self.rows = self.rows_read = self.batch_count = 0
        self.join_seconds = 0.0
        self.started = clock.monotonic_s()
        self.time_type = pa.null()
        self.seen: list[Any] = []

    def pace(self) -> str:
        """Rows a second out of the join, and who waits for whom, so far."""
        took = self.clock.monotonic_s() - self.started
        if not took or not self.join_seconds:
            return ""
        rate, share = self.rows_read / self.join_seconds, min(self.join_seconds / took, 1.0)
        return f"{rate:,.0f} rows/s, waits {share * 100:.0f} %"

    def first(self, progress: Callable[[Progress], None]) -> tuple[int, str, dict[str, int]]:
        """Read everything once: find the cut, check labels and times, count nulls."""
        names = self.plan.staged_features
        missing = np.zeros(len(names), np.int64)
        times, labels = [], []
        for batch in self._read(0):
            times.append(batch.times)
            labels.append(batch.labels)
            progress(Progress(0, 0, "rows", f"reads {self.rows_read:,} rows, {self.pace()}"))
            present = batch.joined[:, 1 : 2 * len(names) : 2]
            missing += len(present) - present.sum(axis=0).astype(np.int64)
            self.empty = [so_far + count for so_far, count in zip(self.empty, batch.empty, strict=True)]
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
        return cut_us, show_time(cut_us, self.time_type), dict(zip(names, missing.tolist(), strict=True))

    def batches(self, epoch: int) -> Iterator[Numbers]:
        """One epoch's, in the order of the plan or of the shuffle."""
        return iter(self.kept) if self.kept is not None else self._read(epoch)

    def periods(self) -> tuple[Period, ...]:
        """Rows with a staged row by side and date: metadata's count where it is exact, else what was read."""
        exact: Mapping[str, int] = {seen.ref: seen.matched for seen in self.seen}
        found: dict[tuple[str, str], Period] = {}
        for cover in self.opened.coverage():
            key = (cover.ref, cover.period)
            so_far = found.get(key, Period(*key, cover.how, 0, 0, exact=True))
            found[key] = Period(
                *key,
                cover.how if so_far.how == cover.how else "mixed",
                so_far.rows + cover.rows,
                so_far.covered + cover.covered,
                exact=so_far.exact and cover.exact,
                matched=exact.get(cover.ref, 0),
            )
        return tuple(found.values())

    def _read(self, epoch: int) -> Iterator[Numbers]:
        spec, ranks = self.plan.spec, _ranks(self.plan, self.opened, epoch)
        for batch in self._timed(_in_step(ranks)):
            self.batch_count += 1
            self.rows_read += batch.num_rows
            self.time_type = batch.schema.field(spec.time).type
            yield numbers_of(self.plan, batch)
        self.seen = [seen for rank in ranks for seen in rank.seen] if spec.world == 1 else []

    def _timed(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        while True:
            started = self.clock.monotonic_s()
            batch = next(batches, None)
            self.join_seconds += self.clock.monotonic_s() - started
            if batch is None:
                return
            yield batch


def _ranks(plan: TrainingPlan, opened: OpenJoin, epoch: int) -> list[Batches]:
    spec = plan.spec
    return [
        opened.batches(
            spec.batch_rows,
            shuffle=spec.shuffle,
            seed=spec.seed,
            window=spec.window,
            epoch=epoch,
            rank=rank,
            world=spec.world,
            # All of them are read in this one process.
            memory_bytes=opened.memory_bytes // spec.world,
        )
        for rank in range(spec.world)
    ]


def _in_step(ranks: list[Batches]) -> Iterator[pa.RecordBatch]:
    """One batch of each rank in turn, until all have ended."""
    reading = [iter(rank) for rank in ranks]
    while reading:
        for each in list(reading):
            batch = next(each, None)
            if batch is None:
                reading.remove(each)
            else:
                yield batch
