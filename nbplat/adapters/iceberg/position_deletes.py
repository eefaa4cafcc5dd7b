"""Writing position delete files (Iceberg spec, "Position Delete Files"): sorted by path and position, with bounds."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table
    from pyiceberg.typedef import Record

__all__ = ["write_position_deletes"]

# Field ids that the spec reserves for the two columns.
_PATH, _POS = 2147483546, 2147483545


def write_position_deletes(
    table: Table, spec_id: int, partition: Record, positions: Mapping[str, npt.NDArray[np.int64]], stem: str = ""
) -> DataFile:
    """Write one delete file about data files of one partition; commits nothing.

    A file that names a single data file has equal bounds of its paths, which scopes it to that one.

    Args:
        positions: Data file, spelled as its manifest spells it -> ``int64[rows]``, its physical rows to delete; at
            least one row in all.
        stem: Begins the file's name, so that who was killed before the commit finds what was left.
    """
    import pyarrow.parquet as pq
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat

    rows = _rows(positions)
    location = table.location_provider().new_data_location(f"{stem and f'{stem}-'}{uuid.uuid4()}-deletes.parquet")
    output = table.io.new_output(location)
    with output.create() as stream:
        pq.write_table(rows, stream, compression="zstd")
    paths = sorted(each for each, gone in positions.items() if len(gone))
    pos = rows["pos"].to_numpy()
    file = DataFile.from_args(
        content=DataFileContent.POSITION_DELETES,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=partition,
        record_count=rows.num_rows,
        file_size_in_bytes=len(output),
        value_counts={_PATH: rows.num_rows, _POS: rows.num_rows},
        null_value_counts={_PATH: 0, _POS: 0},
        # Whole paths: a cut bound would widen the scope from one data file to the partition.
        lower_bounds={_PATH: paths[0].encode(), _POS: _long(pos.min())},
        upper_bounds={_PATH: paths[-1].encode(), _POS: _long(pos.max())},
        sort_order_id=None,
        equality_ids=None,
        key_metadata=None,
    )
    file.spec_id = spec_id
    return file


def _rows(positions: Mapping[str, npt.NDArray[np.int64]]) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    paths = sorted(positions, key=str.encode)
    counts = [len(positions[path]) for path in paths]
    codes = np.repeat(np.arange(len(paths), dtype=np.int32), counts)
    names = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(paths, pa.string())).cast(pa.string())
    pos = np.concatenate([np.sort(positions[path]) for path in paths]).astype(np.int64)
    fields = [
        pa.field("file_path", pa.string(), nullable=False, metadata={"PARQUET:field_id": str(_PATH)}),
        pa.field("pos", pa.int64(), nullable=False, metadata={"PARQUET:field_id": str(_POS)}),
    ]
    return pa.Table.from_arrays([names, pa.array(pos)], schema=pa.schema(fields))


def _long(value: np.int64) -> bytes:
    """Iceberg spec, "Binary single-value serialization"."""
    return struct.pack("<q", int(value))
