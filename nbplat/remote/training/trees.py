"""Batches as XGBoost's `DataIter`: it goes over them several times, and never holds the whole table as floats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nbplat.remote.failure import KernelError

from .arrays import matrix

__all__ = ["data_iter"]


def data_iter(batches: Callable[[], Iterable[Any]], features: Sequence[str], label: str) -> Any:
    """An `xgboost.DataIter` over batches of arrays, for `QuantileDMatrix`.

    Args:
        batches: Begins a pass; called once per pass, and every pass must give the same batches.
        features: Columns that are learned from; a matrix column brings all of its own. NaN is missing.
        label: Column of the labels.

    Raises:
        KernelError: ``training.xgboost``, XGBoost is not installed; while it is read ``training.column``, a column that
            is not there.
    """
    try:
        import xgboost
    except ImportError:
        raise KernelError(
            "training.xgboost",
            "XGBoost is not installed in this interpreter",
            fix='pip install "nbplat[xgboost]"',
            kind="SetupError",
        ) from None
    names = tuple(features)

    class JoinedBatches(xgboost.DataIter):  # type: ignore[misc]
        """Hands XGBoost one batch after the other."""

        def __init__(self) -> None:
            self._reading: Any = None
            super().__init__()

        def next(self, input_data: Callable[..., None]) -> bool:
            """Hand over the next batch; false after the last."""
            if self._reading is None:
                self._reading = iter(batches())
            arrays = next(self._reading, None)
            if arrays is None:
                return False
            for name in (label, *names):
                if name not in arrays:
                    raise KernelError(
                        "training.column",
                        f"the join has no column {name!r}",
                        fix=f"name one of {', '.join(sorted(arrays))}",
                        kind="NotFound",
                    )
            input_data(data=matrix(arrays, names), label=arrays[label])
            return True

        def reset(self) -> None:
            """Begin anew."""
            self._reading = None

    return JoinedBatches()
