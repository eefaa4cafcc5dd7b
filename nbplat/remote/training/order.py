"""In which order units are read: permuted by seed and epoch, mixed in windows, dealt to ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .option import at_least, refused

__all__ = ["SHUFFLES", "Order", "Window", "deal", "row_order", "windows_of"]

SHUFFLES = ("none", "bucket", "window")


class Order:
    """How an epoch goes over the rows.

    Attributes:
        shuffle: ``none``: the plan's order; ``bucket``: units in a random order, rows of a unit mixed; ``window``:
            units in a random order, the rows of `window_units` of them mixed. A bucket of a hashed key is a random
            sample of keys; where rows of one request stand together, mixing is what makes them independent again.
        seed: Of all randomness; the same seed, epoch and plan give the same order, wherever it is read.
        window_units: Units in memory at once while they are mixed.

    Raises:
        KernelError: ``training.option``: a value that is not possible.
    """

    __slots__ = ("seed", "shuffle", "window_units")

    def __init__(self, shuffle: str = "none", seed: int = 0, window_units: int = 4) -> None:
        if shuffle not in SHUFFLES:
            raise refused(f"shuffle={shuffle!r} is not possible", f"give {', '.join(SHUFFLES)}")
        self.shuffle, self.seed = shuffle, at_least(0, "seed", seed)
        self.window_units = at_least(1, "window", window_units)


class Window(NamedTuple):
    """Units that are in memory together.

    Attributes:
        number: Place in the epoch's order over all ranks; seeds the order of its rows.
        units: Places among the plan's units, in the order in which their rows are put together.
        rows: Physical rows.
    """

    number: int
    units: tuple[int, ...]
    rows: int


def windows_of(plan: Any, order: Order, epoch: int) -> tuple[Window, ...]:
    """An epoch's windows, over all ranks.

    Args:
        plan: Has ``units``, each with its ``rows``.
    """
    places = np.arange(len(plan.units))
    if order.shuffle != "none":
        places = np.random.default_rng([order.seed, epoch]).permutation(places)
    size = order.window_units if order.shuffle == "window" else 1
    parts = [tuple(int(at) for at in places[start : start + size]) for start in range(0, len(places), size)]
    return tuple(Window(number, part, sum(plan.units[at].rows for at in part)) for number, part in enumerate(parts))


def row_order(order: Order, epoch: int, window: int, rows: int) -> Any:
    """The order of a window's rows, ``int64[rows]``; None when they stay as they are."""
    if order.shuffle == "none":
        return None
    return np.random.default_rng([order.seed, epoch, window]).permutation(rows)


def deal(windows: Sequence[Window], world: int) -> list[list[Window]]:
    """Windows to ranks: each in turn to the rank that has the fewest rows so far, the lowest of several."""
    dealt: list[list[Window]] = [[] for _ in range(world)]
    rows = [0] * world
    for window in windows:
        rank = rows.index(min(rows))
        dealt[rank].append(window)
        rows[rank] += window.rows
    return dealt
