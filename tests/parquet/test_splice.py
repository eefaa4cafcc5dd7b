"""Column splice: every reader sees old and new columns, and no old byte moves."""

from __future__ import annotations

import datetime as dt
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.adapters.parquet.compare import chunk_digests
from nbplat.adapters.parquet.footer import encode, read_footer
from nbplat.errors import DataError
from tests.fixtures.splicing import row_groups, splice

TYPES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.string(): st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=9),
    pa.bool_(): st.booleans(),
    pa.date32(): st.dates(dt.date(1900, 1, 1), dt.date(2200, 1, 1)),
    pa.timestamp("us"): st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2200, 1, 1)),  # noqa: DTZ001
}


@dataclass(frozen=True)
class Layout:
    """How one file is written."""

    compression: str
    dictionary: bool
    page_index: bool
    statistics: bool
    key_value: bool = False


def layouts() -> st.SearchStrategy[Layout]:
    flag = st.booleans()
    return st.builds(Layout, st.sampled_from(["zstd", "snappy", "none"]), flag, flag, flag, flag)


@st.composite
def columns(draw: st.DrawFn, prefix: str, rows: int, first_id: int, most: int) -> pa.Table:
    kinds = draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=most))
    arrays, fields = [], []
    for number, kind in enumerate(kinds):
        values = st.none() | TYPES[kind]
        arrays.append(pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), kind))
        meta = {b"PARQUET:field_id": str(first_id + number).encode()}
        fields.append(pa.field(f"{prefix}{number}", kind, metadata=meta))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[int], list[pa.Table], list[Layout]]:
    """Row groups, base and two staged tables, and how each is written."""
    groups = draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    rows = sum(groups)
    tables = [draw(columns(prefix, rows, start, 3)) for prefix, start in (("a", 1), ("b", 1), ("c", 1))]
    return groups, tables, [draw(layouts()) for _ in tables]


def write(path: Path, table: pa.Table, groups: list[int], layout: Layout) -> Path:
    with pq.ParquetWriter(
        path,
        table.schema,
        compression=layout.compression,
        use_dictionary=layout.dictionary,
        write_page_index=layout.page_index,
        write_statistics=layout.statistics,
    ) as writer:
        if layout.key_value:
            writer.add_key_value_metadata({"iceberg.schema": '{"type":"struct"}'})
        offset = 0
        for rows in groups:
            writer.write_table(table.slice(offset, rows))
            offset += rows
    return path


def renumbered(table: pa.Table, first_id: int) -> tuple[dict[str, int], pa.Table]:
    ids = {name: first_id + n for n, name in enumerate(table.column_names)}
    fields = [f.with_metadata({b"PARQUET:field_id": str(ids[f.name]).encode()}) for f in table.schema]
    return ids, table.cast(pa.schema(fields))


def same(left: pa.Table, right: pa.Table) -> bool:
    """Equal values and types; NaN equals NaN."""
    if left.schema != right.schema:
        return False
    return all(
        [repr(v) for v in a.to_pylist()] == [repr(v) for v in b.to_pylist()]
        for a, b in zip(left.columns, right.columns, strict=True)
    )


def by_duckdb(path: Path) -> pa.Table:
    with duckdb.connect() as db:
        return db.sql("select * from read_parquet($path)", params={"path": str(path)}).to_arrow_table()


