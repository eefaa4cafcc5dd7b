"""What a batch is handed over as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nbplat.errors import SetupError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["FORMATS", "as_arrow", "as_pandas", "as_torch", "plain_array"]

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


def as_torch(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """Arrays of numbers and truth values as tensors that share their memory; others (texts, times) as they are.

    Raises:
        SetupError: torch is not installed.
    """
    try:
        import torch  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise SetupError(
            "batches.torch",
            "torch is not installed in this interpreter",
            fix='pip install "nbplat[torch]", or ask for format="numpy"',
        ) from None
    found: dict[str, Any] = {}
    for name, array in arrays.items():
        # Tensors may be written to; what came from Arrow may not.
        found[name] = torch.from_numpy(array if array.flags.writeable else array.copy()) if _is_number(array) else array
    return found


def _is_number(array: npt.NDArray[Any]) -> bool:
    return array.dtype.kind in "biuf"
