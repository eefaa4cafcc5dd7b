"""Memory for columns that is given out again as soon as nothing refers to it."""

from __future__ import annotations

import mmap
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

__all__ = ["BufferPool"]

# Blocks differ by at most an eighth, so that units of about the same rows share them.
_STEPS = 8
_SMALLEST = 4096
# Two of the system's huge pages: one of them lies inside such a block for certain.
_HUGE = 4 << 20
# What Python takes otherwise is shared with forked children, which would write into it.
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}


class BufferPool:
    """Blocks of memory outside every allocator.

    A column of a unit is read, used and let go, again and again. An allocator gives such memory back to the system and
    takes it anew, which costs more than filling it, or keeps it for each thread apart, which doubles it. This pool does
    neither: a block is free once no array and no buffer refers to it.

    It keeps free blocks inside `kept` only; outside, they go back to the system.

    Args:
        most_free: Bytes of free blocks that it keeps.

    Attributes:
        made: Blocks that were taken from the system so far.
    """

    def __init__(self, most_free: int = 256 << 20) -> None:
        self._most = most_free
        self._free: dict[int, list[mmap.mmap]] = {}
        # The end of an array gives its block back, and that may come in the middle of any line below.
        self._lock = threading.RLock()
        self._keepers = 0
        self.made = 0

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep free blocks to the end of the last such block of code."""
        with self._lock:
            self._keepers += 1
        try:
            yield
        finally:
            with self._lock:
                self._keepers -= 1
                if not self._keepers:
                    self._free.clear()

    @property
    def free_bytes(self) -> int:
        """Bytes of the blocks that wait to be used again."""
        with self._lock:
            return sum(size * len(blocks) for size, blocks in self._free.items())

    def empty(self, count: int, kind: Any) -> Any:
        """An array whose values are not set yet.

        Args:
            count: Values, from 0.
            kind: A numpy dtype of a fixed width.

        Returns:
            ``kind[count]``, writable. Its block is free once it, its views and the buffers over it are gone.

        Raises:
            MemoryError: the system has no more.
        """
        kind = np.dtype(kind)
        size = _block_size(count * kind.itemsize)
        with self._lock:
            blocks = self._free.get(size)
            block = blocks.pop() if blocks else None
        if block is None:
            block = _block(size)
            with self._lock:
                self.made += 1
        whole = np.frombuffer(block, np.uint8)
        weakref.finalize(whole, self._back, block, size).atexit = False
        return whole[: count * kind.itemsize].view(kind)

    def _back(self, block: mmap.mmap, size: int) -> None:
        with self._lock:
            if self._keepers and self.free_bytes + size <= self._most:
                self._free.setdefault(size, []).append(block)


def _block(size: int) -> mmap.mmap:
    try:
        block = mmap.mmap(-1, size, **_PRIVATE)
    except OSError as exc:
        raise MemoryError(f"no {size:,} bytes are to be had") from exc
    if size >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        # A kernel that has no huge pages refuses, which changes nothing but the time that the first use takes.
        with suppress(OSError):
            block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _block_size(size: int) -> int:
    step = max(_SMALLEST, 1 << max(size.bit_length() - 1, 0)) // _STEPS
    return max(-(-size // step) * step, _SMALLEST)
