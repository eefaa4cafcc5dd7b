"""Lists of different lengths as one rectangle with a mask."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["mask_of", "pad"]


def pad(values: Any, offsets: Any, length: int | None = None, *, side: str = "right", fill: Any = 0) -> tuple[Any, Any]:
    """Lists as an array ``[B, L]`` (``[B, L, D]`` for values of D numbers) in the type of the values, and its mask.

    Args:
        values: ``[tokens]`` or ``[tokens, D]``.
        offsets: ``int64[B + 1]`` into `values`.
        length: L; None: that of the longest list.
        side: ``right`` fills up behind a list, ``left`` before it.
        fill: What is filled in.

    Returns:
        The array, and ``bool[B, L]``, true where a value is.

    Raises:
        ValueError: a list is longer than `length`.
    """
    mask = mask_of(offsets, length, side=side)
    values = np.asarray(values)
    out = np.full((*mask.shape, *values.shape[1:]), fill, dtype=values.dtype)
    out[mask] = values[int(offsets[0]) : int(offsets[-1])]
    return out, mask


def mask_of(offsets: Any, length: int | None = None, *, side: str = "right") -> Any:
    """Where a value is: ``bool[B, L]``; see `pad`."""
    counts = np.diff(offsets)
    longest = int(counts.max(initial=0))
    if length is None:
        length = longest
    if longest > length:
        raise ValueError(f"a list of {longest} does not fit into {length}")
    place = np.arange(length)
    if side == "left":
        return place[None, :] >= (length - counts)[:, None]
    return place[None, :] < counts[:, None]
