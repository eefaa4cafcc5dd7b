"""Rewriting: live rows in their order with more columns, as every reader sees them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.adapters.files.local import LocalFiles
from nbplat.adapters.parquet.splicer import ParquetSplicer
from nbplat.backfill.ports import FileRead
from nbplat.errors import DataError
from tests.parquet.test_drop import ids_in, read_everywhere, tables, with_ids, write

SPLICER = ParquetSplicer(LocalFiles())


@st.composite
def cases(draw: st.DrawFn) -> Any:
    groups = draw(st.lists(st.integers(1, 8), min_size=1, max_size=3))
    rows = sum(groups)
    gone = draw(st.sets(st.integers(0, rows - 1), max_size=rows - 1))
    return groups, draw(tables("a", rows, 3)), draw(tables("b", rows - len(gone), 2)), sorted(gone), draw(st.booleans())


@settings(max_examples=40, deadline=None)
@given(cases())
def test_live_rows_are_kept_in_order(case: Any) -> None:
    """Deleted rows go, the others stay as they were, and every field has the table's id, in files without ids too."""
    groups, base, new, gone, bare = case
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        numbered, ids = with_ids(base, 1)
        added, more = with_ids(new, 1001)
        path = write(here / "base.parquet", base if bare else numbered, groups)
        read = FileRead(str(path), base.num_rows, {}, np.array(gone, dtype="<i8").tobytes())
        report = SPLICER.rewrite(read, numbered.schema, added, str(here / "out.parquet"))
        live = [row for row in range(base.num_rows) if row not in gone]
        expected = {**base.take(live).to_pydict(), **new.to_pydict()}
        read_everywhere(here / "out.parquet", expected)
        assert ids | more == ids_in(here / "out.parquet")
        assert report["file_bytes"] == (here / "out.parquet").stat().st_size
        left = [sum(1 for row in live if sum(groups[:n]) <= row < sum(groups[: n + 1])) for n in range(len(groups))]
        assert tuple(count for count in left if count) == SPLICER.layout(str(here / "out.parquet")).group_rows
        chunks = pq.read_metadata(here / "out.parquet").row_group(0)
        assert {"ZSTD"} == {chunks.column(n).compression for n in range(chunks.num_columns)}


def numbered(name: str, kind: pa.DataType, number: int) -> pa.Field:
    return pa.field(name, kind, metadata={b"PARQUET:field_id": str(number).encode()})


def test_what_the_schema_became_is_written(tmp_path: Path) -> None:
    """Columns that were renamed, widened, added, or are constant in the partition: as the table has them now."""
    old = pa.schema([numbered("a", pa.int32(), 1), numbered("b", pa.string(), 2), numbered("gone", pa.int64(), 3)])
    path = write(tmp_path / "base.parquet", pa.table([[1, 2], ["x", None], [8, 9]], schema=old), [2])
    now = pa.schema(
        [
            numbered("b", pa.int64(), 1),
            numbered("gone", pa.string(), 2),
            numbered("day", pa.date32(), 7),
            numbered("later", pa.float64(), 9),
        ]
    )
    added, _ = with_ids(pa.table({"new": pa.array([0.5, None])}), 20)
    read = FileRead(str(path), 2, {"day": 19_000}, b"")
    SPLICER.rewrite(read, now, added, str(tmp_path / "out.parquet"))
    table = pq.read_table(tmp_path / "out.parquet")
    assert [pa.int64(), pa.string(), pa.date32(), pa.float64()] == table.schema.types
    assert {"b": 1, "gone": 2, "day": 7, "new": 20} == ids_in(tmp_path / "out.parquet")
    assert [[1, 2], ["x", None], [0.5, None]] == [table[name].to_pylist() for name in ("b", "gone", "new")]
    assert [19_000] * 2 == table["day"].cast(pa.int32()).to_pylist()


def test_names_find_the_columns_of_a_file_without_ids(tmp_path: Path) -> None:
    """A file that was taken in by name keeps columns that were renamed since."""
    path = write(tmp_path / "base.parquet", pa.table({"old": [1, 2]}), [1, 1])
    schema = pa.schema([numbered("new", pa.int64(), 5)])
    read = FileRead(str(path), 2, {}, np.array([0], dtype="<i8").tobytes())
    report = SPLICER.rewrite(read, schema, pa.table({}), str(tmp_path / "out.parquet"), names={5: ("old", "older")})
    read_everywhere(tmp_path / "out.parquet", {"new": [2]})
    assert 0 == report["copied_bytes"]


def test_other_rows_than_the_manifest_says_are_refused(tmp_path: Path) -> None:
    """In the file and in what is added; nothing is written."""
    table, _ = with_ids(pa.table({"a": [1, 2, 3]}), 1)
    path = write(tmp_path / "base.parquet", table, [3])
    added, _ = with_ids(pa.table({"b": [1]}), 9)
    for rows, more in ((4, pa.table({})), (3, added)):
        with pytest.raises(DataError) as caught:
            SPLICER.rewrite(FileRead(str(path), rows, {}, b""), table.schema, more, str(tmp_path / "out.parquet"))
        assert "rewrite.rows" == caught.value.code
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError) as caught:
        SPLICER.rewrite(FileRead(str(path), 3, {}, b""), table.schema, pa.table({}), str(tmp_path / "out.parquet"))
    assert "parquet.damaged" == caught.value.code
    assert ["base.parquet"] == [left.name for left in tmp_path.iterdir()]
