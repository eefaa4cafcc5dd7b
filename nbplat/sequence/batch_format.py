"""What a batch is handed over as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nbplat.errors import SetupError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["FORMATS", "as_arrow", "as_pandas", "no_tensors", "plain_array"]

FORMATS = ("numpy", "torch", "arrow", "pandas")


def as_arrow(carried: Mapping[str, pa.ChunkedArray], lists: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """Columns of the examples, then the lists."""
    columns: dict[str, Any] = {}
    for name, column in carried.items():
        columns[name] = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    columns |= lists
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def as_pandas(batch: pa.RecordBatch) -> Any:
    """A DataFrame whose list columns hold an array a row; times and lists as pandas has them."""
    return batch.to_pandas(types_mapper=None)


def plain_array(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column of the examples as ``[B]``: numbers and times as their own type, all else as objects; nulls of integers
    make them float64 with NaN, as pandas does."""
    kind = column.type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif pa.types.is_timestamp(kind) and kind.tz is not None:
        # numpy has no zones: moments in UTC.
        column = column.cast(pa.timestamp(kind.unit))
    return np.asarray(column.to_numpy())


def no_tensors(_arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Stands where nothing was given that makes tensors.

    Raises:
        SetupError: always.
    """
    raise SetupError(
        "batches.torch", "nothing here makes tensors", fix='ask for format="numpy", or open it as nb.Sequence does'
    )
