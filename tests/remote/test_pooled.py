"""Columns read in pieces are those that pyarrow reads whole."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.remote import pooled
from nbplat.remote.buffer_pool import BufferPool
from nbplat.remote.pooled import read_pooled

_DAY = dt.date(2026, 1, 1)
_KINDS: dict[str, tuple[pa.DataType, Any]] = {
    "flag": (pa.bool_(), lambda n: n % 3 == 0),
    "small": (pa.int8(), lambda n: n % 100),
    "long": (pa.int64(), lambda n: n * 10**12),
    "half": (pa.float32(), lambda n: n / 2),
    "day": (pa.date32(), lambda n: _DAY + dt.timedelta(days=n)),
    "at": (pa.timestamp("us", "UTC"), lambda n: dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=n)),
    "noon": (pa.time64("us"), lambda n: dt.time(12, n % 60)),
    "amount": (pa.decimal128(38, 3), lambda n: Decimal(n) / 8),
    "code": (pa.binary(5), lambda n: f"{n:05}".encode()),
    "text": (pa.string(), lambda n: "é" * (n % 7)),
    "even": (pa.list_(pa.float32()), lambda n: [n, n + 0.5, -n]),
    "pair": (pa.list_(pa.int32(), 2), lambda n: [n, -n]),
    "ragged": (pa.list_(pa.int64()), lambda n: list(range(n % 4))),
    "late": (pa.list_(pa.int64()), lambda n: [n, n] if n < 40 else [n]),
    "place": (pa.struct([("x", pa.int64())]), lambda n: {"x": n}),
}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_pieces_give_what_reading_whole_gives(data: st.DataObject) -> None:
    """Any types, nulls, row groups and size of a piece; some row groups as well."""
    rows = data.draw(st.integers(0, 120))
    names = data.draw(st.lists(st.sampled_from(sorted(_KINDS)), min_size=1, max_size=5, unique=True))
    columns = {}
    for name in names:
        kind, value = _KINDS[name]
        gone = data.draw(st.sampled_from([0, 0, 1, 2, 7]))
        columns[name] = pa.array([None if gone and n % gone == 0 else value(n) for n in range(rows)], kind)
    table = pa.table(columns)
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=data.draw(st.integers(1, 130)))
    with pytest.MonkeyPatch.context() as patch, pq.ParquetFile(file, buffer_size=1 << 12) as reader:
        patch.setattr(pooled, "_FEWEST", 1)
        patch.setattr(pooled, "_PIECE_BYTES", data.draw(st.integers(1, 2000)))
        groups = data.draw(st.none() | st.lists(st.integers(0, 9), unique=True).map(sorted))
        if groups is not None:
            groups = [group for group in groups if group < reader.num_row_groups]
        expected = reader.read() if groups is None else reader.read_row_groups(groups)
        pool = BufferPool()
        with pool.kept():
            found = read_pooled(reader, names, pool, groups, together=data.draw(st.booleans()))
            # What is free by now may be written over: nothing of the table may lie there.
            for size in (1, 64, 512, 4096):
                pool.empty(size, np.uint8)[:] = 255
        found.validate(full=True)
        assert expected.select(names).equals(found)


def test_numbers_times_and_even_lists_stand_in_one_chunk_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value of theirs, however many pieces they came in."""
    monkeypatch.setattr(pooled, "_PIECE_BYTES", 10_000)
    names = ["long", "half", "day", "at", "amount", "code", "even", "pair"]
    table = pa.table({name: pa.array([_KINDS[name][1](n) for n in range(20_000)], _KINDS[name][0]) for name in names})
    file = io.BytesIO()
    pq.write_table(table, file)
    pool = BufferPool()
    with pq.ParquetFile(file) as reader:
        found = read_pooled(reader, names, pool)
    assert table.equals(found)
    assert (len(names), {1}) == (pool.made, {column.num_chunks for column in found.columns})
