"""The merged footer: what thriftpy2 would write, with what it would lose, and no way to be led astray by bad bytes."""

from __future__ import annotations

import errno
import os
import struct
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.adapters.parquet.compact import Malformed, struct_bytes, walk
from nbplat.adapters.parquet.footer import decode, encode, idl, read_footer, read_footer_bytes
from nbplat.errors import DataError, SetupError
from tests.fixtures.splicing import splice

BASE_TYPES = [pa.int64(), pa.string(), pa.bool_(), pa.list_(pa.int32()), pa.struct({"x": pa.int8(), "y": pa.string()})]
UNKNOWN = {
    "i32": bytes([0x05]) + b"\xc8\x01" + b"\x07",
    "binary": bytes([0x08]) + b"\xc8\x01" + b"\x03abc",
    "true": bytes([0x01]) + b"\xc8\x01",
    "double": bytes([0x07]) + b"\xc8\x01" + b"\x00" * 8,
    "bools": bytes([0x09]) + b"\xc8\x01" + b"\x21\x01\x02",
    "strings": bytes([0x0A]) + b"\xc8\x01" + b"\x28\x01a\x00",
    "map": bytes([0x0B]) + b"\xc8\x01" + b"\x02\x85\x01k\x02\x01l\x04",
    "empty map": bytes([0x0B]) + b"\xc8\x01" + b"\x00",
    "struct": bytes([0x0C]) + b"\xc8\x01" + b"\x15\x02\x1c\x18\x01z\x00\x00",
}
"""Field 100, which parquet.thrift does not have, in the long form of its header, by type."""


def field_ids(table: pa.Table, first: int) -> pa.Table:
    schema = [f.with_metadata({b"PARQUET:field_id": str(n).encode()}) for n, f in enumerate(table.schema, first)]
    return table.cast(pa.schema(schema))


def write(path: Path, table: pa.Table, group_rows: int, **how: Any) -> Path:
    pq.write_table(field_ids(table, 1), path, row_group_size=group_rows, **how)
    return path


def footer_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return read_footer_bytes(file, "")[0]


def metadata(path: Path) -> Any:
    with path.open("rb") as file:
        return read_footer(file, "").metadata


def with_footer(path: Path, footer: bytes) -> None:
    with path.open("rb") as file:
        start = read_footer_bytes(file, "")[1]
    path.write_bytes(path.read_bytes()[:start] + footer + struct.pack("<I", len(footer)) + b"PAR1")


def merged_by_thriftpy2(base: Any, out: Any) -> bytes:
    """The footer that decoding the base's and adding what is new in `out` gives."""
    for old, new in zip(base.row_groups, out.row_groups, strict=True):
        added = new.columns[len(old.columns) :]
        old.columns.extend(added)
        old.total_byte_size += sum(chunk.meta_data.total_uncompressed_size for chunk in added)
        if old.total_compressed_size:
            old.total_compressed_size += sum(chunk.meta_data.total_compressed_size for chunk in added)
    elements = out.schema[len(base.schema) :]
    base.schema.extend(elements)
    base.schema[0].num_children += len(elements)
    if base.column_orders:
        base.column_orders.extend(out.column_orders[len(base.column_orders) :])
    if base.key_value_metadata:
        base.key_value_metadata = [pair for pair in base.key_value_metadata if pair.key != "ARROW:schema"] or None
    return encode(base)


@st.composite
def bases(draw: st.DrawFn) -> pa.Table:
    kinds = draw(st.lists(st.sampled_from(BASE_TYPES), min_size=1, max_size=20))
    table = pa.table({f"c{n}": pa.nulls(6, kind) for n, kind in enumerate(kinds)})
    return table.replace_schema_metadata({"k": "v" * draw(st.integers(0, 200))} if draw(st.booleans()) else None)


