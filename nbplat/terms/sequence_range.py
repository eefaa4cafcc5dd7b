from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["SequenceRange"]


@dataclass(frozen=True, slots=True)
class SequenceRange:
    """Which events of one type each example may see, as half-open ranges over the sorted index.

    Attributes:
        event_type: The type these ranges are of.
        lo: ``int64[n_examples]``, first row of the sorted index.
        hi: ``int64[n_examples]``, one past the last; ``lo == hi`` is an empty history and is kept.
    """

    event_type: str
    lo: npt.NDArray[np.int64]
    hi: npt.NDArray[np.int64]
