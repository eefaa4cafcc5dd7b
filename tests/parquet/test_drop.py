"""Leaving columns out, several additions, nested columns and files without field ids: right in every reader."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.adapters.files.local import LocalFiles
from nbplat.adapters.parquet.footer import read_footer, read_footer_bytes
from nbplat.adapters.parquet.splice import splice
from nbplat.adapters.parquet.splicer import ParquetSplicer
from nbplat.backfill.ports import Addition
from nbplat.errors import DataError

FILES = LocalFiles()
SPLICER = ParquetSplicer(FILES)

KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "long": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "double": (pa.float64(), st.floats(allow_nan=False)),
    "text": (pa.string(), st.text("abcß\u4e16", max_size=4)),
    "flag": (pa.bool_(), st.booleans()),
    "list": (pa.list_(pa.float32()), st.lists(st.none() | st.floats(width=32, allow_nan=False), max_size=4)),
    "struct": (
        pa.struct({"x": pa.int64(), "y": pa.string()}),
        st.fixed_dictionaries({"x": st.none() | st.integers(0, 9), "y": st.none() | st.text("ab", max_size=2)}),
    ),
    "structs": (
        pa.list_(pa.struct({"x": pa.int32()})),
        st.lists(st.none() | st.fixed_dictionaries({"x": st.none() | st.integers(0, 9)}), max_size=3),
    ),
    "map": (
        pa.map_(pa.string(), pa.int64()),
        st.dictionaries(st.text("abc", min_size=1, max_size=2), st.integers(0, 9), max_size=3).map(
            lambda entries: sorted(entries.items())
        ),
    ),
}


def numbered(field: pa.Field, first: int) -> tuple[pa.Field, dict[str, int]]:
    """The field with ids from `first` on for itself and all below it, and the ids by Iceberg path."""
    ids: dict[str, int] = {}

    def visit(each: pa.Field, path: str) -> pa.Field:
        ids[path] = number = first + len(ids)
        kind = each.type
        if pa.types.is_list(kind):
            kind = pa.list_(visit(kind.value_field.with_name("element"), f"{path}.element"))
        elif pa.types.is_map(kind):
            kind = pa.map_(visit(kind.key_field, f"{path}.key"), visit(kind.item_field, f"{path}.value"))
        elif pa.types.is_struct(kind):
            kind = pa.struct([visit(kind.field(n), f"{path}.{kind.field(n).name}") for n in range(kind.num_fields)])
        return pa.field(each.name, kind, each.nullable, metadata={b"PARQUET:field_id": str(number).encode()})

    return visit(field, field.name), ids


def with_ids(table: pa.Table, first: int) -> tuple[pa.Table, dict[str, int]]:
    """The table with field ids on every field; `first` for the first column, a hundred further for each next."""
    fields, ids = [], {}
    for n, field in enumerate(table.schema):
        done, more = numbered(field, first + 100 * n)
        fields.append(done)
        ids |= more
    return table.cast(pa.schema(fields)), ids


def write(path: Path, table: pa.Table, groups: list[int], **how: Any) -> Path:
    with pq.ParquetWriter(path, table.schema, **how) as writer:
        offset = 0
        for rows in groups:
            writer.write_table(table.slice(offset, rows))
            offset += rows
    return path


def ids_in(path: Path) -> dict[str, int | None]:
    """Field ids that pyarrow finds, by Iceberg path."""
    found: dict[str, int | None] = {}

    def visit(field: pa.Field, at: str) -> None:
        number = (field.metadata or {}).get(b"PARQUET:field_id")
        found[at] = int(number) if number else None
        kind = field.type
        if pa.types.is_list(kind):
            visit(kind.value_field, f"{at}.element")
        elif pa.types.is_map(kind):
            visit(kind.key_field, f"{at}.key")
            visit(kind.item_field, f"{at}.value")
        elif pa.types.is_struct(kind):
            for n in range(kind.num_fields):
                visit(kind.field(n), f"{at}.{kind.field(n).name}")

    for field in pq.read_schema(path):
        visit(field, field.name)
    return found


def plain(values: list[Any], *, pairs: bool) -> list[Any]:
    """Maps as dicts, so that readers agree."""
    return [dict(value) if pairs and value is not None else value for value in values]


def read_everywhere(path: Path, expected: Mapping[str, list[Any]]) -> None:
    """pyarrow, DuckDB and Polars read exactly these columns."""
    table = pq.read_table(path)
    maps = {field.name for field in table.schema if pa.types.is_map(field.type)}
    wanted = {name: plain(values, pairs=name in maps) for name, values in expected.items()}
    assert list(wanted) == table.column_names
    assert wanted == {name: plain(table[name].to_pylist(), pairs=name in maps) for name in table.column_names}
    with duckdb.connect() as db:
        rows = db.sql("select * from read_parquet($p)", params={"p": str(path)})
        assert list(wanted) == rows.columns
        assert wanted == {
            name: list(column) for name, column in zip(rows.columns, zip(*rows.fetchall(), strict=True), strict=True)
        }
    frame = pl.read_parquet(path)
    assert list(wanted) == frame.columns
    for name in wanted.keys() - maps:  # Polars reads a map as a list of structs
        assert wanted[name] == frame[name].to_list()
    assert table.num_rows == frame.height


@st.composite
def tables(draw: st.DrawFn, prefix: str, rows: int, most: int) -> pa.Table:
    kinds = draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=most))
    columns = {}
    for n, name in enumerate(kinds):
        kind, values = KINDS[name]
        columns[f"{prefix}{n}_{name}"] = pa.array(
            draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind
        )
    return pa.table(columns)


@st.composite
def cases(draw: st.DrawFn) -> Any:
    groups = draw(st.lists(st.integers(1, 8), min_size=1, max_size=3))
    made = [draw(tables(prefix, sum(groups), 3)) for prefix in "abcd"]
    how = [
        {
            "compression": draw(st.sampled_from(["zstd", "snappy", "none"])),
            "write_page_index": draw(st.booleans()),
            "use_dictionary": draw(st.booleans()),
            "data_page_size": draw(st.sampled_from([8, 1 << 20])),
        }
        for _ in made
    ]
    return groups, made, how, draw(st.lists(st.booleans(), min_size=12, max_size=12)), draw(st.booleans())


@settings(max_examples=60, deadline=None)
@given(cases())
def test_columns_come_and_go(case: Any) -> None:
    """Two additions in one pass, then one more with columns left out, then more left out: every reader agrees."""
    groups, made, how, coins, bare = case
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        numbered_tables = [with_ids(table, 1000 * n + 1) for n, table in enumerate(made)]
        paths = [
            write(here / f"{n}.parquet", made[0] if bare and n == 0 else table, groups, **how[n])
            for n, (table, _) in enumerate(numbered_tables)
        ]
        mapping = {tuple(path.split(".")): number for path, number in numbered_tables[0][1].items()} if bare else None
        ids = [ids for _, ids in numbered_tables]
        expected = {name: values for table in made[:3] for name, values in table.to_pydict().items()}
        additions = [Addition(str(paths[n]), ids[n]) for n in (1, 2)]
        one = here / "one.parquet"
        report = splice(FILES, str(paths[0]), additions, str(one), name_ids=mapping)
        assert 0 == report.dead_bytes
        read_everywhere(one, expected)
        assert ids[0] | ids[1] | ids[2] == ids_in(one)
        assert SPLICER.unchanged(str(paths[0]), additions, str(one), name_ids=mapping) is None

        current, added = one, [Addition(str(paths[3]), ids[3])]
        for step, flips in enumerate((coins[:6], coins[6:])):
            # The first base column stays: a file has to have one.
            drop = [name for name, flip in zip(list(expected)[1:], flips, strict=False) if flip]
            every = ids[0] | ids[1] | ids[2] | ids[3]
            numbers = {every[name] for name in drop}
            out = here / f"drop{step}.parquet"
            report = splice(FILES, str(current), added, str(out), drop=numbers)
            assert SPLICER.unchanged(str(current), added, str(out), drop=numbers) is None
            kept = {name: values for name, values in expected.items() if name not in drop}
            expected = kept | (made[3].to_pydict() if added else {})
            read_everywhere(out, expected)
            assert {path: n for path, n in every.items() if path.split(".")[0] in expected} == ids_in(out)
            assert groups == list(SPLICER.layout(str(out)).group_rows)
            assert current.read_bytes()[: report.copied_bytes] == out.read_bytes()[: report.copied_bytes]
            assert out.stat().st_size == report.file_bytes
            totals_add_up(out)
            current, added = out, []


def totals_add_up(path: Path) -> None:
    """Row-group totals are the sums over the chunks, and every chunk lies in the file."""
    with path.open("rb") as file:
        footer = read_footer(file, str(path))
    for group in footer.metadata.row_groups:
        metas = [chunk.meta_data for chunk in group.columns]
        assert group.total_byte_size == sum(meta.total_uncompressed_size for meta in metas)
        assert group.total_compressed_size in (None, sum(meta.total_compressed_size for meta in metas))
        assert all(meta.data_page_offset + 1 <= footer.start for meta in metas)
    leaves = sum(not element.num_children for element in footer.metadata.schema)
    assert leaves == len(footer.metadata.column_orders)
    assert footer.metadata.schema[0].num_children == len(pq.read_schema(path))


BASE = pa.table({"a": pa.array([1, 2, 3]), "x": pa.array(["old", None, "old"])})
NEW = pa.table({"x": pa.array([1.5, None, 2.5])})


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, dict[str, int]]:
    """A base with `a` (1) and `x` (101), and an aligned file with a new `x` (501)."""
    new, ids = with_ids(NEW, 501)
    base = write(tmp_path / "base.parquet", with_ids(BASE, 1)[0], [2, 1])
    return base, write(tmp_path / "new.parquet", new, [2, 1]), ids


def test_what_was_spliced_last_leaves_no_bytes(files: tuple[Path, Path, dict[str, int]], tmp_path: Path) -> None:
    """Leaving out the columns at the end of a file gives the file as it was before them, dead bytes none."""
    base, new, _ = files
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    first = splice(FILES, str(base), [Addition(str(new), {"x": 501})], str(one), drop={101})
    assert first.copied_bytes == first.dead_bytes + _used(one, first.copied_bytes)
    assert 0 < splice(FILES, str(base), [], str(one), drop={1}).dead_bytes
    last = splice(FILES, str(base), [], str(one), drop={101})
    assert last.file_bytes < base.stat().st_size
    again = pa.table({"y": NEW["x"]})
    write(new, with_ids(again, 601)[0], [2, 1])
    splice(FILES, str(base), [Addition(str(new), {"y": 601})], str(one))
    back = splice(FILES, str(one), [], str(two), drop={601})
    assert 0 == back.dead_bytes
    with base.open("rb") as file:
        assert read_footer(file, "").start == back.copied_bytes
    read_everywhere(two, BASE.to_pydict())


def _used(path: Path, before: int) -> int:
    """Bytes before an offset that the footer refers to, with the magic at the start."""
    with path.open("rb") as file:
        groups = read_footer(file, "").metadata.row_groups
    metas = [chunk.meta_data for group in groups for chunk in group.columns]
    starts = [(meta.dictionary_page_offset or meta.data_page_offset, meta.total_compressed_size) for meta in metas]
    return 4 + sum(size for start, size in starts if start < before)


def test_a_dropped_column_of_the_same_name_makes_room(files: tuple[Path, Path, dict[str, int]], tmp_path: Path) -> None:
    """A column that the table dropped is still in the file; the new one of its name takes its place."""
    base, new, ids = files
    out = tmp_path / "out.parquet"
    with pytest.raises(DataError) as caught:
        splice(FILES, str(base), [Addition(str(new), ids)], str(out))
    assert ("splice.column_exists", False) == (caught.value.code, out.exists())
    splice(FILES, str(base), [Addition(str(new), ids)], str(out), drop={101})
    read_everywhere(out, {"a": [1, 2, 3], "x": [1.5, None, 2.5]})
    assert {"a": 1, "x": 501} == ids_in(out)
    assert {"a": 1, "x": 501} == SPLICER.layout(str(out)).columns


def test_a_field_id_of_the_base_is_refused(files: tuple[Path, Path, dict[str, int]], tmp_path: Path) -> None:
    """Two columns under one id would be read as one."""
    base, new, _ = files
    with pytest.raises(DataError) as caught:
        splice(FILES, str(base), [Addition(str(new), {"x": 1})], str(tmp_path / "out.parquet"), drop={101})
    assert "splice.column_exists" == caught.value.code


def test_a_replaced_column_keeps_its_id(files: tuple[Path, Path, dict[str, int]], tmp_path: Path) -> None:
    """The old chunk goes out and the new one comes in under the same field id, whatever the column was called."""
    base, new, _ = files
    out = tmp_path / "out.parquet"
    splice(FILES, str(base), [Addition(str(new), {"x": 101})], str(out), drop={101})
    read_everywhere(out, {"a": [1, 2, 3], "x": [1.5, None, 2.5]})
    assert {"a": 1, "x": 101} == ids_in(out)


def test_columns_that_the_mapping_does_not_name_are_left_out(tmp_path: Path) -> None:
    """A file taken in by name may hold more than the table knows; nested fields without an id are refused."""
    table = pa.table({"a": [1, 2], "extra": ["p", "q"], "s": pa.array([{"x": 1, "y": 2}, None])})
    base, out = write(tmp_path / "base.parquet", table, [2]), tmp_path / "out.parquet"
    mapping = {("a",): 1, ("s",): 2, ("s", "x"): 3, ("s", "y"): 4}
    report = splice(FILES, str(base), [], str(out), name_ids=mapping)
    read_everywhere(out, {"a": [1, 2], "s": [{"x": 1, "y": 2}, None]})
    assert {"a": 1, "s": 2, "s.x": 3, "s.y": 4} == ids_in(out)
    assert report.dead_bytes > 0
    with pytest.raises(DataError) as caught:
        splice(FILES, str(base), [], str(out), name_ids={key: n for key, n in mapping.items() if n != 4})
    assert "splice.field_ids" == caught.value.code


def test_a_base_with_some_ids_is_refused(tmp_path: Path) -> None:
    """Readers differ on what such a file says."""
    fields = [pa.field("a", pa.int64(), metadata={b"PARQUET:field_id": b"1"}), pa.field("b", pa.int64())]
    base = write(tmp_path / "base.parquet", pa.table([[1], [2]], schema=pa.schema(fields)), [1])
    with pytest.raises(DataError) as caught:
        splice(FILES, str(base), [], str(tmp_path / "out.parquet"), name_ids={("a",): 1, ("b",): 2})
    assert "splice.field_ids" == caught.value.code


def test_every_nested_field_needs_an_id(tmp_path: Path) -> None:
    """The table's ids go on all of a new column, or it is not added."""
    base = write(tmp_path / "base.parquet", with_ids(BASE, 1)[0], [3])
    new = write(tmp_path / "new.parquet", pa.table({"e": pa.array([[1.0], None, []], pa.list_(pa.float32()))}), [3])
    with pytest.raises(DataError) as caught:
        splice(FILES, str(base), [Addition(str(new), {"e": 501})], str(tmp_path / "out.parquet"))
    assert "splice.field_ids" == caught.value.code
    splice(FILES, str(base), [Addition(str(new), {"e": 501, "e.element": 502})], str(tmp_path / "out.parquet"))
    assert {"a": 1, "x": 101, "e": 501, "e.element": 502} == ids_in(tmp_path / "out.parquet")


