"""Batches as XGBoost's `DataIter`: it goes over them several times, and never holds the whole table as floats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.errors import SetupError
from nbplat.remote.training.arrays import matrix

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["data_iter"]

Arrays = Mapping[str, "npt.NDArray[Any]"]


def data_iter(batches: Callable[[], Iterable[Arrays]], features: Sequence[str], label: str) -> Any:
    """An `xgboost.DataIter` over batches of arrays, for `QuantileDMatrix`.

    Args:
        batches: Begins a pass; called once per pass, and every pass must give the same batches.
        features: Columns that are learned from; a matrix column brings all of its own. NaN is missing.
        label: Column of the labels.

    Raises:
        SetupError: ``training.xgboost``, XGBoost is not installed.
    """
    try:
        import xgboost
    except ImportError:
        raise SetupError(
            "training.xgboost", "XGBoost is not installed in this interpreter", fix='pip install "nbplat[xgboost]"'
        ) from None
    names = tuple(features)

    class JoinedBatches(xgboost.DataIter):  # type: ignore[misc]
        """Hands XGBoost one batch after the other."""

        def __init__(self) -> None:
            self._reading: Iterator[Arrays] | None = None
            super().__init__()

        def next(self, input_data: Callable[..., None]) -> bool:
            """Hand over the next batch; false after the last."""
            if self._reading is None:
                self._reading = iter(batches())
            arrays = next(self._reading, None)
            if arrays is None:
                return False
            input_data(data=matrix(arrays, names), label=arrays[label])
            return True

        def reset(self) -> None:
            """Begin anew."""
            self._reading = None

    return JoinedBatches()
