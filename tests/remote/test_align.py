"""Bringing a body's result into file order."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.remote.align import align, check_unique, key_digest
from nbplat.remote.failure import KernelError
from nbplat.remote.staged import filled

NEW = ("new",)
KEY_SETS = {
    "long": (("k", pa.int64(), st.integers(-5, 10**12)),),
    "string": (("k", pa.string(), st.text(max_size=4)),),
    "composite": (("a", pa.int64(), st.integers(0, 5)), ("b", pa.string(), st.text("xyz", max_size=3))),
    "three": (
        ("a", pa.int64(), st.integers(0, 3)),
        ("b", pa.int32(), st.integers(0, 3)),
        ("c", pa.string(), st.sampled_from(["", "a", "aa"])),
    ),
}


def brought(result: pa.Table, base: pa.Table, keys: tuple[str, ...], inside: pa.Array | None = None) -> pa.Table:
    """The new column for every base row, as the kernel makes it."""
    wanted = base if inside is None else base.filter(inside)
    new = pa.schema([("new", pa.int64())])
    return filled(align(result, wanted, keys, NEW), base, inside, new, ())


def chunked(table: pa.Table, cuts: list[int]) -> pa.Table:
    """The same rows in several chunks."""
    edges = sorted({0, table.num_rows, *(cut % (table.num_rows + 1) for cut in cuts)})
    parts = [table.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    return pa.concat_tables(parts) if parts else table


@st.composite
def aligned(draw: st.DrawFn) -> tuple[tuple[str, ...], pa.Table, list[bool], list[int], random.Random]:
    fields = draw(st.sampled_from(list(KEY_SETS.values())))
    rows = draw(st.lists(st.tuples(*(values for _, _, values in fields)), unique=True, max_size=30))
    arrays = [pa.array([row[n] for row in rows], kind) for n, (_, kind, _) in enumerate(fields)]
    keys = tuple(name for name, _, _ in fields)
    inside = draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    cuts = draw(st.lists(st.integers(0, 30), max_size=3))
    return keys, pa.table(arrays, names=list(keys)), inside, cuts, draw(st.randoms())


@settings(max_examples=150, deadline=None)
@given(aligned())
def test_any_order_of_the_result_is_brought_into_file_order(case: Any) -> None:
    """Shuffled and chunked as it may be, each value stands in its row, and rows outside hold null."""
    keys, base, inside, cuts, rng = case
    values = list(range(base.num_rows))
    kept = [row for row in values if inside[row]]
    rng.shuffle(kept)
    result = base.take(pa.array(kept, pa.int64())).append_column("new", pa.array(kept, pa.int64()))
    got = brought(chunked(result, cuts), chunked(base, cuts), keys, pa.array(inside, pa.bool_()))
    assert [row if inside[row] else None for row in values] == got["new"].to_pylist()
    if all(inside):
        assert got.equals(brought(result, base, keys))


@settings(max_examples=80, deadline=None)
@given(aligned(), st.sampled_from(["twice", "lost", "extra", "null"]), st.integers(0, 100))
def test_a_result_that_does_not_fit_is_refused(case: Any, fault: str, at: int) -> None:
    """A doubled, lost, foreign or null key each has its own code."""
    keys, base, _, cuts, _ = case
    if not base.num_rows:
        return
    at %= base.num_rows
    result = base.append_column("new", pa.array(range(base.num_rows), pa.int64()))
    row = result.slice(at, 1)
    match fault:
        case "twice":
            result, code = pa.concat_tables([result, row]), "body.duplicate_keys"
        case "lost":
            result, code = pa.concat_tables([result.slice(0, at), result.slice(at + 1)]), "body.missing_keys"
        case "extra":
            base, code = pa.concat_tables([base.slice(0, at), base.slice(at + 1)]), "body.extra_keys"
        case _:
            index = result.column_names.index(keys[0])
            empty = row.set_column(index, keys[0], pa.nulls(1, row[keys[0]].type))
            result, code = pa.concat_tables([result, empty]), "key.null"
    with pytest.raises(KernelError) as caught:
        brought(chunked(result, cuts), chunked(base, cuts), keys)
    assert code == caught.value.code


def test_a_key_from_outside_the_window_is_extra() -> None:
    """A body that returns rows of base outside the window is refused."""
    base = pa.table({"k": [1, 2, 3]})
    result = pa.table({"k": [1, 2, 3], "new": [1, 2, 3]})
    with pytest.raises(KernelError) as caught:
        brought(result, base, ("k",), pa.array([True, True, False]))
    assert "body.extra_keys" == caught.value.code


def test_a_missing_column_is_refused() -> None:
    """A result without a planned column is refused."""
    with pytest.raises(KernelError) as caught:
        align(pa.table({"k": [1]}), pa.table({"k": [1]}), ("k",), NEW)
    assert "body.column_missing" == caught.value.code


def test_an_integer_key_may_come_back_wider() -> None:
    """Keys are compared by value: an engine may give int where the table has long, and back."""
    base = pa.table({"a": pa.array([3, 1, 2], pa.int32()), "b": ["x", "y", "z"]})
    result = pa.table({"a": pa.array([1, 2, 3], pa.int64()), "b": ["y", "z", "x"], "new": [10, 20, 30]})
    assert [30, 10, 20] == align(result, base, ("a", "b"), NEW)["new"].to_pylist()
    assert [30, 10, 20] == align(result.drop(["b"]), base.select(["a"]), ("a",), NEW)["new"].to_pylist()


def test_no_rows_align_to_no_rows() -> None:
    """An empty file has an empty result."""
    base = pa.table({"k": pa.array([], pa.int64())})
    result = base.append_column("new", pa.array([], pa.int64()))
    assert 0 == align(result, base, ("k",), NEW).num_rows


def test_doubled_keys_are_named() -> None:
    """The error names a few of the doubled values and how many there are."""
    table = pa.table({"a": [1, 1, 2, 2, 3], "b": ["x", "x", "y", "y", "z"]})
    with pytest.raises(KernelError) as caught:
        check_unique(table, ("a", "b"), "key.duplicate", "the table holds keys more than once", "choose others")
    assert ("key.duplicate", "choose others") == (caught.value.code, caught.value.fix)
    assert "2 of them" in caught.value.message
    assert "a=1, b=x" in caught.value.message
    check_unique(table.slice(3), ("a", "b"), "c", "w", "f")


@settings(max_examples=80, deadline=None)
@given(aligned())
def test_the_key_digest_is_of_values_in_order(case: Any) -> None:
    """Chunks do not count; a changed value or order does."""
    _, base, _, cuts, rng = case
    digest = key_digest(base)
    assert digest == key_digest(chunked(base, cuts))
    order = list(range(base.num_rows))
    rng.shuffle(order)
    moved = base.take(pa.array(order, pa.int64()))
    assert base.equals(moved) == (digest == key_digest(moved))
    if base.num_rows:
        assert digest != key_digest(base.slice(1))


def test_neighbouring_strings_do_not_run_together() -> None:
    """``ab, c`` and ``a, bc`` are different keys, and so are slices of larger arrays."""
    assert key_digest(pa.table({"k": ["ab", "c"]})) != key_digest(pa.table({"k": ["a", "bc"]}))
    assert key_digest(pa.table({"k": ["x", "ab", "c"]}).slice(1)) == key_digest(pa.table({"k": ["ab", "c"]}))


def test_the_digest_of_keys_without_a_plain_array() -> None:
    """Decimals, fixed-length bytes and slices of them have a digest of their values."""
    keys = pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.50"), decimal.Decimal("3.50")], pa.decimal128(9, 2))
    whole = pa.table({"k": keys})
    assert key_digest(whole.slice(1)) == key_digest(pa.table({"k": pa.array(keys.to_pylist()[1:], keys.type)}))
    assert key_digest(whole) != key_digest(whole.take([1, 0, 2]))
    fixed = pa.table({"k": pa.array([b"ab", b"cd", b"ef"], pa.binary(2))})
    assert key_digest(fixed.slice(1, 1)) == key_digest(pa.table({"k": pa.array([b"cd"], pa.binary(2))}))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([5, 3, 9, 3]),
        pa.array([1 << 60, 0, -(1 << 60), 0]),
        pa.array([dt.date(2024, 1, 2), dt.date(2024, 1, 1), dt.date(2024, 1, 3), dt.date(2024, 1, 1)]),
        pa.array([1.5, 0.5, 2.5, 0.5]),
        pa.array(["b", "a", "c", "a"]),
    ],
    ids=lambda values: str(values.type),
)
def test_a_doubled_value_is_found_in_every_type(values: pa.Array) -> None:
    """Near together, far apart, dates, floats and texts: twice is found, once is not."""
    for column in (values, values.slice(1)):
        with pytest.raises(KernelError, match="1 of them"):
            check_unique(pa.table({"k": column}), ("k",), "c", "w", "f")
    check_unique(pa.table({"k": values.slice(0, 3)}), ("k",), "c", "w", "f")


def test_the_old_value_stands_outside_the_window() -> None:
    """A replaced column keeps what it was in rows that are not computed; a new one is null there."""
    base = pa.table({"k": [1, 2, 3], "f": pa.array([10.0, None, 30.0])})
    new = pa.schema([("f", pa.float64()), ("g", pa.list_(pa.int64()))])
    made = pa.table({"f": [0.5], "g": pa.array([[7]], pa.list_(pa.int64()))})
    inside = pa.array([False, False, True])
    got = filled(made, base, inside, new, ["f"])
    assert {"f": [10.0, None, 0.5], "g": [None, None, [7]]} == got.to_pydict()
    nothing = filled(made.slice(0, 0), base, pa.array([False] * 3), new, ["f"])
    assert {"f": [10.0, None, 30.0], "g": [None] * 3} == nothing.to_pydict()