@pytest.mark.parametrize("where", ["base", "new", "footer"])
def test_a_changed_byte_is_found(files: tuple[Path, Path, dict[str, int]], tmp_path: Path, where: str) -> None:
    """One flipped bit in an old or a new chunk, or another statistic of an old one, is a difference."""
    base, new, ids = files
    out = tmp_path / "out.parquet"
    additions = [Addition(str(new), ids)]
    report = splice(FILES, str(base), additions, str(out), drop={101})
    assert SPLICER.unchanged(str(base), additions, str(out), drop={101}) is None
    data = bytearray(out.read_bytes())
    at = {"base": 30, "new": report.copied_bytes + 10, "footer": data.rindex((3).to_bytes(8, "little"))}[where]
    data[at] ^= 1
    out.write_bytes(data)
    assert ("x" if where == "new" else "a") == SPLICER.unchanged(str(base), additions, str(out), drop={101})


def test_a_column_too_many_is_found(files: tuple[Path, Path, dict[str, int]], tmp_path: Path) -> None:
    """What was to be left out and is there is a difference too."""
    base, _, _ = files
    splice(FILES, str(base), [], str(tmp_path / "out.parquet"))
    assert "x" == SPLICER.unchanged(str(base), [], str(tmp_path / "out.parquet"), drop={101})


