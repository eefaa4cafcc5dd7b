"""Which rows of a base file lie in the plan's window."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.terms import Window

__all__ = ["inside", "micros"]

_NEVER = np.iinfo(np.int64).max


def inside(time: pa.ChunkedArray, window: Window) -> npt.NDArray[np.bool_]:
    """``bool[rows]``, True inside the window; a null time is outside."""
    moments = micros(time)
    kept: npt.NDArray[np.bool_] = moments != _NEVER
    if window.start is not None:
        kept &= moments >= int(window.start.timestamp() * 1e6)
    if window.end is not None:
        kept &= moments < int(window.end.timestamp() * 1e6)
    return kept


def micros(time: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """``int64[rows]``, microseconds since the epoch; a date is its first moment, null is the last of all."""
    kind = time.type
    if pa.types.is_date(kind):
        time = time.cast(pa.timestamp("us"))
    elif kind.unit != "us":
        time = time.cast(pa.timestamp("us", kind.tz), safe=False)
    filled = pc.fill_null(time.cast(pa.int64()), int(_NEVER))
    return np.asarray(filled.to_numpy(), dtype=np.int64)
