"""Memory that is given out again: never while anything refers to it, and back to the system afterwards."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pyarrow as pa
import pytest

from nbplat.remote.buffer_pool import BufferPool
from nbplat.remote.plain import as_array


def test_a_block_is_used_again_when_nothing_refers_to_it() -> None:
    """A view, and a buffer of Arrow over a view, hold it."""
    pool = BufferPool()
    with pool.kept():
        first = pool.empty(1000, np.int64)
        first[:] = np.arange(1000)
        held = as_array(pa.int64(), first).slice(10, 5)
        del first
        pool.empty(1000, np.int64)[:] = -1
        assert (2, [10, 11, 12, 13, 14]) == (pool.made, held.to_pylist())
        del held
        pool.empty(1000, np.int64)
        assert 2 == pool.made
        assert 0 < pool.free_bytes


def test_free_blocks_are_kept_in_a_block_of_code_only() -> None:
    """What is let go after it, and what was free at its end, goes back to the system."""
    pool = BufferPool()
    with pool.kept():
        late = pool.empty(10_000, np.uint8)
        pool.empty(10_000, np.uint8)
        with pool.kept():
            pass
        assert 0 < pool.free_bytes
    assert 0 == pool.free_bytes
    del late
    gc.collect()
    assert 0 == pool.free_bytes


def test_no_more_is_kept_than_was_said() -> None:
    """Blocks above the bound go back at once."""
    pool = BufferPool(most_free=3 << 12)
    with pool.kept():
        blocks = [pool.empty(4096, np.uint8) for _ in range(10)]
        del blocks
        assert 3 << 12 == pool.free_bytes


def test_no_values_take_no_bytes() -> None:
    """Nothing to hold is an array as well."""
    pool = BufferPool()
    assert ((0,), "float64") == (pool.empty(0, np.float64).shape, pool.empty(0, np.float64).dtype.name)
    assert 0 == len(as_array(pa.float64(), pool.empty(0, np.float64)))


def test_no_memory_is_said_as_such() -> None:
    """The system's refusal is Python's own error for it."""
    with pytest.raises(MemoryError, match="bytes are to be had"):
        BufferPool().empty(1 << 60, np.uint8)


def test_threads_never_share_a_block() -> None:
    """Each sees its own values to the end."""
    pool = BufferPool()
    wrong = []

    def work(number: int) -> None:
        for turn in range(300):
            mine = pool.empty(2000, np.int64)
            mine[:] = number * 1000 + turn
            buffer = pa.py_buffer(mine)
            del mine
            if not (np.frombuffer(buffer, np.int64) == number * 1000 + turn).all():
                wrong.append(number)

    with pool.kept():
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    # At most one of each thread at a time, and what the next turn took before the last one's buffer was let go.
    assert 8 >= pool.made
