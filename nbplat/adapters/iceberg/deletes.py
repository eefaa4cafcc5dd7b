"""Which rows of a data file are deleted, as physical positions, by every kind of delete file."""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from nbplat.adapters.iceberg.live import DeleteFile, DeleteKind, LiveFile
from nbplat.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from pyiceberg.manifest import DataFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

    Positions = npt.NDArray[np.int64]

__all__ = ["DeletedRows", "deleted_positions"]

_KEPT_BYTES = 256 << 20
_VECTOR_MAGIC = b"\xd1\xd3\x39\x64"


def deleted_positions(table: Table, live: LiveFile) -> Positions:
    """The deleted rows of one data file.

    Returns:
        ``int64[deleted]``: physical row positions from 0, sorted, each once; empty when all rows live.

    Raises:
        DataError: a deletion vector whose bytes are damaged.
    """
    return DeletedRows(table).of(live)


class DeletedRows:
    """`deleted_positions` for many files of one table; a delete file about several of them is read once.

    What was found is kept, up to 256 MB; threads may share one.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._kept: OrderedDict[tuple[str, tuple[int, ...]], tuple[Any, int]] = OrderedDict()
        self._kept_bytes = 0
        self._lock = threading.RLock()

    def of(self, live: LiveFile) -> Positions:
        """See `deleted_positions`."""
        import numpy as np

        if not live.deletes:
            return np.empty(0, np.int64)
        return self._once(live.path, (), lambda: _sized(self._find(live)))  # type: ignore[no-any-return]

    def _find(self, live: LiveFile) -> Positions:
        import numpy as np

        parts: list[Positions] = [np.empty(0, np.int64)]
        equality: dict[tuple[int, ...], list[DeleteFile]] = defaultdict(list)
        for delete in live.deletes:
            if delete.kind is DeleteKind.VECTOR:
                parts.append(self._vector(delete))
            elif delete.kind is DeleteKind.POSITION:
                path = delete.file.file_path
                named = self._once(path, (), partial(self._position_deletes, delete))
                parts.append(named.get(live.path, parts[0]))
            else:
                equality[tuple(sorted(delete.file.equality_ids or ()))].append(delete)
        for ids, files in equality.items():
            parts.append(self._equal_rows(live.file, ids, files))
        return np.unique(np.concatenate(parts))

    def _vector(self, delete: DeleteFile) -> Positions:
        import numpy as np
        from pyroaring import BitMap64

        if delete.range_bytes is None:
            raise _damaged(delete, "its manifest names no offset")
        offset, length = delete.range_bytes
        with self._table.io.new_input(delete.file.file_path).open() as stream:
            stream.seek(offset)
            blob = stream.read(length)
        # Puffin spec, "deletion-vector-v1": length of magic and bitmap, magic, bitmap, CRC-32 of magic and bitmap.
        body, checksum = blob[4:-4], int.from_bytes(blob[-4:], "big")
        if len(blob) != length or int.from_bytes(blob[:4], "big") != len(body) or body[:4] != _VECTOR_MAGIC:
            raise _damaged(delete, "it does not start as one")
        if zlib.crc32(body) != checksum:
            raise _damaged(delete, "its checksum is another")
        return np.array(BitMap64.deserialize(body[4:]).to_array(), np.int64)

    def _position_deletes(self, delete: DeleteFile) -> tuple[dict[str, Positions], int]:
        """Data file path -> positions, of a whole delete file, and the bytes it holds."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        with self._table.io.new_input(delete.file.file_path).open() as stream:
            rows = pq.ParquetFile(stream, read_dictionary=["file_path"]).read(columns=["file_path", "pos"])
        paths = rows["file_path"].combine_chunks()
        if isinstance(paths, pa.ChunkedArray):  # without rows there is no chunk to combine
            paths = pa.concat_arrays(paths.chunks) if paths.num_chunks else pa.array([], pa.string())
        if not pa.types.is_dictionary(paths.type):
            paths = paths.dictionary_encode()
        codes = paths.indices.to_numpy(zero_copy_only=False)
        positions = rows["pos"].to_numpy().astype(np.int64, copy=False)
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(paths.dictionary) + 1))
        by_path = {
            path: positions[order[starts[code] : starts[code + 1]]]
            for code, path in enumerate(paths.dictionary.to_pylist())
        }
        return by_path, positions.nbytes

    def _equal_rows(self, file: DataFile, ids: tuple[int, ...], deletes: Sequence[DeleteFile]) -> Positions:
        """Rows whose delete columns equal a row of the delete files; null equals null ("Equality Delete Files")."""
        import numpy as np

        schema = _delete_columns(self._table, ids)
        rows = _leaves(self._read(file, schema), schema, ids)
        gone = [
            self._once(delete.file.file_path, ids, partial(self._delete_rows, delete, schema, ids))
            for delete in deletes
        ]
        count = len(rows[0])
        codes = np.zeros(count + sum(len(each[0]) for each in gone), np.int64)
        for position in range(len(ids)):
            column = _codes([rows[position], *(each[position] for each in gone)])
            # Pairs are numbered again after every column, so that the numbers stay below the count of rows.
            _, codes = np.unique(codes * (column.max(initial=0) + 1) + column, return_inverse=True)
        return np.flatnonzero(np.isin(codes[:count], codes[count:])).astype(np.int64)

    def _delete_rows(self, delete: DeleteFile, schema: Schema, ids: tuple[int, ...]) -> tuple[list[pa.Array], int]:
        leaves = _leaves(self._read(delete.file, schema), schema, ids)
        return leaves, sum(leaf.nbytes for leaf in leaves)

    def _read(self, file: DataFile, schema: Schema) -> pa.Table:
        """All physical rows of a data or delete file, by field id, as pyiceberg projects them."""
        from pyiceberg.expressions import AlwaysTrue
        from pyiceberg.io.pyarrow import ArrowScan
        from pyiceberg.table import FileScanTask

        return ArrowScan(self._table.metadata, self._table.io, schema, AlwaysTrue()).to_table([FileScanTask(file)])

    def _once(self, path: str, ids: tuple[int, ...], read: Callable[[], tuple[Any, int]]) -> Any:
        key = (path, ids)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = read()
                self._kept_bytes += self._kept[key][1]
            self._kept.move_to_end(key)
            value = self._kept[key][0]
            while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
                self._kept_bytes -= self._kept.popitem(last=False)[1][1]
            return value


