"""An epoch's batches in the form that a loop asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from nbplat.remote.tensors import pinned

from .arrays import as_arrays
from .covered import SeenCover
from .epoch import Counts, Epoch
from .option import refused

__all__ = ["FORMATS", "Batches", "form_of"]

FORMATS = ("arrow", "numpy", "pandas", "torch")


class Batches:
    """One pass; iterate it once.

    Attributes:
        counts: Rows, batches, and how long the caller waited.
        seen: Per side what was matched, exact for what was read so far.
    """

    def __init__(self, epoch: Epoch, form: Callable[[pa.RecordBatch], Any]) -> None:
        self._epoch, self._form = epoch, form

    def __iter__(self) -> Iterator[Any]:
        return map(self._form, self._epoch)

    @property
    def counts(self) -> Counts:
        """So far."""
        return self._epoch.counts

    @property
    def seen(self) -> list[SeenCover]:
        """So far."""
        return self._epoch.seen

    def state(self) -> dict[str, Any]:
        """A token as JSON: what was handed out is behind it. Give it as ``resume``, with the same batch size."""
        return self._epoch.token.record()


def form_of(
    name: str, tensors: Callable[[Mapping[str, Any]], dict[str, Any]], *, pin: bool = False
) -> Callable[[pa.RecordBatch], Any]:
    """What turns a record batch into ``arrow``, ``numpy``, ``pandas`` or ``torch``.

    Args:
        tensors: Arrays as tensors.
        pin: Tensors go to page-locked memory where there is CUDA.

    Raises:
        KernelError: ``training.option``: no such form, or one that cannot be pinned.
    """
    if pin and name != "torch":
        raise refused(f"pin=True with format={name!r} is not possible", "give format='torch'")
    if name == "arrow":
        return lambda batch: batch
    if name == "pandas":
        return lambda batch: batch.to_pandas()
    if name == "numpy":
        return as_arrays
    if name == "torch":
        if pin:
            return lambda batch: pinned(tensors(as_arrays(batch)))
        return lambda batch: tensors(as_arrays(batch))
    raise refused(f"format={name!r} is not possible", f"give {', '.join(FORMATS)}")
