"""Which numbers are among others, by binary search: several times as fast as a hash table made for one question."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["among"]


def among(values: Any, ascending: Any) -> Any:
    """``bool[values]``: whether each stands in `ascending`, a sorted array, in which values may repeat."""
    if not len(ascending):
        return np.zeros(len(values), bool)
    place = np.searchsorted(ascending, values)
    place[place == len(ascending)] = 0
    return ascending[place] == values