@settings(max_examples=40, deadline=None)
@given(
    bases(),
    st.integers(1, 6),
    st.integers(1, 17),
    st.booleans(),
    st.sampled_from([0, None, 1]),
    st.booleans(),
)
def test_the_footer_is_what_thriftpy2_would_write(
    table: pa.Table, group_rows: int, added: int, index: bool, compressed: int | None, orders: bool
) -> None:
    """Byte for byte: nested bases, one or several row groups, lists around 15 long, totals and orders or none."""
    new = pa.table({f"n{n}": pa.array(range(6), pa.int32()) for n in range(added)})
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        base = write(here / "base.parquet", table, group_rows)
        staged = write(here / "new.parquet", new, group_rows, write_page_index=index)
        changed = metadata(base)
        for group in changed.row_groups:
            group.total_compressed_size = compressed and group.total_compressed_size
        if not orders:
            changed.column_orders = None
        with_footer(base, encode(changed))
        splice(base, staged, here / "out.parquet", {name: 100 + n for n, name in enumerate(new.column_names)})
        expected = merged_by_thriftpy2(metadata(base), metadata(here / "out.parquet"))
        assert expected == footer_bytes(here / "out.parquet")
        read = pq.read_table(here / "out.parquet")
        assert {**table.to_pydict(), **new.to_pydict()} == read.to_pydict()
        assert [100 + n for n in range(added)] == [
            int(f.metadata[b"PARQUET:field_id"]) for f in read.schema if f.name in new.column_names
        ]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    base = write(tmp_path / "base.parquet", pa.table({"a": [1, 2, 3], "s": ["x", None, "z"]}), 2)
    new = pa.table({"b": pa.array([1.5, None, 2.5]), "c": pa.array(["p", "q", "r"])})
    return base, write(tmp_path / "new.parquet", new, 2, write_page_index=True)


def refused(base: Path, staged: Path) -> str:
    """The code of the refusal; nothing is left behind."""
    out = base.with_name("out.parquet")
    with pytest.raises(DataError) as caught:
        splice(base, staged, out, {"b": 7})
    assert not out.exists()
    return caught.value.code


