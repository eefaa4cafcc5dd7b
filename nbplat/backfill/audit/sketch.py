"""Mergeable counts of one measure: memory does not grow with the rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.backfill.audit.measures import is_category, is_time, numbers

__all__ = ["DISTINCT_CAP", "Scale", "Sketch"]

DISTINCT_CAP = 10_000
"""Distinct values are counted exactly up to here."""

_FINE_BINS = 20
_DRAWN_BINS = 24
_NAMED = 20


@dataclass(frozen=True, slots=True)
class Scale:
    """The bins of a measure, fixed before counting, so that counts of files, dates and versions compare.

    Attributes:
        kind: ``number``, ``time`` or ``category``.
        fine: ``float64[n]`` edges at quantiles of a sample, for distances; counts have ``n + 1`` bins.
        drawn: ``float64[m]`` even edges over its middle 98 %, for the picture; likewise ``m + 1`` bins.
        names: The most frequent values of the sample, for a category; the last bin holds all others.
    """

    kind: str
    fine: npt.NDArray[np.float64]
    drawn: npt.NDArray[np.float64]
    names: tuple[Any, ...] = ()

    @classmethod
    def of(cls, sample: pa.Array) -> Scale:
        """Bins for values like these; an empty sample gives one bin."""
        none = np.empty(0)
        kind = cls.kind_of(sample.type)
        if kind == "category":
            counts = sample.drop_null().value_counts()
            pairs = [(pair["values"].as_py(), pair["counts"].as_py()) for pair in counts]
            most = sorted(pairs, key=lambda pair: (-pair[1], str(pair[0])))[:_NAMED]
            return cls("category", none, none, tuple(value for value, _ in most))
        values = numbers(sample)
        values = values[np.isfinite(values)]
        if not len(values):
            return cls(kind, none, none)
        fine = np.unique(np.quantile(values, np.linspace(0, 1, _FINE_BINS + 1)[1:-1]))
        low, high = np.quantile(values, [0.01, 0.99])
        drawn = np.linspace(low, high, _DRAWN_BINS - 1) if high > low else np.array([low])
        return cls(kind, fine, drawn)

    @staticmethod
    def kind_of(type_: pa.DataType) -> str:
        """``category``, ``time`` or ``number``."""
        return "category" if is_category(type_) else "time" if is_time(type_) else "number"

    @property
    def bins(self) -> int:
        """How many bins distances are computed over."""
        return (len(self.names) if self.kind == "category" else len(self.fine)) + 1


@dataclass(slots=True)
class Sketch:
    """Counts of one measure over some rows.

    Attributes:
        odd: Values that are NaN or infinite.
        least, most: Smallest and largest value as Python objects, NaN passed over; None when there is none.
        mean, spread: Mean and sum of squared deviations of the finite numbers; 0 for a category.
        fine, drawn: ``int64[bins]``; equal for a category.
        distinct: The values seen, up to `DISTINCT_CAP`; None beyond it, or where they are not kept.
    """

    scale: Scale
    rows: int = 0
    nulls: int = 0
    odd: int = 0
    finite: int = 0
    least: Any = None
    most: Any = None
    mean: float = 0.0
    spread: float = 0.0
    fine: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    drawn: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    distinct: set[Any] | None = field(default_factory=set)

    @classmethod
    def count(cls, values: pa.Array, scale: Scale) -> Sketch:
        """Count one piece."""
        sketch = cls(scale, rows=len(values), nulls=values.null_count)
        valid = values.drop_null()
        if scale.kind == "category":
            index = pc.fill_null(pc.index_in(valid, value_set=_word_array(scale.names, valid.type)), len(scale.names))
            sketch.fine = np.bincount(index.to_numpy(zero_copy_only=False), minlength=scale.bins).astype(np.int64)
            sketch.drawn = sketch.fine
        else:
            floats = numbers(values)
            good = np.isfinite(floats)
            sketch.odd = int(len(floats) - good.sum())
            floats = floats[good]
            if sketch.odd:
                valid = valid.filter(pa.array(good))
            sketch.finite = len(floats)
            # Values near the largest double have an infinite spread.
            with np.errstate(over="ignore", invalid="ignore"):
                sketch.mean = float(floats.mean()) if len(floats) else 0.0
                sketch.spread = float(((floats - sketch.mean) ** 2).sum())
            sketch.fine = _bins(floats, scale.fine)
            sketch.drawn = _bins(floats, scale.drawn)
        if len(valid) and not pa.types.is_boolean(valid.type):
            span = pc.min_max(valid).as_py()
            sketch.least, sketch.most = span["min"], span["max"]
        sketch.distinct = _distinct(valid)
        return sketch

    def add(self, other: Sketch) -> None:
        """Take in another sketch on the same scale."""
        finite = self.finite + other.finite
        if finite:
            step = other.mean - self.mean
            self.spread += other.spread + step * step * self.finite * other.finite / finite
            self.mean += step * other.finite / finite
        self.finite = finite
        self.rows, self.nulls, self.odd = self.rows + other.rows, self.nulls + other.nulls, self.odd + other.odd
        self.least = _extreme(min, self.least, other.least)
        self.most = _extreme(max, self.most, other.most)
        self.fine = _sum(self.fine, other.fine)
        self.drawn = _sum(self.drawn, other.drawn)
        if self.distinct is not None and other.distinct is not None:
            self.distinct |= other.distinct
            if len(self.distinct) > DISTINCT_CAP:
                self.distinct = None
        else:
            self.distinct = None

    @property
    def null_share(self) -> float:
        return self.nulls / self.rows if self.rows else 0.0

    @property
    def deviation(self) -> float:
        """Standard deviation of the finite numbers."""
        return math.sqrt(self.spread / self.finite) if self.finite else 0.0

    @property
    def distinct_count(self) -> int | None:
        """Distinct values, NaN counting as one; None when there are more than `DISTINCT_CAP`."""
        return None if self.distinct is None else len(self.distinct) + (1 if self.odd else 0)


def _bins(floats: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    places = np.searchsorted(edges, floats, side="right")
    return np.bincount(places, minlength=len(edges) + 1).astype(np.int64)


def _word_array(names: Sequence[Any], kind: pa.DataType) -> pa.Array:
    return pa.array(list(names), type=kind)


def _distinct(valid: pa.Array) -> set[Any] | None:
    unique = valid.unique()
    return set(unique.to_pylist()) if len(unique) <= DISTINCT_CAP else None


def _extreme(choose: Any, left: Any, right: Any) -> Any:
    if left is None or right is None:
        return right if left is None else left
    return choose(left, right)


def _sum(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if not len(left) or not len(right):
        return left if len(left) else right
    return left + right
