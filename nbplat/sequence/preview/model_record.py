"""The batch as the model gets it: the padded arrays and the mask of a few examples."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Grid", "ModelView"]


@dataclass(frozen=True, slots=True)
class Grid:
    """One feature of the batch.

    Attributes:
        name: Of the feature.
        function: ``vocab``, ``age_log`` and so on.
        dtype: Of the array, ``int32``.
        values: ``[examples][places]``, the numbers in the array at the view's `places`; of an embedding the length
            of the vector.
    """

    name: str
    function: str
    dtype: str
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class ModelView:
    """The array of one sequence.

    Attributes:
        event_type: Empty in a mixed layout.
        rows: Entities of the examples, as texts.
        length: L, as declared.
        places: Which of the L places are held here, ascending; all of them when L is not too large.
        order: ``newest_first`` or ``oldest_first``.
        pad: ``right`` or ``left``.
        mask: ``[examples][places]``, True where there is a token.
        types: ``[examples][places]``: place of the token's type in the preview's `types`; -1 is padding.
        grids: One a feature.
    """

    event_type: str
    rows: tuple[str, ...]
    length: int
    places: tuple[int, ...]
    order: str
    pad: str
    mask: tuple[tuple[bool, ...], ...]
    types: tuple[tuple[int, ...], ...]
    grids: tuple[Grid, ...]