def test_bloom_filters_come_along(tmp_path: Path) -> None:
    """A bloom filter of a new column lies in the new file, and readers find every value through it."""
    values = [f"v{n}" for n in range(2000)]
    new, ids = with_ids(pa.table({"s": values}), 501)
    base = write(tmp_path / "base.parquet", with_ids(pa.table({"a": list(range(2000))}), 1)[0], [2000])
    staged = tmp_path / "new.parquet"
    with duckdb.connect() as db:
        db.register("t", new)
        db.sql(f"copy t to '{staged}' (format parquet, field_ids {{s: 501}}, dictionary_size_limit 4000)")
    with staged.open("rb") as file:
        before = read_footer(file, "").metadata.row_groups[0].columns[0].meta_data
    assert before.bloom_filter_offset
    out = tmp_path / "out.parquet"
    splice(FILES, str(base), [Addition(str(staged), ids)], str(out))
    with out.open("rb") as file:
        after = read_footer(file, "").metadata.row_groups[0].columns[1].meta_data
    length = after.bloom_filter_length
    start, at = before.bloom_filter_offset, after.bloom_filter_offset
    assert staged.read_bytes()[start : start + length] == out.read_bytes()[at : at + length]
    with duckdb.connect() as db:
        for value in ("v0", "v1999"):
            assert [(1,)] == db.sql(f"select count(*) from read_parquet('{out}') where s = '{value}'").fetchall()
        assert [(0,)] == db.sql(f"select count(*) from read_parquet('{out}') where s = 'none'").fetchall()


