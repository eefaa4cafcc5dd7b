"""How far two distributions are apart, and how far they would be by chance alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nbplat.backfill.audit.sketch import Sketch

__all__ = ["Distance", "distance"]

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Distance:
    """Two sketches on one scale, compared over the values that are not null.

    Attributes:
        psi: Population stability index, the sum of ``(p - q) ln(p / q)`` over the bins (half a count
            is added to each); below 0.1 is usually called stable, above 0.25 shifted.
        psi_noise: What it would hardly exceed for two samples of these sizes from one
            distribution: mean plus three standard deviations of the chi-square it tends to.
        ks: Largest distance of the two cumulative shares over the bins (Kolmogorov-Smirnov).
        ks_noise: Its 99 % bound for samples of these sizes from one distribution.
        tv: Total variation, half the sum of ``|p - q|``.
    """

    psi: float
    psi_noise: float
    ks: float
    ks_noise: float
    tv: float


def distance(before: Sketch, after: Sketch) -> Distance | None:
    """Compare; None when either side holds no value."""
    left, right = before.fine, after.fine
    n, m = int(left.sum()), int(right.sum())
    if not n or not m:
        return None
    used = (left + right) > 0
    p, q = _smooth(left[used]), _smooth(right[used])
    degrees = max(int(used.sum()) - 1, 0)
    scale = 1 / n + 1 / m
    ks = float(np.abs(np.cumsum(left) / n - np.cumsum(right) / m).max())
    return Distance(
        psi=float(((p - q) * np.log(p / q)).sum()),
        psi_noise=scale * (degrees + 3 * math.sqrt(2 * degrees)),
        ks=ks,
        ks_noise=1.63 * math.sqrt(scale),
        tv=float(np.abs(left / n - right / m).sum() / 2),
    )


def _smooth(counts: Counts) -> npt.NDArray[np.float64]:
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * len(counts)), dtype=np.float64)
