"""Sorting packed keys, hashing, content, padding and nearest vectors."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.remote.failure import KernelError
from nbplat.remote.sequence import packed_sort
from nbplat.remote.sequence.content import content_digest
from nbplat.remote.sequence.gather import Ragged, lists
from nbplat.remote.sequence.hashing import bucket_of, row_hash
from nbplat.remote.sequence.nearest import nearest, vectors
from nbplat.remote.sequence.order import order_events
from nbplat.remote.sequence.pad import pad
from nbplat.remote.sequence.ranges import locate

LEAST, MOST = -(1 << 63), (1 << 63) - 1
_KEYS = (
    st.sampled_from([0, 1, 2]),
    st.integers(0, 40),
    st.sampled_from([LEAST, -1, 0, MOST]),
    st.integers(-5, 5).map(lambda second: second * 1_000_000),
    st.integers(0, 9).map(lambda day: day * 86_400_000_000 + 5),
    st.integers(LEAST, MOST),
)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_rows_sort_by_packed_keys_as_by_the_keys(data: st.DataObject) -> None:
    """Whether keys fit into one word, are dealt into pieces, or are compared one after another: the order is theirs."""
    count = data.draw(st.integers(0, 60))
    chosen = data.draw(st.lists(st.sampled_from(_KEYS), min_size=1, max_size=3))
    parts = [np.array(data.draw(st.lists(each, min_size=count, max_size=count)), dtype=np.int64) for each in chosen]
    first = data.draw(st.integers(1, len(parts)))
    piece, block = data.draw(st.sampled_from([(1 << 12, 1 << 16), (4, 8), (2, 3), (1, 1)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_sort, "_PIECE", piece)
        patch.setattr(packed_sort, "_BLOCK", block)
        found = packed_sort.sort_by(parts, first)
        stable = packed_sort.sort_runs(parts) if count else np.empty(0, np.int64)
    rows = [tuple(int(part[at]) for part in parts) for at in range(count)]
    ordered = [rows[at] for at in found.order]
    assert sorted(range(count), key=lambda at: rows[at]) == stable.tolist()
    assert stable.tolist() == found.order.tolist()
    assert [at == 0 or ordered[at] != ordered[at - 1] for at in range(count)] == found.new.tolist()
    assert [
        at == 0 or ordered[at][:first] != ordered[at - 1][:first] for at in range(count)
    ] == found.new_first.tolist()


def test_narrow_keys_of_any_width_sort_alike() -> None:
    """Keys of 8 to 64 bits, signed or not, give the same order."""
    values = [3, 1, 2, 1]
    for kind in (np.int8, np.uint8, np.int16, np.uint32, np.int64, np.uint64):
        found = packed_sort.sort_by([np.array(values, kind), np.array([0, 1, 0, 0], np.int8)])
        assert [3, 1, 2, 0] == found.order.tolist()
    wide = packed_sort.sort_by([np.array([1 << 63, 0, (1 << 64) - 1], np.uint64)])
    assert [1, 0, 2] == wide.order.tolist()


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ([1, None, -5], [pa.int8(), pa.int32(), pa.int64()]),
        (["a", None, "x" * 900], [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]),
        (["", None, "é" * 9], [pa.large_string(), pa.string_view()]),
        ([b"a", None, b""], [pa.binary(), pa.large_binary(), pa.binary_view()]),
        ([1500, None, -1500], [pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns", tz="UTC")]),
        ([0.5, None, math.nan], [pa.float16(), pa.float32(), pa.float64()]),
        ([Decimal("1.5"), None, Decimal(-20)], [pa.decimal64(9, 1), pa.decimal128(30, 4), pa.decimal256(60, 20)]),
        ([[1, None], None, []], [pa.list_(pa.int8()), pa.large_list(pa.int64()), pa.list_view(pa.int16())]),
        ([[1, 2], None, [3, 4]], [pa.list_(pa.int8(), 2), pa.large_list(pa.int64())]),
    ],
)  # fmt: skip
def test_a_value_has_one_hash_in_every_type(values: list[Any], kinds: list[pa.DataType]) -> None:
    """Width, unit, layout and dictionary do not show in the hash, and so not in the bucket."""
    columns = []
    for kind in kinds:
        if pa.types.is_timestamp(kind):
            moments = pa.array(values, pa.timestamp("ms"))
            columns.append(moments.cast(pa.timestamp(kind.unit)).cast(kind))
        elif pa.types.is_float16(kind):
            columns.append(pa.array([None if value is None else np.float16(value) for value in values], kind))
        else:
            columns.append(pa.array(values, kind))
    found = [row_hash(pa.table({"any": column})).tolist() for column in columns]
    assert [found[0]] * len(kinds) == found
    assert len(set(found[0])) == len(values)


def test_a_null_part_has_no_bucket() -> None:
    """The bucket of an entity with a null part is -1, of any other in range."""
    entity = pa.table({"a": [1, None, 1, 2], "b": ["x", "x", None, "y"]})
    found = bucket_of(entity, 7).tolist()
    assert [False, True, True, False] == [bucket == -1 for bucket in found]
    assert all(-1 <= bucket < 7 for bucket in found)


def test_buckets_are_about_equally_full() -> None:
    """Consecutive numbers and texts spread over the buckets."""
    numbers = pa.table({"a": pa.array(range(40_000))})
    texts = pa.table({"a": pa.array([f"user-{at}" for at in range(40_000)])})
    for entity in (numbers, texts):
        counts = np.bincount(bucket_of(entity, 8), minlength=8)
        assert 4_600 < counts.min()
        assert counts.max() < 5_400


def test_a_type_without_an_order_is_refused() -> None:
    """Lists cannot say whose event it is; the message names the column."""
    rows = pa.table({"u": pa.array([[1]], pa.list_(pa.int64())), "k": ["a"]})
    with pytest.raises(KernelError, match=r"sequence\.order: u is of type list"):
        order_events(rows, entity=["u"], type="k", types=["a"], time_us=[1])


def test_a_type_without_a_plain_form_is_refused() -> None:
    """A month interval can be neither hashed nor digested."""
    months = pa.table({"m": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
    for kernel in (row_hash, content_digest):
        with pytest.raises(KernelError, match=r"sequence\.column_type"):
            kernel(months)


def test_entities_are_found_in_other_types() -> None:
    """Examples may hold an entity in another width or layout; what is unknown or null is -1."""
    rows = pa.table({"u": pa.array([5, 9, 5], pa.int32()), "c": ["b", "a", "a"], "k": ["x"] * 3})
    events, _ = order_events(rows, entity=["u", "c"], type="k", types=["x"], time_us=[1, 2, 3], hashed=["u", "c"])
    asked = pa.table(
        {
            "who": pa.array([5, 5, 9, 9, None, 1 << 40], pa.int64()),
            "land": pa.array(["a", "b", "a", "b", "a", "a"], pa.large_string()),
        }
    )
    assert [0, 1, 2, -1, -1, -1] == locate(events, asked).tolist()


def test_counts_say_what_became_of_each_row() -> None:
    """Every row is counted once: left out for a null, of another type, a copy, or kept; and tied rows are told."""
    rows = pa.table(
        {
            "u": ["a", None, "a", "a", "a", "b", "a", "a"],
            "k": ["x", "x", None, "x", "z", "x", "x", "x"],
            "i": [1, 1, 1, 1, 1, 1, 1, 2],
        }
    )
    time = pa.array([1, 2, 3, None, 5, 6, 1, 1])
    _, counts = order_events(
        rows, entity=["u"], type="k", types=["x"], time_us=time, id=["i"], hashed=["u", "k", "i"], dedupe="first"
    )
    assert (8, 1, 1, 1, 0) == counts[:5]
    assert (1, 1, 3, 2, 0) == (counts.other_types, counts.copies, counts.kept, counts.tied, counts.equal)
    assert {"x": 4, "z": 1} == counts.types
    assert {"x": 8, "z": 2} == counts.plus(counts).types


def test_equal_rows_are_counted_when_they_stay() -> None:
    """Without a dedupe rule equal rows stay and are counted; with `exact` one of them stays."""
    rows = pa.table({"u": ["a", "a", "a"], "k": ["x"] * 3, "v": [math.nan, math.nan, 1.0]})
    for dedupe, kept, copies, equal in (("none", 3, 0, 1), ("exact", 2, 1, 0)):
        _, counts = order_events(
            rows, entity=["u"], type="k", types=["x"], time_us=[4, 4, 4], hashed=["v"], dedupe=dedupe
        )
        assert (kept, copies, equal) == (counts.kept, counts.copies, counts.equal)


# -- content ---------------------------------------------------------------------------------------


def test_content_does_not_depend_on_storage() -> None:
    """Chunks, dictionaries, widths and what stands under a null do not change the digest."""
    plain = pa.table({"a": [1, None, 3], "b": ["x", "", None], "c": [[1.0], None, []], "d": [0.0, 1.0, math.nan]})
    hidden = pa.Array.from_buffers(
        pa.int16(), 3, [plain["a"].chunk(0).buffers()[0], pa.array([1, 77, 3], pa.int16()).buffers()[1]]
    )
    other = pa.table(
        {
            "a": hidden,
            "b": pa.chunked_array([["x"], ["", None]]).dictionary_encode(),
            "c": pa.array([[1.0], None, []], pa.large_list(pa.float32())),
            "d": pa.chunked_array([pa.array([-0.0]), pa.array([1.0, -math.nan])]),
        }
    )  # fmt: skip
    assert content_digest(plain) == content_digest(other)
    assert content_digest(plain.slice(1)) == content_digest(other.slice(1))


@pytest.mark.parametrize(
    "other",
    [
        {"a": [1, None, 4], "b": ["xy", "z", None]},
        {"a": [1, None, 3], "b": ["x", "yz", None]},
        {"a": [1, None, 3], "b": ["xy", "z", ""]},
        {"a": [None, 1, 3], "b": ["xy", "z", None]},
        {"b": ["xy", "z", None], "a": [1, None, 3]},
        {"a": [1.0, None, 3.0], "b": ["xy", "z", None]},
    ],
)
def test_other_content_has_another_digest(other: dict[str, list[Any]]) -> None:
    """Values, nulls, their places, names and kinds of columns count."""
    assert content_digest(pa.table({"a": [1, None, 3], "b": ["xy", "z", None]})) != content_digest(pa.table(other))


# -- rectangles and lists --------------------------------------------------------------------------


def test_lists_are_padded_on_either_side() -> None:
    """A list fills its row from the given side, and the mask says where."""
    offsets = np.array([0, 2, 2, 3])
    right, mask = pad(np.array([7, 8, 9], np.int32), offsets)
    left, other = pad(np.array([7, 8, 9], np.int32), offsets, 3, side="left", fill=-1)
    assert [[7, 8], [0, 0], [9, 0]] == right.tolist()
    assert [[True, True], [False, False], [True, False]] == mask.tolist()
    assert [[-1, 7, 8], [-1, -1, -1], [-1, -1, 9]] == left.tolist()
    assert [[False, True, True], [False] * 3, [False, False, True]] == other.tolist()
    assert np.int32 == right.dtype


def test_vectors_are_padded_token_by_token() -> None:
    """Values of D numbers give an array [B, L, D]; no lists at all give one without columns."""
    found, _ = pad(np.ones((1, 2)), np.array([0, 0, 1]))
    assert (2, 1, 2) == found.shape
    assert (2, 0) == pad(np.empty(0), np.zeros(3, np.int64))[0].shape


def test_a_list_that_is_too_long_is_not_cut_silently() -> None:
    """Padding refuses what does not fit."""
    with pytest.raises(ValueError, match="3 does not fit into 2"):
        pad(np.arange(3), np.array([0, 3]), 2)


def test_values_become_lists_in_any_chunking() -> None:
    """Lists take values by position, nulls as well, whatever the chunks."""
    values = pa.chunked_array([["a"], ["b", None]])
    found = lists(values, np.array([2, 0, 0]), np.array([0, 1, 1, 3]))
    assert [[None], [], ["a", "a"]] == found.to_pylist()
    assert [[], []] == lists(
        pa.chunked_array([], pa.string()), np.empty(0, np.int64), np.zeros(3, np.int64)
    ).to_pylist()


# -- nearest ---------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_the_nearest_are_those_of_a_slow_search(data: st.DataObject) -> None:
    """Of each example's rows the largest products stay, summed coordinate by coordinate; of equal ones the newer."""
    size, rows, examples = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 8)), data.draw(st.integers(0, 4))
    number = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.1, 0.2, 1e308, math.inf, math.nan, None])
    vector = st.none() | st.lists(number, min_size=size, max_size=size)
    events = data.draw(st.lists(vector, min_size=rows, max_size=rows))
    queries = data.draw(st.lists(vector, min_size=examples, max_size=examples))
    asked = [data.draw(st.lists(st.integers(0, rows - 1), unique=True).map(sorted)) for _ in range(examples)]
    count = data.draw(st.integers(1, 4))
    offsets = np.cumsum([0, *map(len, asked)])
    kind = pa.list_(pa.float64())
    found = nearest(
        Ragged(np.array([row for each in asked for row in each], np.int64), offsets),
        vectors(pa.array(events, kind), "e"),
        vectors(pa.array(queries, kind), "q"),
        count,
    )
    unlike = 0
    for at, (query, candidates) in enumerate(zip(queries, asked, strict=True)):
        products = {}
        for row in candidates if query is not None and None not in query else ():
            event, total = events[row], 0.0
            if event is not None and None not in event:
                for first, second in zip(event, query or (), strict=True):
                    total += first * second
                if not math.isnan(total):
                    products[row] = total
                    continue
            unlike += 1
        best = sorted(products, key=lambda row: (-products[row], -row))[:count]
        assert sorted(best) == found.kept.positions[found.kept.offsets[at] : found.kept.offsets[at + 1]].tolist()
    assert unlike == found.unlike
    assert sum(query is None or None in query for query in queries) == found.blind


def test_vectors_of_other_lengths_are_refused() -> None:
    """Two models' vectors cannot be compared; the message gives both lengths."""
    pairs = Ragged(np.array([0]), np.array([0, 1]))
    with pytest.raises(KernelError, match="events have vectors of 2 numbers, examples of 3"):
        nearest(pairs, vectors(pa.array([[1, 2]]), "e"), vectors(pa.array([[1, 2, 3]]), "q"), 1)
    with pytest.raises(KernelError, match="different lengths, 1 and 2"):
        vectors(pa.array([[1.0], [1.0, 2.0]]), "e")
    with pytest.raises(KernelError, match="not a list of numbers"):
        vectors(pa.array(["a"]), "e")
