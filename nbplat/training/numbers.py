"""A joined batch as the numbers that models learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.errors import DataError
from nbplat.remote.training.arrays import as_arrays
from nbplat.training.join.sequence_use import SequenceUse
from nbplat.training.plan import TrainingPlan

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["NULLS", "Numbers", "joined_width", "numbers_of", "show_time"]

NULLS = "nulls are 0; each joined column has a second one, 1 where it is present"


@dataclass(frozen=True, slots=True)
class Numbers:
    """A batch as numbers.

    Attributes:
        times: ``int64[rows]``, in microseconds where the column is a time.
        labels: ``int64[rows]``, 0 or 1.
        plain: ``float64[rows, columns]``.
        joined: ``float64[rows, 2 * columns]``: each joined column with its presence behind it.
        empty: Rows without a single token, one count a sequence.
    """

    times: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    plain: npt.NDArray[np.float64]
    joined: npt.NDArray[np.float64]
    empty: tuple[int, ...] = ()

    def take(self, mask: npt.NDArray[np.bool_]) -> Numbers:
        """Some of the rows; counts of empty sequences stay behind."""
        return Numbers(self.times[mask], self.labels[mask], self.plain[mask], self.joined[mask])

    def all_columns(self) -> npt.NDArray[np.float64]:
        """Plain and joined columns side by side."""
        return np.hstack([self.plain, self.joined])


def joined_width(plan: TrainingPlan) -> int:
    """Joined columns, presence aside: one a staged column, and one for each place of a sequence's features."""
    return len(plan.staged_features) + sum(sequence_width(use) for use in plan.join.sequences)


def sequence_width(use: SequenceUse) -> int:
    """Numbers that a padded sequence brings."""
    return sum(max(each.tokens, 1) * each.size for each in use.columns if each.role != "mask")


def numbers_of(plan: TrainingPlan, batch: pa.RecordBatch) -> Numbers:
    """Read a batch of the plan's join.

    Raises:
        DataError: a null time, a label that is not 0 or 1, an infinite value; see `run.run_training`.
    """
    spec, rows = plan.spec, batch.num_rows
    joined = [column for name in plan.staged_features for column in _values(batch, name)]
    empty = []
    for use in plan.join.sequences:
        arrays = as_arrays(batch.select(list(use.names)))
        joined += [column for values, present in _tokens(use, arrays) for column in (values, present)]
        lengths = [arrays[each.name] for each in use.columns if each.role == "length"]
        empty.append(int((np.sum(lengths, axis=0) == 0).sum()))
    return Numbers(
        _times(batch.column(spec.time), spec.time),
        _labels(batch.column(spec.label), spec.label),
        _stacked([_values(batch, name)[0] for name in plan.features], rows),
        _stacked(joined, rows),
        tuple(empty),
    )


def _tokens(
    use: SequenceUse, arrays: dict[str, npt.NDArray[Any]]
) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Values and presence of each place of each feature, then each length."""
    for each in use.columns:
        array = arrays[each.name].astype(np.float32).astype(np.float64)
        if each.role == "length":
            yield array, np.ones(len(array))
        elif each.role == "feature":
            mask = arrays[use.mask_of(each)]
            flat = array.reshape(len(array), each.tokens * each.size)
            for place in range(flat.shape[1]):
                values, there = flat[:, place], mask[:, place // each.size]
                present = there & ~np.isnan(values)
                yield np.where(present, values, 0.0), present.astype(np.float64)


def show_time(cut: int, kind: pa.DataType) -> str:
    """A time of `Numbers.times` as text: ISO in UTC, a date, or the number that it is."""
    if pa.types.is_timestamp(kind):
        return f"{np.datetime64(cut, 'us').astype('M8[s]')}Z"
    return str(np.datetime64(cut, "D")) if pa.types.is_date(kind) else str(cut)


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
