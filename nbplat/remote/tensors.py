"""Arrays of a batch as tensors, without a copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .failure import KernelError

__all__ = ["as_tensors", "pinned"]


def as_tensors(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays of numbers and truth values as tensors that share their memory.

    Torch has neither times nor texts: a time becomes an int64 tensor of microseconds since 1970 UTC (a null the least
    int64), anything else a list of Python values, so that a ``DataLoader`` hands all of it on.

    Raises:
        KernelError: ``batches.torch``, torch is not installed.
    """
    try:
        import torch
    except ImportError:
        raise KernelError(
            "batches.torch",
            "torch is not installed in this interpreter",
            fix='pip install "nbplat[torch]", or ask for format="numpy"',
            kind="SetupError",
        ) from None
    found: dict[str, Any] = {}
    for name, array in arrays.items():
        if array.dtype.kind == "M":
            array = array.astype("M8[us]").astype("i8")
        # A tensor may be written to; what came from Arrow may not.
        numbers = array.dtype.kind in "biuf"
        found[name] = torch.from_numpy(array if array.flags.writeable else array.copy()) if numbers else array.tolist()
    return found


def pinned(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors in page-locked memory, from where a copy to the GPU need not wait (``non_blocking=True``).

    Without CUDA they stay where they are, so that one loop runs on both kinds of machine.
    """
    import torch

    if not torch.cuda.is_available():
        return dict(tensors)
    return {name: each.pin_memory() if isinstance(each, torch.Tensor) else each for name, each in tensors.items()}
