"""What a manifest keeps of a Parquet file: sizes, counts and bounds by field id, and where its row groups begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table

__all__ = ["METRICS", "FileMetrics", "parquet_schema"]

METRICS = ("column_sizes", "value_counts", "null_value_counts", "nan_value_counts", "lower_bounds", "upper_bounds")


class FileMetrics:
    """Reads the metrics of files with one schema; what depends on that alone is made once.

    Args:
        table: Its properties say what to keep of which column, and its file access opens the files.
        arrow: Columns of the files, with the field ids to tell their metrics under.
    """

    def __init__(self, table: Table, arrow: pa.Schema) -> None:
        from pyiceberg.io.pyarrow import compute_statistics_plan, parquet_path_to_id_mapping, pyarrow_to_schema

        schema = pyarrow_to_schema(arrow)
        self._io = table.io
        self._plan = compute_statistics_plan(schema, dict(table.properties))
        self._ids = parquet_path_to_id_mapping(schema)

    def of(self, path: str) -> dict[str, Any]:
        """The metrics of one file by kind, and its ``split_offsets``."""
        import pyarrow.parquet as pq
        from pyiceberg.io.pyarrow import data_file_statistics_from_parquet_metadata

        with self._io.new_input(path).open() as file:
            metadata = pq.read_metadata(file)
        found = data_file_statistics_from_parquet_metadata(metadata, self._plan, self._ids).to_serialized_dict()
        return {kind: found[kind] for kind in (*METRICS, "split_offsets")}


def parquet_schema(table: Table, path: str) -> pa.Schema:
    """The Arrow schema of a Parquet file, opened as the table opens its own."""
    import pyarrow.parquet as pq

    with table.io.new_input(path).open() as file:
        return pq.read_schema(file)
