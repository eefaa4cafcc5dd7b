"""Data files of a stored index: Parquet, rows of one bucket in the total order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from nbplat.remote.numbering import numbered

from .spill import written_file
from .stored_rows import BUCKET, TIME

__all__ = ["index_location", "write_index_file"]

ROW_GROUP_ROWS = 128 * 1024


def index_location(out: str, bucket: int, stem: str, unit: str, fence: int) -> str:
    """Where a unit's data file of a bucket goes; plan, unit and fence are in the name, so that tries never meet."""
    return f"{out.rstrip('/')}/{BUCKET}={bucket}/{stem}-{unit}-{fence}.parquet"


def write_index_file(
    location: str, storage: Mapping[str, str], schema: pa.Schema, tables: Iterable[pa.Table]
) -> tuple[int, int]:
    """Write sorted rows as one file; it appears whole or not at all.

    Args:
        schema: Of the index table (see `stored_rows.stored_schema`).
        tables: In their order; each is written as row groups of its own.

    Returns:
        Rows and bytes.

    Raises:
        KernelError: ``disk.full``.
    """
    rows = 0
    with written_file(location, storage) as sink:
        with pq.ParquetWriter(
            sink,
            _with_ids(schema),
            compression="zstd",
            compression_level=1,
            write_page_index=True,
            # A run of one entity's growing times is its steps.
            column_encoding={TIME: "DELTA_BINARY_PACKED"},
            use_dictionary=[field.name for field in schema if field.name != TIME],
            store_schema=False,
        ) as writer:
            for table in tables:
                writer.write_table(table.cast(writer.schema), row_group_size=ROW_GROUP_ROWS)
                rows += table.num_rows
        size = sink.tell()
    return rows, size


def _with_ids(schema: pa.Schema) -> pa.Schema:
    """The schema with field ids: the table's own where it has them, else in order, as a new table numbers them."""
    return schema if b"PARQUET:field_id" in (schema.field(0).metadata or {}) else numbered(schema)
