"""What Iceberg's own Python reader makes of spliced files: columns by field id, whatever their names were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import Table
from pyiceberg.types import DoubleType, FloatType, ListType, LongType, MapType, NestedField, StringType, StructType

from nbplat.adapters.files.local import LocalFiles
from nbplat.adapters.parquet.splicer import ParquetSplicer
from nbplat.backfill.ports import Addition
from nbplat.terms import local_path
from tests.parquet.test_drop import read_everywhere, write

SPLICER = ParquetSplicer(LocalFiles())


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCatalog]:
    catalog = SqlCatalog("t", uri=f"sqlite:///{tmp_path}/t.db", warehouse=f"file://{tmp_path}/warehouse")
    catalog.create_namespace("n")
    yield catalog
    catalog.close()


def data_file(table: Table) -> Any:
    [task] = table.scan().plan_files()
    return task.file


def swap(table: Table, new_path: str) -> Table:
    """Replace the table's one file."""
    old = data_file(table)
    new = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=new_path,
        file_format=FileFormat.PARQUET,
        partition=old.partition,
        record_count=old.record_count,
        file_size_in_bytes=local_path(new_path).stat().st_size,
        sort_order_id=None,
        equality_ids=None,
        key_metadata=None,
    )
    new.spec_id = old.spec_id
    with table.transaction() as transaction, transaction.update_snapshot().overwrite() as update:
        update.append_data_file(new)
        update.delete_data_file(old)
    return table.refresh()


def aligned(table: Table, values: dict[str, list[Any]], path: Path, groups: list[int]) -> Addition:
    """An aligned file of some of the table's columns, under other ids, and the table's ids for all their fields."""
    schema = schema_to_pyarrow(table.schema().select(*values), include_field_ids=False)
    write(path, pa.table([pa.array(values[field.name], field.type) for field in schema], schema=schema), groups)
    ids = {}
    for name in values:
        top = table.schema().find_field(name).field_id
        below = table.schema().select(name).field_ids
        ids |= {table.schema().find_column_name(number): number for number in {top, *below}}
    return Addition(str(path), {str(name): number for name, number in ids.items()})


def test_a_name_that_was_dropped_before_is_taken_again(catalog: SqlCatalog, tmp_path: Path) -> None:
    """The file still holds the dropped column; the splice leaves it out, and every reader sees the new one only."""
    table = catalog.create_table("n.t", pa.schema([("id", pa.int64()), ("x", pa.string())]))
    table.append(pa.table({"id": [1, 2, 3], "x": ["old", "old", None]}))
    old_id = table.schema().find_field("x").field_id
    with table.update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("x")
    with table.update_schema() as update:
        update.add_column("x", DoubleType())
    addition = aligned(table, {"x": [0.5, None, 1.5]}, tmp_path / "new.parquet", [3])
    base = data_file(table).file_path
    out = SPLICER.target_path(base, "f@1", 1)
    report = SPLICER.splice(base, [addition], out, drop={old_id})
    expected = {"id": [1, 2, 3], "x": [0.5, None, 1.5]}
    assert expected == swap(table, out).scan().to_arrow().to_pydict()
    read_everywhere(local_path(out), expected)
    assert 0 == report["dead_bytes"]


