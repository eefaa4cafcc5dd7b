"""Keys in order on both sides, matched block by block, and values moved to their rows."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbplat.remote.training import places
from nbplat.remote.training.match import match

NUMBERS = st.lists(st.integers(-40, 40), unique=True, max_size=60).map(sorted)


@pytest.fixture(scope="module", autouse=True)
def _small_blocks() -> object:
    """Blocks of four rows, so that few rows are many blocks."""
    module = sys.modules["nbplat.remote.training.match"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK_ROWS", 4)
        yield


@given(ours=NUMBERS, theirs=NUMBERS)
def test_sorted_keys_find_each_other_over_blocks(ours: list[int], theirs: list[int]) -> None:
    """Whether all staged keys are in the base, some, or none: each base row finds its staged row, or none."""
    base, staged = (pa.table({"k": pa.array(keys, pa.int64())}) for keys in (ours, theirs))
    found = match(base, staged, ["k"], ["k"], ref="r", unit="u")
    at = list(range(len(ours))) if found.at is None else found.at.tolist()
    assert [theirs.index(key) if key in theirs else -1 for key in ours] == at


@given(
    values=st.lists(st.none() | st.integers(-9, 9), min_size=1, max_size=20),
    kind=st.sampled_from([pa.int8(), pa.int64(), pa.float32(), pa.float64(), pa.string()]),
    data=st.data(),
)
def test_values_stand_at_their_rows_and_null_where_there_is_none(
    values: list[int | None], kind: pa.DataType, data: st.DataObject
) -> None:
    """Of any type, in one chunk or two, with nulls of their own: what plain Python takes."""
    column = pa.array(values, pa.int64()).cast(kind)
    cut = data.draw(st.integers(0, len(values)))
    chunked = pa.chunked_array([column.slice(0, cut), column.slice(cut)])
    at = data.draw(st.lists(st.integers(-1, len(values) - 1), max_size=20))
    got = places.Places(np.array(at, np.int64)).take(chunked)
    plain = column.to_pylist()
    assert [None if place < 0 else plain[place] for place in at] == got.to_pylist()
    got.validate(full=True)
