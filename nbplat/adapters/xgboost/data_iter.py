"""Batches as XGBoost's `DataIter`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.errors import from_record
from nbplat.remote.failure import KernelError
from nbplat.remote.training import trees

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["data_iter"]


def data_iter(
    batches: Callable[[], Iterable[Mapping[str, npt.NDArray[Any]]]], features: Sequence[str], label: str
) -> Any:
    """As `nbplat.remote.training.trees.data_iter`.

    Raises:
        SetupError: ``training.xgboost``, XGBoost is not installed.
    """
    try:
        return trees.data_iter(batches, features, label)
    except KernelError as error:
        raise from_record(error.record()) from None
