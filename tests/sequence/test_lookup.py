"""Which row of an enriching table holds for a key at a moment, against a plain oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.remote.failure import KernelError
from nbplat.remote.sequence.hashing import row_hash
from nbplat.remote.sequence.lookup import distinct_keys, find, held_rows, number_keys, sort_values

KEY = st.tuples(st.integers(0, 3) | st.none(), st.sampled_from(["a", "b", "c", None]))
ROW = st.tuples(KEY, st.integers(0, 5) | st.none(), st.integers(0, 2) | st.none())


def _table(rows: list[Any]) -> pa.Table:
    return pa.table(
        {
            "k": pa.array([key[0] for key, _, _ in rows], pa.int32()),
            "z": pa.array([key[1] for key, _, _ in rows], pa.string()),
            "from": pa.array([moment for _, moment, _ in rows], pa.int64()),
            "v": pa.array([value for _, _, value in rows], pa.int64()),
        }
    )


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(ROW, max_size=25),
    wanted=st.lists(st.tuples(KEY, st.integers(-1, 6)), max_size=12),
    strict=st.booleans(),
    latest=st.booleans(),
    keys=st.sampled_from([("k",), ("z",), ("k", "z")]),
    order=st.randoms(use_true_random=False),
)
def test_any_look_up_equals_the_oracle_in_any_order_of_rows(
    rows: list[Any], wanted: list[Any], strict: bool, latest: bool, keys: tuple[str, ...], order: Any
) -> None:
    """The newest row of the key that holds at the moment, of several from one moment the one of the greatest hash."""
    pick = {"k": 0, "z": 1}
    order.shuffle(rows)
    values = sort_values(_table(rows), keys, ("v",), _table(rows)["from"].combine_chunks())
    # Other widths and encodings of the same values are the same keys.
    asked = pa.table(
        {
            "k": pa.array([key[0] for key, _ in wanted], pa.int64()),
            "z": pa.array([key[1] for key, _ in wanted], pa.string()).dictionary_encode(),
        }
    ).select(list(keys))
    moments = np.array([moment for _, moment in wanted], np.int64)
    at = find(values, number_keys(values.keys, asked), None if latest else moments, strict=strict)
    hashes = dict(zip((0, 1, 2, None), row_hash(pa.table({"v": pa.array([0, 1, 2, None], pa.int64())})), strict=True))
    expected: list[tuple[int, int | None] | None] = []
    for key, moment in wanted:
        mine = [
            (start, hashes[value], value)
            for have, start, value in rows
            if start is not None and all(have[pick[k]] is not None and have[pick[k]] == key[pick[k]] for k in keys)
            if latest or (start < moment if strict else start <= moment)
        ]
        best = max(mine, key=lambda each: each[:2], default=None)
        expected.append(None if best is None else (best[0], best[2]))
    got = [None if i < 0 else (int(values.from_us[i]), values.rows["v"][i].as_py()) for i in at.tolist()]
    assert expected == got
    keyless = [row for row in rows if any(row[0][pick[k]] is None for k in keys)]
    assert len(keyless) == values.keyless
    assert len([row for row in rows if row not in keyless and row[1] is None]) == values.timeless


def test_values_that_differ_from_one_moment_on_are_marked() -> None:
    """Two values of a key from one moment on are tied; two equal ones are not."""
    rows = [((1, "a"), 5, 0), ((1, "a"), 5, 1), ((1, "a"), 6, 1), ((2, "a"), 5, 2), ((2, "a"), 5, 2)]
    values = sort_values(_table(rows), ("k",), ("v",), _table(rows)["from"].combine_chunks())
    assert [5, 5, 6, 5, 5] == values.from_us.tolist()
    assert [True, True, False, False, False] == values.tied.tolist()
    assert sort_values(_table(rows[2:]), ("k",), ("v",), _table(rows[2:])["from"].combine_chunks()).tied is None


def test_without_moments_a_key_has_one_row() -> None:
    """A key that is there twice is refused with the count and one of them; null keys do not count."""
    rows = [((1, "a"), None, 0), ((2, "b"), None, 1), ((None, "b"), None, 1), ((None, "b"), None, 2)]
    values = sort_values(_table(rows), ("k", "z"), ("v",))
    asked = pa.table({"k": [2, 1, 1, None], "z": ["b", "b", "a", "b"]})
    assert [1, -1, 0, -1] == find(values, number_keys(values.keys, asked)).tolist()
    assert 2 == values.keyless
    with pytest.raises(KernelError, match=r"sequence\.enrich_doubled: 2 rows repeat a key .* k 1, z 'a'"):
        sort_values(_table([*rows, ((1, "a"), None, 5), ((2, "b"), None, 5)]), ("k", "z"), ("v",))


def test_values_of_every_type_survive() -> None:
    """Lists, structs and texts come out as they went in; no row is found in an empty table."""
    kinds = {"e": pa.list_(pa.float32()), "s": pa.struct([("x", pa.int8())]), "t": pa.string()}
    table = pa.table(
        {
            "k": [2, 1],
            **{
                name: pa.array(values, kinds[name])
                for name, values in (("e", [[1.5, 2.5], None]), ("s", [{"x": 1}, None]), ("t", ["two", None]))
            },
        }
    )
    values = sort_values(table, ("k",), tuple(kinds))
    assert list(kinds.values()) == values.rows.schema.types
    found = find(values, number_keys(values.keys, pa.table({"k": [2]})))
    assert {"e": [1.5, 2.5], "s": {"x": 1}, "t": "two"} == values.rows.take(pa.array(found)).to_pylist()[0]
    empty = sort_values(table.slice(0, 0), ("k",), ("t",), pa.array([], pa.int64()))
    assert [-1] == find(empty, number_keys(empty.keys, pa.table({"k": [2]})), np.array([0])).tolist()


def test_keys_of_another_kind_are_refused() -> None:
    """Numbers do not match texts; the message names both types."""
    values = sort_values(pa.table({"k": [1], "v": [1]}), ("k",), ("v",))
    with pytest.raises(KernelError, match=r"sequence\.enrich_key.*'item'"):
        number_keys(values.keys, pa.table({"item": ["one"]}))


def test_only_rows_of_wanted_keys_are_held() -> None:
    """A table read in chunks leaves the rows whose key was asked for."""
    keys = distinct_keys(pa.table({"a": [3, 1, None, 3]}))
    chunks = [pa.table({"k": [1, 2], "v": [10, 20]}), pa.table({"k": [3, None], "v": [30, 40]})]
    assert [10, 30] == held_rows(chunks, ("k",), keys)["v"].to_pylist()
