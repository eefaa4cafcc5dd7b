"""Equality of columns, row by row."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

from nbplat.backfill.compare import unequal_rows


@pytest.mark.parametrize(
    ("before", "after", "kind", "unequal"),
    [
        ([1, None, 3, None], [1, None, None, 4], pa.int64(), [False, False, True, True]),
        ([1.0, math.inf, 0.0], [1.0 + 1e-12, -math.inf, -0.0], pa.float64(), [False, True, False]),
        ([1.0, math.nan], [1.1, 0.0], pa.float32(), [True, True]),
        (["a", ""], ["a", None], pa.string(), [False, True]),
        (
            [[1.0, None], [1.0], [], None, [math.nan], [2.0, 3.0]],
            [[1.0, None], [1.0, 2.0], [], [], [math.nan], [2.0, 4.0]],
            pa.list_(pa.float32()),
            [False, True, False, True, False, True],
        ),
        (
            [{"a": 1, "b": ["x"]}, {"a": 1, "b": None}, None],
            [{"a": 1, "b": ["x"]}, {"a": 1, "b": []}, {"a": None, "b": None}],
            pa.struct({"a": pa.int32(), "b": pa.list_(pa.string())}),
            [False, True, True],
        ),
        ([[[1], []], [[2]]], [[[1], []], [[2, 3]]], pa.list_(pa.list_(pa.int8())), [False, True]),
        ([], [], pa.list_(pa.int8()), []),
    ],
)  # fmt: skip
def test_rows_differ_by_value(before, after, kind, unequal):
    """Nulls, NaN and nested values are compared as values; floats within the tolerance."""
    sides = [pa.array([side[0] if side else None, *side], kind).slice(1) for side in (before, after)]

    assert unequal == unequal_rows(*sides).tolist()
