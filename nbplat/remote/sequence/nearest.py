"""Of the events that were retrieved, those whose vectors are nearest to the example's."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.remote.failure import KernelError

from .gather import Ragged
from .plain import plain

__all__ = ["Nearest", "nearest", "vectors"]


# Candidates whose terms are held together.
_AT_ONCE = 1 << 12


class Nearest(NamedTuple):
    """What is kept, and what could not be compared.

    Attributes:
        kept: The rows, in the order they came in.
        unlike: Rows left out because they have no vector, or one with a null or without a product (NaN).
        blind: Examples left empty because they have no vector themselves.
    """

    kept: Ragged
    unlike: int
    blind: int


def vectors(column: Any, what: str) -> tuple[Any, Any]:
    """A column of lists of numbers as ``float64[rows, D]``, and which rows have a vector.

    A null list has none, nor has one with a null in it. D is 0 when no row has one.

    Raises:
        KernelError: ``sequence.vector``: not lists of numbers, or lists of different lengths.
    """
    array = plain(column)
    if pa.types.is_null(array.type):
        return np.zeros((len(array), 0)), np.zeros(len(array), dtype=bool)
    numbers = plain(array.flatten()) if pa.types.is_large_list(array.type) else None
    if numbers is None or not (pa.types.is_integer(numbers.type) or pa.types.is_float64(numbers.type)):
        raise KernelError(
            "sequence.vector",
            f"{what} is of type {column.type}, not a list of numbers",
            fix="name a column of lists of numbers",
            kind="RequestError",
        )
    counts = pc.list_value_length(array)
    lengths = pc.unique(counts.drop_null()).to_pylist()
    if len(lengths) > 1:
        shown = " and ".join(str(length) for length in sorted(lengths)[:2])
        raise KernelError(
            "sequence.vector",
            f"vectors of {what} have different lengths, {shown} among them",
            fix="store vectors of one length, and null where there is none",
        )
    size = lengths[0] if lengths else 0
    there = counts.is_valid().to_numpy(zero_copy_only=False)
    found = np.zeros((len(array), size))
    values = numbers.cast(pa.float64()) if numbers.type != pa.float64() else numbers
    found[there] = values.fill_null(np.nan).to_numpy(zero_copy_only=False).reshape(int(there.sum()), size)
    if values.null_count:
        holes = np.zeros((len(array), size), dtype=bool)
        holes[there] = values.is_null().to_numpy(zero_copy_only=False).reshape(int(there.sum()), size)
        there &= ~holes.any(axis=1)
    return found, there


def nearest(candidates: Ragged, of_events: tuple[Any, Any], of_examples: tuple[Any, Any], count: int) -> Nearest:
    """Keep of each example's rows the `count` with the largest dot product; of equal ones the newer.

    Products are float64, summed from the first coordinate to the last, so that they are the same everywhere.

    Args:
        candidates: Rows, oldest first: of rows with equal products the one further behind wins.
        of_events: `vectors` of the events; a row without one is never near.
        of_examples: `vectors` of the examples; one without a vector gets an empty list.
        count: From 1.

    Raises:
        KernelError: ``sequence.vector``: the lengths of the two sides differ.
    """
    (matrix, there), (query, asked) = of_events, of_examples
    if there.any() and asked.any() and matrix.shape[1] != query.shape[1]:
        raise KernelError(
            "sequence.vector",
            f"events have vectors of {matrix.shape[1]} numbers, examples of {query.shape[1]}",
            fix="compare vectors of one model: the same column of the same version on both sides",
        )
    rows, offsets = candidates
    example = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    able = there[rows] & asked[example]
    product = np.full(len(rows), np.nan)
    product[able] = _products(matrix, rows[able], query, example[able])
    able &= ~np.isnan(product)
    at = np.flatnonzero(able)
    # Largest first, then the one further behind; within its example.
    order = np.lexsort((-at, -product[at], example[at]))
    owner = example[at][order]
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    stay = np.sort(at[order][place < count])
    kept = np.zeros(len(offsets), dtype=np.int64)
    np.cumsum(np.bincount(example[stay], minlength=len(offsets) - 1), out=kept[1:])
    unlike = int(np.count_nonzero(asked[example] & ~able))
    return Nearest(Ragged(rows[stay], kept), unlike, int(np.count_nonzero(~asked)))


def _products(matrix: Any, rows: Any, query: Any, example: Any) -> Any:
    found = np.empty(len(rows))
    with np.errstate(invalid="ignore", over="ignore"):
        for begin in range(0, len(rows), _AT_ONCE):
            at = slice(begin, begin + _AT_ONCE)
            terms = matrix[rows[at]] * query[example[at]]
            total = np.zeros(len(terms))
            for place in range(terms.shape[1]):
                total += terms[:, place]
            found[at] = total
    return found
