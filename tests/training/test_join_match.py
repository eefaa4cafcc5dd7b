"""Keys in order on both sides, matched block by block, and values moved to their rows."""

from __future__ import annotations

import sys
from typing import Any

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


VOID = st.none() | st.integers(-3, 3)


@pytest.mark.parametrize("kind", [pa.int64(), pa.date32(), pa.string(), pa.float64(), pa.decimal128(21, 2)], ids=str)
@given(ours=st.lists(st.tuples(VOID, VOID)), theirs=st.lists(st.tuples(VOID, VOID)), width=st.integers(1, 2))
def test_a_key_with_a_null_meets_nothing(
    kind: pa.DataType, ours: list[tuple[Any, Any]], theirs: list[tuple[Any, Any]], width: int
) -> None:
    """Neither another null, nor what stands in memory for it; several such keys are no duplicates."""
    whole = {key for key in (each[:width] for each in theirs) if None not in key}
    theirs = [*whole, *(key for key in (each[:width] for each in theirs) if None in key)]
    ours = [each[:width] for each in ours]
    names = ["a", "b"][:width]
    base, staged = (_keyed(keys, names, kind) for keys in (ours, theirs))
    found = match(base, staged, names, names, ref="r", unit="u")
    at = list(range(len(ours))) if found.at is None else found.at.tolist()
    assert [theirs.index(key) if key in whole else -1 for key in ours] == at
    assert sum(None in key for key in ours) == found.null_keys


def _keyed(keys: list[tuple[Any, ...]], names: list[str], kind: pa.DataType) -> pa.Table:
    numbers = pa.int32() if kind == pa.date32() else pa.int64()
    columns = [pa.array([key[at] for key in keys], numbers) for at in range(len(names))]
    return pa.table([column.cast(kind) for column in columns], names=names)


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
