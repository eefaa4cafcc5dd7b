"""Arrays of a batch as tensors, without a copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbplat.errors import SetupError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["as_tensors"]


def as_tensors(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """Arrays of numbers and truth values as tensors that share their memory.

    Torch has neither times nor texts: a time becomes an int64 tensor of microseconds since 1970 UTC (a null the least
    int64), anything else a list of Python values, so that a ``DataLoader`` hands all of it on.

    Raises:
        SetupError: ``batches.torch``, torch is not installed.
    """
    try:
        import torch
    except ImportError:
        raise SetupError(
            "batches.torch",
            "torch is not installed in this interpreter",
            fix='pip install "nbplat[torch]", or ask for format="numpy"',
        ) from None
    found: dict[str, Any] = {}
    for name, array in arrays.items():
        if array.dtype.kind == "M":
            array = array.astype("M8[us]").astype("i8")
        found[name] = torch.from_numpy(_writable(array)) if array.dtype.kind in "biuf" else array.tolist()
    return found


def _writable(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """A tensor may be written to; what came from Arrow may not."""
    return array if array.flags.writeable else array.copy()