@settings(max_examples=40, deadline=None)
@given(cases())
def test_a_spliced_file_reads_like_the_columns_side_by_side(case: Any) -> None:
    """Spliced once and twice, pyarrow and DuckDB read every column, and old chunks keep their bytes."""
    groups, tables, written = case
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        paths = [
            write(here / f"{n}.parquet", table, groups, layout)
            for n, (table, layout) in enumerate(zip(tables, written, strict=True))
        ]
        expected, current, next_id = tables[0], paths[0], 101
        for step, (table, path) in enumerate(zip(tables[1:], paths[1:], strict=True)):
            ids, numbered = renumbered(table, next_id)
            next_id += 10
            out = here / f"out{step}.parquet"
            report = splice(current, path, out, ids)
            for name in numbered.column_names:
                expected = expected.append_column(numbered.schema.field(name), numbered[name])
            assert same(expected, pq.read_table(out))
            assert expected.schema.equals(pq.read_schema(out).remove_metadata(), check_metadata=True)
            assert groups == row_groups(out)
            assert chunk_digests(current) | chunk_digests(path) == chunk_digests(out)
            old = current.read_bytes()
            assert old[: report.copied_bytes] == out.read_bytes()[: report.copied_bytes]
            assert out.stat().st_size == report.file_bytes
            with current.open("rb") as file:
                assert read_footer(file, "").start == report.copied_bytes
            current = out
        kept = pq.read_metadata(current).metadata or {}
        assert b"ARROW:schema" not in kept
        assert written[0].key_value == (b"iceberg.schema" in kept)
        seen = by_duckdb(current)
        assert expected.num_rows == seen.num_rows
        assert same(expected, seen.cast(expected.schema))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=3, max_size=60), st.booleans(), st.booleans())
def test_page_statistics_still_prune_right(values: list[int], old_index: bool, new_index: bool) -> None:
    """A filter on an old or a new column finds the same rows as without indexes."""
    table = pa.table({"a": pa.array(values, pa.int64())})
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        _, old = renumbered(table, 1)
        ids, new = renumbered(table.rename_columns(["b"]), 2)
        plain = Layout("zstd", False, old_index, True)
        base = write(here / "a.parquet", old, [len(values)], plain)
        staged = write(here / "b.parquet", new, [len(values)], Layout("zstd", False, new_index, True))
        splice(base, staged, here / "out.parquet", ids)
        wanted = sorted(v for v in values if v >= 500)
        for column in ("a", "b"):
            found = pq.read_table(here / "out.parquet", filters=[(column, ">=", 500)])
            assert wanted == sorted(found[column].to_pylist())
            with duckdb.connect() as db:
                rows = db.sql(
                    f"select {column} from read_parquet($p) where {column} >= 500",
                    params={"p": str(here / "out.parquet")},
                ).fetchall()
            assert wanted == sorted(value for (value,) in rows)


PLAIN = Layout("zstd", True, True, True)
BASE = pa.table({"a": pa.array([1, 2, 3], pa.int64())})
NEW = pa.table({"b": pa.array([1.5, None, 2.5], pa.float64())})


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    base = write(tmp_path / "base.parquet", renumbered(BASE, 1)[1], [2, 1], PLAIN)
    return base, write(tmp_path / "new.parquet", renumbered(NEW, 1)[1], [2, 1], PLAIN)


def refused(base: Path, staged: Path, ids: dict[str, int]) -> str:
    """The code of the refusal; nothing is left behind."""
    out = base.with_name("out.parquet")
    with pytest.raises(DataError) as caught:
        splice(base, staged, out, ids)
    assert not out.exists()
    return caught.value.code


