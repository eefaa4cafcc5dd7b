"""Arrays of a batch as tensors, without a copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbplat.errors import from_record
from nbplat.remote import tensors
from nbplat.remote.failure import KernelError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["as_tensors"]


def as_tensors(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """As `nbplat.remote.tensors.as_tensors`.

    Raises:
        SetupError: ``batches.torch``, torch is not installed.
    """
    try:
        return tensors.as_tensors(arrays)
    except KernelError as error:
        raise from_record(error.record()) from None
