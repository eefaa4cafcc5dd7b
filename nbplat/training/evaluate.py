"""How sure an AUC is: a seeded bootstrap over the test rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Estimate", "auc", "bootstrap_aucs", "interval", "roc"]

RESAMPLES = 1_000

# Numbers drawn in one go; bounds memory to some 100 MB whatever the test set's size.
_DRAWN_AT_ONCE = 4_000_000
_DRAWN_IN_ALL = 400_000_000
_POINTS = 101


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % bootstrap interval (percentiles of 1,000 resamples, fewer above 400,000 test rows)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def record(self) -> dict[str, Any]:
        return asdict(self)


def auc(labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> float:
    """Area under the ROC curve; both labels occur, ties count a half."""
    return float(_Ranked(labels, scores).aucs(np.ones((1, len(labels)), dtype=np.int64))[0])


def bootstrap_aucs(
    labels: npt.NDArray[np.int64], scores: Sequence[npt.NDArray[np.float64]], seed: int
) -> npt.NDArray[np.float64]:
    """AUCs of resampled test rows, the same resamples for every model (so that differences can be judged).

    Rows are drawn within each label, so every resample has both.

    Returns:
        ``float64[models, resamples]``.
    """
    ranked = tuple(_Ranked(labels, score) for score in scores)
    drawn = [np.array([model.aucs(counts) for model in ranked]) for counts in _resamples(labels, seed)]
    return np.concatenate(drawn, axis=1)


def interval(value: float, resampled: npt.NDArray[np.float64]) -> Estimate:
    """The 2.5 and 97.5 percentiles around a figure."""
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(float(value), float(low), float(high))


def _resamples(labels: npt.NDArray[np.int64], seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """How often each row is drawn, ``int64[resamples, rows]``, in pieces."""
    rng = np.random.default_rng(seed)
    left = max(min(RESAMPLES, _DRAWN_IN_ALL // len(labels)), 50)
    groups = [np.flatnonzero(labels == value) for value in (0, 1)]
    while left:
        size = min(left, max(_DRAWN_AT_ONCE // len(labels), 1))
        counts = np.zeros((size, len(labels)), dtype=np.int64)
        for group in groups:
            picks = rng.integers(0, len(group), (size, len(group)))
            for row, pick in enumerate(picks):
                counts[row, group] = np.bincount(pick, minlength=len(group))
        yield counts
        left -= size


class _Ranked:
    """Scores sorted once; a resample's AUC is then one pass over its counts (Mann-Whitney, ties count a half)."""

    def __init__(self, labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> None:
        self.order = np.argsort(scores, kind="stable")
        ordered = scores[self.order]
        self.starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self.positive = labels[self.order] == 1

    def aucs(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        ordered = counts[:, self.order]
        positive = np.add.reduceat(ordered * self.positive, self.starts, axis=1)
        negative = np.add.reduceat(ordered * ~self.positive, self.starts, axis=1)
        below = np.cumsum(negative, axis=1) - negative
        pairs = (positive * (below + negative / 2)).sum(axis=1)
        return np.asarray(pairs / (positive.sum(axis=1) * negative.sum(axis=1)))


def roc(labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """The ROC curve from (0, 0) to (1, 1), at most 101 points: false and true positive share; both labels occur."""
    order = np.argsort(-scores, kind="stable")
    ordered, positive = scores[order], labels[order] == 1
    ends = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
    true = np.r_[0, np.cumsum(positive)[ends]] / max(int(positive.sum()), 1)
    false = np.r_[0, np.cumsum(~positive)[ends]] / max(int((~positive).sum()), 1)
    if len(true) > _POINTS:
        kept = np.unique(np.searchsorted(false, np.linspace(0, 1, _POINTS)).clip(0, len(true) - 1))
        kept[0], kept[-1] = 0, len(true) - 1
        true, false = true[kept], false[kept]
    return tuple((round(float(x), 4), round(float(y), 4)) for x, y in zip(false, true, strict=True))
