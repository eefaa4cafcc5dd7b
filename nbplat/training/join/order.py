"""The order of an epoch as it is asked for here: a bad value is a bad request."""

from __future__ import annotations

from typing import Any

from nbplat.errors import from_record
from nbplat.remote.failure import KernelError
from nbplat.remote.training import order as kernel
from nbplat.remote.training.order import SHUFFLES, Window, row_order, windows_of

__all__ = ["SHUFFLES", "Order", "Window", "row_order", "windows_of"]


class Order(kernel.Order):
    """See `nbplat.remote.training.order.Order`.

    Raises:
        RequestError: ``training.option``: a value that is not possible.
    """

    __slots__ = ()

    def __init__(self, shuffle: str = "none", seed: int = 0, window_units: int = 4) -> None:
        try:
            super().__init__(shuffle, seed, window_units)
        except KernelError as error:
            raise from_record(error.record()) from None

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {"shuffle": self.shuffle, "seed": self.seed, "window_units": self.window_units}