def _sized(positions: Positions) -> tuple[Positions, int]:
    return positions, positions.nbytes


def _delete_columns(table: Table, ids: Iterable[int]) -> Schema:
    """The delete columns, from the newest schema that has them: a dropped column still deletes (spec)."""
    from pyiceberg.schema import Schema, prune_columns
    from pyiceberg.types import NestedField

    fields: dict[int, NestedField] = {}
    by_schema: dict[int, set[int]] = defaultdict(set)
    schemas = {schema.schema_id: schema for schema in table.metadata.schemas}
    newest = [table.schema(), *(schemas[each] for each in sorted(schemas, reverse=True))]
    for field_id in ids:
        schema = next((each for each in newest if field_id in each.field_ids), None)
        if schema is None:
            raise DataError(
                "table.equality_ids",
                f"equality deletes of {'.'.join(table.name())} compare field {field_id}, which no schema of it has",
                fix="compact the table with the engine that wrote them (Spark: CALL system.rewrite_data_files)",
            )
        by_schema[schema.schema_id].add(field_id)
    for schema_id, wanted in by_schema.items():
        for field in prune_columns(schemas[schema_id], wanted, select_full_types=False).fields:
            # Names only tell columns apart here; two schemas may use one name for two columns.
            fields[field.field_id] = NestedField(field.field_id, f"f{field.field_id}", field.field_type, required=False)
    return Schema(*fields.values())


def _leaves(rows: pa.Table, schema: Schema, ids: Sequence[int]) -> list[pa.Array]:
    """The delete columns as flat arrays, in the order of `ids`; a field of a null struct is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    leaves = []
    for field_id in ids:
        first, *rest = (schema.find_column_name(field_id) or "").split(".")
        column = rows[first]
        for name in rest:
            column = pc.struct_field(column, name)
        if isinstance(column.type, pa.BaseExtensionType):
            column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
        leaves.append(column)
    return leaves


def _codes(columns: Sequence[Any]) -> npt.NDArray[np.int64]:
    """``int64[all rows]``: equal numbers for equal values over all the columns, nulls included; from 0.

    Floats compare as Iceberg's comparators do: NaN equals NaN, 0.0 differs from -0.0.
    """
    import numpy as np
    import pyarrow as pa

    chunks = [chunk for column in columns for chunk in (column.chunks if hasattr(column, "chunks") else [column])]
    kind = columns[0].type
    # One file may be read with string, another with large_string.
    chunks = [chunk if chunk.type == kind else chunk.cast(kind) for chunk in chunks]
    values = pa.concat_arrays([pa.array([], kind), *chunks])
    if pa.types.is_floating(kind):
        bits = np.int64 if kind == pa.float64() else np.int32
        mask = values.is_null().to_numpy(zero_copy_only=False)
        plain = values.fill_null(0).to_numpy(zero_copy_only=False).copy()
        plain[np.isnan(plain)] = np.nan
        values = pa.array(plain.view(bits), mask=mask)
    coded = values.dictionary_encode(null_encoding="mask").indices
    codes: npt.NDArray[np.int64] = coded.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64) + 1
    return codes


def _damaged(delete: DeleteFile, why: str) -> DataError:
    return DataError(
        "table.deletion_vector",
        f"a deletion vector cannot be read: {why}",
        fix="restore the Puffin file, or roll the table back to a snapshot before it",
        where=delete.file.file_path,
    )
