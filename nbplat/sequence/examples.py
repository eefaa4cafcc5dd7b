"""The rows that ask: whose history, up to which moment, and what is carried along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.sequence.ports import SourcePin

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Examples"]


@dataclass(frozen=True, slots=True)
class Examples:
    """Training examples in the order that they came in; every answer keeps that order and that number.

    Attributes:
        entity: The definition's entity columns. A row with a null among them is kept: its history is empty.
        as_of_us: ``int64[examples]``, microseconds since 1970 UTC.
        rows: What is carried along: columns of the examples as they were read.
        pin: Where they came from.
    """

    entity: pa.Table
    as_of_us: npt.NDArray[np.int64]
    rows: pa.Table
    pin: SourcePin

    def __len__(self) -> int:
        return len(self.as_of_us)

    @property
    def nameless(self) -> int:
        """How many have a null in their entity."""
        null = np.zeros(len(self), bool)
        for column in self.entity.columns:
            null |= np.asarray(pc.is_null(column))
        return int(null.sum())

    def take(self, places: npt.NDArray[np.int64]) -> Examples:
        """Those at `places`, in that order."""
        at = pa.array(places)
        return Examples(self.entity.take(at), self.as_of_us[places], self.rows.take(at), self.pin)
