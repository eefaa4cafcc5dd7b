"""The innermost loops in plain Python, written so that numba compiles them; `accelerate` says when."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["LOOPS", "bisect", "merge"]


def bisect(values: Any, low: Any, high: Any, wanted: Any, right: bool, found: Any) -> None:
    """See `known.bisect`; writes `found`."""
    for at in range(len(low)):
        begin, end, value = low[at], high[at], wanted[at]
        while begin < end:
            middle = (begin + end) >> 1
            if values[middle] < value or (right and values[middle] == value):
                begin = middle + 1
            else:
                end = middle
        found[at] = begin


def merge(rows: Any, begins: Any, rank: Any, found: Any) -> None:
    """Merge lists of rows that ascend by rank.

    Args:
        rows: ``int64[...]``, the lists one behind another, part by part.
        begins: ``int64[parts, examples + 1]``: list e of part p is ``rows[begins[p, e]:begins[p, e + 1]]``.
        rank: Integers, of every row; no two are equal.
        found: ``int64[...]``, written: the merged lists, example by example.
    """
    parts, examples = begins.shape[0], begins.shape[1] - 1
    heads = np.empty(parts, np.int64)
    out = 0
    for example in range(examples):
        for part in range(parts):
            heads[part] = begins[part, example]
        while True:
            least = -1
            row = -1
            for part in range(parts):
                if heads[part] < begins[part, example + 1]:
                    one = rows[heads[part]]
                    if least < 0 or rank[one] < rank[row]:
                        least, row = part, one
            if least < 0:
                break
            found[out] = row
            out += 1
            heads[least] += 1


LOOPS = {"bisect": bisect, "merge": merge}
