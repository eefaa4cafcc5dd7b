"""Columns of sorted events that lie unsorted in memory: each is taken when it is asked for, and only where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["LaterRows"]


@dataclass(frozen=True, slots=True)
class LaterRows:
    """Stands for the rows of `Events` where most events will be left behind: those are never gathered.

    Attributes:
        columns: Unsorted.
        order: ``int[rows]``, places in `columns`.
    """

    columns: Mapping[str, pa.ChunkedArray]
    order: npt.NDArray[np.integer[Any]]
    _taken: dict[str, pa.ChunkedArray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def num_columns(self) -> int:
        """As of a table."""
        return len(self.columns)

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """A column in the order of the events."""
        if name not in self._taken:
            self._taken[name] = self.columns[name].take(pa.array(self.order))
        return self._taken[name]

    def take(self, places: pa.Array) -> LaterRows:
        """The rows at these places; nothing is gathered yet."""
        return LaterRows(self.columns, self.order[places.to_numpy()])

    def select(self, names: Sequence[str]) -> pa.Table:
        """Some columns, as a table."""
        return pa.table({name: self[name] for name in names})
