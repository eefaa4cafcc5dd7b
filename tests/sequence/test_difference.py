"""How stored events differ from what they should be, against counting in plain Python."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.remote.sequence.difference import changed_fields, difference

SCHEMA = pa.schema(
    [
        pa.field("user", pa.string()),
        pa.field("id", pa.int64()),
        pa.field("x", pa.float64()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("nb_bucket", pa.int32()),
        pa.field("nb_type", pa.string()),
        pa.field("nb_time", pa.int64()),
    ]
)
ROW = st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from([1, 2, None]),
    st.sampled_from([0.0, 1.5, math.nan, None]),
    st.sampled_from([None, [], ["p"]]),
    st.just(3),
    st.sampled_from(["click", "buy"]),
    st.integers(0, 2),
)
ROWS = st.lists(ROW, max_size=8)


def table(rows: list[Any]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA)


def keys(rows: list[Any]) -> list[str]:
    return [repr(row) for row in rows]


def identity(row: Any, by_id: bool) -> tuple[Any, ...]:
    user, number, _, _, _, kind, at = row
    return ("id", user, kind, number) if by_id and number is not None else ("time", user, kind, at)


@settings(max_examples=200, deadline=None)
@given(old=ROWS, new=ROWS, by_id=st.booleans())
def test_differences_are_those_of_counting(old: list[Any], new: list[Any], by_id: bool) -> None:
    """What is gone and what has come are the multiset differences; as many pairs change as share an identity."""
    found = difference(table(old), table(new), ["user"], ["id"] if by_id else [])
    gone, come = Counter(keys(old)) - Counter(keys(new)), Counter(keys(new)) - Counter(keys(old))
    assert gone == Counter(keys([old[at] for at in found.gone]))
    assert come == Counter(keys([new[at] for at in found.come]))
    left = Counter(identity(old[at], by_id) for at in found.gone)
    right = Counter(identity(new[at], by_id) for at in found.come)
    assert (left & right) == Counter(identity(old[at], by_id) for at in found.was)
    pairs = list(zip(found.was, found.now, strict=True))
    assert all(identity(old[was], by_id) == identity(new[now], by_id) for was, now in pairs)
    assert len(set(found.was.tolist())) == len(pairs) == len(set(found.now.tolist()))


@settings(max_examples=50, deadline=None)
@given(old=ROWS, new=ROWS)
def test_changed_fields_are_those_that_differ(old: list[Any], new: list[Any]) -> None:
    """Of each changed pair exactly the columns whose values differ are named; NaN equals NaN."""
    before, after = table(old), table(new)
    found = difference(before, after, ["user"], ["id"])
    fields = changed_fields(before, after, found)
    for place, (was, now) in enumerate(zip(found.was, found.now, strict=True)):
        expected = {n for n, a, b in zip(SCHEMA.names, old[was], new[now], strict=True) if repr(a) != repr(b)}
        assert expected == {name for name, differs in fields.items() if differs[place]}


def test_nothing_differs_from_itself() -> None:
    """Equal rows in another order differ in nothing, and an empty side is no special case."""
    rows = [("a", 1, 0.0, ["p"], 3, "click", 0)] * 3 + [("b", None, math.nan, None, 3, "buy", 1)]
    same = difference(table(rows), table(rows[::-1]), ["user"], ["id"])
    assert [0, 0] == [len(same.gone), len(same.come)]
    assert [0, 1, 2, 3] == difference(table([]), table(rows), ["user"], ["id"]).come.tolist()
    assert np.array_equal(np.arange(4), difference(table(rows), table([]), ["user"], ["id"]).gone)