def test_other_row_groups_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Rows must be cut alike."""
    other = write(tmp_path / "other.parquet", renumbered(NEW, 1)[1], [1, 2], PLAIN)
    assert "splice.row_groups" == refused(pair[0], other, {"b": 2})


def test_a_column_of_the_base_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """A splice never makes a name twice."""
    other = write(tmp_path / "other.parquet", renumbered(BASE, 1)[1], [2, 1], PLAIN)
    assert "splice.column_exists" == refused(pair[0], other, {"a": 2})


def test_a_column_that_was_not_staged_is_refused(pair: tuple[Path, Path]) -> None:
    """A splice never invents a column."""
    assert "splice.column_missing" == refused(*pair, {"c": 2})


def test_a_base_without_field_ids_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Iceberg would match its columns by name, and the new one by id."""
    bare = write(tmp_path / "bare.parquet", BASE, [2, 1], PLAIN)
    assert "splice.field_ids" == refused(bare, pair[1], {"b": 2})


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda data: b"", "parquet.damaged"),
        (lambda data: data[: len(data) // 2], "parquet.damaged"),
        (lambda data: data[:-1], "parquet.damaged"),
        (lambda data: b"x" * 4096, "parquet.damaged"),
        (lambda data: data[:-8] + b"\xff\xff\xff\x7fPAR1", "parquet.damaged"),
        (lambda data: data[:-40] + b"\xff" * 32 + data[-8:], "parquet.damaged"),
        (lambda data: data[:-4] + b"PARE", "parquet.encrypted"),
    ],
    ids=["empty", "half", "short", "garbage", "length", "footer", "encrypted"],
)
def test_a_damaged_file_is_refused(pair: tuple[Path, Path], which: int, damage: Any, code: str) -> None:
    """Empty, cut off, garbage, encrypted: each is named, and nothing is written."""
    pair[which].write_bytes(damage(pair[which].read_bytes()))
    assert code == refused(*pair, {"b": 2})


def test_an_encrypted_footer_in_the_clear_is_refused(pair: tuple[Path, Path]) -> None:
    """A plain-text footer may still say that columns are encrypted."""
    import struct

    from nbplat.adapters.parquet.footer import idl

    with pair[0].open("rb") as file:
        footer = read_footer(file, "")
    footer.metadata.encryption_algorithm = idl().EncryptionAlgorithm(AES_GCM_V1=idl().AesGcmV1())
    data = encode(footer.metadata)
    body = pair[0].read_bytes()[: footer.start]
    pair[0].write_bytes(body + data + struct.pack("<I", len(data)) + b"PAR1")
    assert "parquet.encrypted" == refused(*pair, {"b": 2})


def test_a_leftover_under_the_name_is_replaced(pair: tuple[Path, Path]) -> None:
    """What a killed try left behind is in nobody's way."""
    out = pair[0].with_name("out.parquet")
    out.write_bytes(b"left over")
    splice(*pair, out, {"b": 2})
    assert ["a", "b"] == pq.read_schema(out).names


def test_only_the_named_columns_are_taken(tmp_path: Path) -> None:
    """Keys and positions in a staged file stay out of the new one."""
    base = write(tmp_path / "base.parquet", renumbered(BASE, 1)[1], [2, 1], PLAIN)
    wide = pa.table({"a": BASE["a"], "b": NEW["b"], "nb_pos": pa.array([0, 1, 2], pa.int64())})
    staged = write(tmp_path / "new.parquet", renumbered(wide, 1)[1], [2, 1], PLAIN)
    splice(base, staged, tmp_path / "out.parquet", {"b": 7})
    assert {"a": [1, 2, 3], "b": [1.5, None, 2.5]} == pq.read_table(tmp_path / "out.parquet").to_pydict()


def test_nested_columns_of_the_base_stay_readable(tmp_path: Path) -> None:
    """Lists and structs before the new column shift no leaf."""
    table = pa.table(
        {"l": pa.array([[1, 2], None, [3]]), "s": pa.array([{"x": 1, "y": "a"}, {"x": None, "y": None}, None])}
    )
    fields = [f.with_metadata({b"PARQUET:field_id": str(n).encode()}) for n, f in enumerate(table.schema, 1)]
    base = write(tmp_path / "base.parquet", table.cast(pa.schema(fields)), [2, 1], PLAIN)
    staged = write(tmp_path / "new.parquet", renumbered(NEW, 1)[1], [2, 1], PLAIN)
    splice(base, staged, tmp_path / "out.parquet", {"b": 9})
    assert {**table.to_pydict(), "b": [1.5, None, 2.5]} == pq.read_table(tmp_path / "out.parquet").to_pydict()