def test_nested_columns_are_read_by_id(catalog: SqlCatalog, tmp_path: Path) -> None:
    """List, struct, list of structs and map, each with the table's ids at every level, after renames as well."""
    table = catalog.create_table("n.t", pa.schema([("id", pa.int64())]))
    table.append(pa.table({"id": [1, 2, 3]}))
    with table.update_schema() as update:
        update.add_column("e", ListType(0, FloatType(), element_required=False))
        update.add_column("s", StructType(NestedField(0, "x", LongType()), NestedField(1, "y", StringType())))
        update.add_column("l", ListType(0, StructType(NestedField(0, "x", LongType())), element_required=False))
        update.add_column("m", MapType(0, StringType(), 1, LongType(), value_required=False))
    values = {
        "e": [[0.5, None], None, []],
        "s": [{"x": 1, "y": "a"}, None, {"x": None, "y": "b"}],
        "l": [[{"x": 1}, None], [], [{"x": None}]],  # no null list: pyiceberg reads it as empty, in its own files too
        "m": [[("a", 1)], None, [("b", None), ("c", 2)]],
    }
    addition = aligned(table, values, tmp_path / "new.parquet", [3])
    base = data_file(table).file_path
    out = SPLICER.target_path(base, "f@1", 1)
    SPLICER.splice(base, [addition], out)
    table = swap(table, out)
    assert {"id": [1, 2, 3], **values} == table.scan().to_arrow().to_pydict()
    with table.update_schema() as update:
        update.rename_column("s.x", "first")
        update.rename_column("e", "embedding")
    seen = table.refresh().scan().to_arrow().to_pydict()
    assert values["e"] == seen["embedding"]
    assert [{"first": 1, "y": "a"}, None, {"first": None, "y": "b"}] == seen["s"]


def test_a_file_taken_in_by_name_gets_ids(catalog: SqlCatalog, tmp_path: Path) -> None:
    """With its nested columns, and then stands renames that it could not stand before the mapping knew them."""
    schema = pa.schema([("id", pa.int64()), ("tags", pa.list_(pa.string())), ("s", pa.struct({"x": pa.int64()}))])
    values = {"id": [1, 2], "tags": [["a"], None], "s": [{"x": 1}, None]}
    base = write(tmp_path / "base.parquet", pa.table(values, schema=schema), [1, 1])
    table = catalog.create_table("n.t", schema)
    table.add_files([str(base)])
    with table.update_schema() as update:
        update.add_column("new", LongType())
    addition = aligned(table, {"new": [7, None]}, tmp_path / "new.parquet", [1, 1])
    own = table.schema()
    mapping = {
        tuple(str(own.find_column_name(number)).split(".")): number
        for number in own.field_ids
        if own.find_column_name(number) != "new"
    }
    out = tmp_path / "out.parquet"
    SPLICER.splice(str(base), [addition], str(out), name_ids=mapping)
    assert {**values, "new": [7, None]} == swap(table, str(out)).scan().to_arrow().to_pydict()
    with table.update_schema() as update:
        update.rename_column("id", "key")
        update.rename_column("s.x", "first")
    table = table.refresh()
    with table.transaction() as transaction:
        transaction.remove_properties("schema.name-mapping.default")
    seen = table.refresh().scan().to_arrow().to_pydict()
    assert ([1, 2], [{"first": 1}, None]) == (seen["key"], seen["s"])


def test_wide_files_and_embeddings(tmp_path: Path) -> None:
    """A thousand columns in several row groups take an embedding, lose a hundred columns, and stay whole."""
    count, rows, groups = 1000, 40, [16, 16, 8]
    fields = [pa.field(f"c{n}", pa.int32(), metadata={b"PARQUET:field_id": str(n + 1).encode()}) for n in range(count)]
    values = [list(range(n, n + rows)) for n in range(count)]
    base = write(
        tmp_path / "base.parquet", pa.table([pa.array(v, pa.int32()) for v in values], pa.schema(fields)), groups
    )
    embedding = [[n + k / 64 for k in range(64)] for n in range(rows)]
    staged = pa.table({"e": pa.array(embedding, pa.list_(pa.float32()))})
    new = write(tmp_path / "new.parquet", staged, groups, write_page_index=True)
    additions = [Addition(str(new), {"e": 2001, "e.element": 2002})]
    drop = set(range(1, count, 10))
    out = tmp_path / "out.parquet"
    SPLICER.splice(str(base), additions, str(out), drop=drop)
    assert SPLICER.unchanged(str(base), additions, str(out), drop=drop) is None
    kept = {f"c{n}": values[n] for n in range(count) if n + 1 not in drop}
    assert {**kept, "e": embedding} == pq.read_table(out).to_pydict()
    assert [*kept, "e"] == pq.read_schema(out).names
