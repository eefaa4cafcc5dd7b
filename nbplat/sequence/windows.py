"""Runs of consecutive rows as rectangles: each run is copied at once, which costs less than row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["MOST", "Windows", "framed"]

MOST = 512
"""Length up to which rectangles are made in this way: there is a table of all lengths."""

# Values that are worked on together, so that what is made on the way stays in the cache.
_BLOCK = 50_000


Finish = Callable[[slice, Any], Any]


@dataclass(frozen=True, slots=True)
class Windows:
    """One run a list of a batch, in columns that `framed` made.

    Attributes:
        start: ``int64[B]``: where the rectangle's row begins in the column, the padding before it as well.
        counts: ``int64[B]``: tokens of each list.
        width: L.
        pad_left: Whether padding comes first.
    """

    start: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    width: int
    pad_left: bool

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """``bool[B, L]``, true where a token is."""
        return _triangle(self.width, self.pad_left, "bool").take(self.counts, axis=0)

    def fill(self, wanted: Mapping[str, tuple[npt.NDArray[Any], Finish | None, npt.NDArray[Any]]]) -> None:
        """Fill rectangles, zero where no token is.

        Args:
            wanted: Name -> the column; what makes the values of some lists (a slice) of what lies in the column, None
                takes them as they are; and what is written, ``[B, L]`` (``[B, L, D]`` of vectors).
        """
        rows = max(1, _BLOCK // max(self.width, 1))
        for at in range(0, len(self.start), rows):
            lists, keep = slice(at, at + rows), {}
            for column, finish, out in wanted.values():
                bits = f"int{8 * out.itemsize}"
                if bits not in keep:
                    keep[bits] = _triangle(self.width, self.pad_left, bits).take(self.counts[lists], axis=0)
                values = self._of(column, lists)
                values = values if finish is None else finish(lists, values)
                mask = keep[bits].reshape(*keep[bits].shape, *[1] * (out.ndim - 2))
                np.bitwise_and(values.view(bits), mask, out=out[lists].view(bits))

    def _of(self, column: npt.NDArray[Any], lists: slice) -> npt.NDArray[Any]:
        """What lies there, a fresh array; anything where no token is."""
        tail, start = column.shape[1:], self.start[lists]
        size = column.itemsize * int(np.prod(tail, dtype=np.int64))
        if not self.width or not size:
            return np.zeros((len(start), self.width, *tail), column.dtype)
        # A window that begins at each row, as one value of many bytes: overlapping, and copied only where it is taken.
        shape = (len(column) - self.width + 1,)
        windows = np.ndarray(shape, f"V{size * self.width}", column, strides=(size,))
        return windows[start].view(column.dtype).reshape(len(start), self.width, *tail)


def framed(parts: list[npt.NDArray[Any]], like: npt.NDArray[Any], margin: int, *, turned: bool) -> npt.NDArray[Any]:
    """A column from its parts with `margin` zeros at both ends, so that no window leaves it.

    Args:
        turned: The last row first.
    """
    edge = np.zeros((margin, *like.shape[1:]), like.dtype)
    rows = [part[::-1] for part in reversed(parts)] if turned else parts
    return np.concatenate([edge, *rows, edge])


@lru_cache(maxsize=8)
def _triangle(width: int, pad_left: bool, kind: str) -> npt.NDArray[Any]:
    """``[L + 1, L]``: row n has n tokens; true, or all bits set, where one is."""
    place, counts = np.arange(width), np.arange(width + 1)[:, None]
    there = place >= width - counts if pad_left else place < counts
    return there if kind == "bool" else -there.astype(kind)
