"""Rectangles that are copied run by run are those that are taken row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nbplat.remote.sequence.events import Selection
from nbplat.sequence.token_store import Part, TokenStore

ROWS = 13
LO = np.array([0, 4, 4, 13, 9, 12])
HI = np.array([4, 9, 4, 13, 13, 13])


def store(margin: int | None, *, newest_first: bool, skipped: bool = False) -> TokenStore:
    """Two parts of events with a number, a vector and a short integer; six examples, two of them empty."""
    found = TokenStore(12, keep_bytes=1 << 20, margin=margin, turned=newest_first)
    none, offsets = np.zeros(6, np.int64), np.zeros(7, np.int64)
    offsets[-5:] = 1 if skipped else 0
    gaps = np.array([5] if skipped else [], np.int64)
    for base in (0, ROWS):
        numbers = {
            "a": np.arange(1, ROWS + 1, dtype=np.float32) + base,
            "v": np.arange(2 * ROWS, dtype=np.float64).reshape(ROWS, 2) + base + 1,
            "s": np.arange(1, ROWS + 1, dtype=np.int16) + np.int16(base),
        }
        kept = Selection(LO, HI, offsets, gaps, none, none, none)
        found.add(Part(ROWS, np.arange(6) + (6 if base else 0), numbers, pa.table({}), None, (kept,)))
    found.finish()
    return found


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("pad_left", [True, False])
@pytest.mark.parametrize("length", [None, 5, 7])
@pytest.mark.parametrize(("limit", "truncate"), [(None, "oldest"), (2, "oldest"), (2, "newest")])
def test_runs_are_copied_as_rows_are_taken(
    newest_first: bool, pad_left: bool, length: int | None, limit: int | None, truncate: str
) -> None:
    """Numbers, vectors and short integers, padded on either side and cut, are the same in both ways."""
    examples = np.array([11, 0, 1, 2, 3, 4, 5, 6, 7, 10, 1])
    how: dict[str, Any] = {"limit": limit, "truncate": truncate, "length": length, "pad_left": pad_left}
    with store(None, newest_first=newest_first) as plain, store(7, newest_first=newest_first) as windowed:
        assert (False, True) == (plain.windowed, windowed.windowed)
        at, counts = plain.places(examples, (0,), newest_first=newest_first, **how)
        found = windowed.windows(examples, 0, **how)
        assert counts.tolist() == found.counts.tolist()
        assert (at != plain.rows).tolist() == found.mask.tolist()
        for name in ("a", "v", "s"):
            expected = plain.numbers[name].take(at, axis=0)
            out = np.empty_like(expected)
            found.fill({name: (windowed.numbers[name], None, out)})
            assert expected.tolist() == out.tolist(), name


def test_lists_with_gaps_are_taken_row_by_row() -> None:
    """A store in which some event is skipped, or one that went to disk, has no windows."""
    with store(7, newest_first=True, skipped=True) as found:
        assert not found.windowed
    with TokenStore(6, keep_bytes=0, margin=7) as found:
        none, offsets = np.zeros(6, np.int64), np.zeros(7, np.int64)
        kept = Selection(LO, HI, offsets, none[:0], none, none, none)
        found.add(Part(ROWS, np.arange(6), {"a": np.arange(ROWS)}, pa.table({}), None, (kept,)))
        found.finish()
        assert found.spilled
        assert not found.windowed