@pytest.mark.parametrize("unknown", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_fields_of_newer_writers_are_kept(pair: tuple[Path, Path], unknown: bytes) -> None:
    """A field unknown to parquet.thrift, in any struct of the base footer, is in the new one as it was."""
    with_unknown = {
        "SchemaElement": lambda m: (m.schema[0], m.schema[1]),
        "ColumnMetaData": lambda m: (m.row_groups[0].columns[1].meta_data,),
        "RowGroup": lambda m: (m.row_groups[1],),
        "FileMetaData": lambda m: (m,),
    }
    for number, structs in enumerate(with_unknown.values()):
        data = footer_bytes(pair[0])
        for part in structs(decode(data, "FileMetaData")):
            # A struct's bytes end in its stop byte; the unknown field goes before it.
            plain = encode(part)
            assert plain in data
            data = data.replace(plain, plain[:-1] + unknown + b"\0")
        base = pair[0].with_name(f"newer{number}.parquet")
        base.write_bytes(pair[0].read_bytes())
        with_footer(base, data)
        out = base.with_name(f"out{number}.parquet")
        splice(base, pair[1], out, {"b": 7})
        assert data.count(unknown + b"\0") == footer_bytes(out).count(unknown + b"\0")
        expected = footer_bytes(out).replace(unknown + b"\0", b"\0")
        assert merged_by_thriftpy2(metadata(pair[0]), metadata(out)) == expected
        assert ["a", "s", "b"] == pq.read_table(out).column_names


def test_columns_come_in_the_order_they_are_asked_for(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Chunks follow the schema even when the staged file has its columns in another order."""
    splice(*pair, tmp_path / "out.parquet", {"c": 8, "b": 7})
    expected = {"a": [1, 2, 3], "s": ["x", None, "z"], "c": ["p", "q", "r"], "b": [1.5, None, 2.5]}
    assert expected == pq.read_table(tmp_path / "out.parquet").to_pydict()


def test_bytes_after_the_footer_are_damage(pair: tuple[Path, Path]) -> None:
    """The walk has to end where the footer ends."""
    with_footer(pair[0], footer_bytes(pair[0]) + b"\0")
    assert "parquet.damaged" == refused(*pair)


def test_a_signed_footer_is_named_encrypted(pair: tuple[Path, Path]) -> None:
    """The signature after a plain-text footer of an encrypted file is not taken for damage."""
    changed = metadata(pair[0])
    changed.encryption_algorithm = idl().EncryptionAlgorithm(AES_GCM_V1=idl().AesGcmV1())
    with_footer(pair[0], encode(changed) + b"\x5a" * 28)
    assert "parquet.encrypted" == refused(*pair)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_bad_footers_give_our_errors_only(data: st.DataObject) -> None:
    """Any bytes in either footer: a new file or a refusal, and no leftover of it."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        base = write(here / "base.parquet", pa.table({"a": [1, 2], "l": [[1], None]}), 2)
        staged = write(here / "new.parquet", pa.table({"b": [1, 2]}), 2, write_page_index=True)
        which = data.draw(st.sampled_from([base, staged]))
        footer = bytearray(footer_bytes(which))
        for at in data.draw(st.lists(st.integers(0, len(footer) - 1), min_size=1, max_size=3)):
            footer[at] = data.draw(st.integers(0, 255))
        end = data.draw(st.just(len(footer)) | st.integers(0, len(footer)))
        with_footer(which, bytes(footer[:end]))
        try:
            splice(base, staged, here / "out.parquet", {"b": 7})
        except DataError:
            assert not (here / "out.parquet").exists()


@given(st.binary(max_size=60))
def test_a_walk_ends_or_says_malformed(data: bytes) -> None:
    """Whatever the bytes: a struct that lies within them and can be written again, or one error."""
    try:
        found = walk(data, (2,))
    except Malformed:
        return
    assert found.end <= len(data)
    again = struct_bytes(data, found, {})
    assert list(found.fields) == list(walk(again, (2,)).fields)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x15",
        b"\x15\x02",
        b"\x18\x7fab\x00",
        b"\x1d\x00",
        b"\x1e\x00",
        b"\x19\x20\x00\x00\x00",
        b"\x15\x02\x05\x02\x02\x00",
        b"\x1c" * 4000,
        b"\x19\x19" * 4000,
        b"\x18" + b"\xff" * 4000 + b"\x00",
        b"\x1b\xff\xff\xff\xff\xff\xff\xff\x7f\x11\x00",
        b"\x19\xf5\xff\xff\xff\xff\x0f\x00\x00",
    ],
)
def test_malformed_structs_are_named(data: bytes) -> None:
    """Cut off, unknown types, a field twice, endless nesting, endless numbers, false counts."""
    with pytest.raises(Malformed):
        walk(data)


@pytest.mark.parametrize("moved", [0, 100])
def test_without_copying_in_the_kernel_the_file_is_the_same(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    """File systems that refuse copy_file_range, at once or half-way, get a stream copy."""
    splice(*pair, tmp_path / "kernel.parquet", {"b": 7})
    real = os.copy_file_range
    done = [0]

    def partly(source: int, target: int, count: int, at: int, to: int) -> int:
        if done[0] >= moved:
            raise OSError(errno.EXDEV, "other file system")
        done[0] += real(source, target, min(count, moved), at, to)
        return done[0]

    monkeypatch.setattr(os, "copy_file_range", partly)
    splice(*pair, tmp_path / "stream.parquet", {"b": 7})
    assert (tmp_path / "kernel.parquet").read_bytes() == (tmp_path / "stream.parquet").read_bytes()


def test_a_full_disk_leaves_nothing(pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's ENOSPC is named, not retried as a stream."""

    def full(*_: int) -> int:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(SetupError) as caught:
        splice(*pair, tmp_path / "out.parquet", {"b": 7})
    assert "disk.full" == caught.value.code
    assert {"base.parquet", "new.parquet"} == {path.name for path in tmp_path.iterdir()}