def test_what_is_sorted_by_a_dropped_column_is_not_said_any_more(tmp_path: Path) -> None:
    """Row groups stay sorted by the columns before it, under their new numbers."""
    table, _ = with_ids(pa.table({"a": [1, 1, 2], "s": [{"x": 1}] * 3, "b": [1, 2, 3], "c": [9, 8, 7]}), 1)
    order = [pq.SortingColumn(number) for number in (0, 2, 3)]
    base = write(tmp_path / "base.parquet", table, [2, 1], sorting_columns=order)
    for drop, expected in (({101}, [0, 1, 2]), ({201}, [0]), ({1}, []), ({301}, [0, 2])):
        out = tmp_path / "out.parquet"
        splice(FILES, str(base), [], str(out), drop=drop)
        for group in range(2):
            sorting = pq.read_metadata(out).row_group(group).sorting_columns
            assert expected == [column.column_index for column in sorting]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_bad_footers_give_our_errors_only(data: st.DataObject) -> None:
    """Any bytes in either footer, with columns left out, ids to write and a comparison: done, or refused by name."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        table = pa.table({"a": [1, 2], "l": [[1], None], "s": [{"x": 1}, None]})
        bare = data.draw(st.booleans())
        base = write(here / "base.parquet", table if bare else with_ids(table, 1)[0], [2], write_page_index=True)
        new, ids = with_ids(pa.table({"e": [[1.0], None]}), 901)
        staged = write(here / "new.parquet", new, [2], write_page_index=True)
        which = data.draw(st.sampled_from([base, staged]))
        with which.open("rb") as file:
            footer, start, _ = read_footer_bytes(file, "")
        changed = bytearray(footer)
        for at in data.draw(st.lists(st.integers(0, len(footer) - 1), min_size=1, max_size=3)):
            changed[at] = data.draw(st.integers(0, 255))
        which.write_bytes(which.read_bytes()[:start] + changed + struct.pack("<I", len(changed)) + b"PAR1")
        names = {("a",): 1, ("l",): 101, ("l", "element"): 102, ("s",): 201, ("s", "x"): 202}
        how: dict[str, Any] = {"drop": data.draw(st.sets(st.sampled_from([1, 101, 201]))), "name_ids": names}
        out = here / "out.parquet"
        try:
            splice(FILES, str(base), [Addition(str(staged), ids)], str(out), **how)
        except DataError:
            assert not out.exists()
            return
        with contextlib.suppress(DataError):
            SPLICER.unchanged(str(base), [Addition(str(staged), ids)], str(out), **how)
