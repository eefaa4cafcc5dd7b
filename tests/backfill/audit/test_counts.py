"""Measures, sketches, distances, equality and key hashes: what the rules compare."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.backfill.audit.distance import distance
from nbplat.backfill.audit.inside import inside, micros
from nbplat.backfill.audit.matching import hash_rows, positions
from nbplat.backfill.audit.measures import measures, type_text
from nbplat.backfill.audit.sketch import DISTINCT_CAP, Scale, Sketch
from nbplat.backfill.compare import unequal_rows
from nbplat.terms import Window

NAN = float("nan")
DAY = dt.date(2024, 1, 1)
MOMENT = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)

TYPED = [
    (pa.array([1, None, 3], pa.int32()), "int", 1, 3),
    (pa.array([1, None, 3], pa.int64()), "long", 1, 3),
    (pa.array([1.5, None, NAN], pa.float64()), "double", 1.5, 1.5),
    (pa.array([1.5, None, 2.0], pa.float32()), "float", 1.5, 2.0),
    (pa.array(["b", None, "a"]), "string", "a", "b"),
    (pa.array([b"b", None, b"a"]), "binary", b"a", b"b"),
    (pa.array([True, None, False]), "boolean", None, None),
    (pa.array([DAY, None, DAY], pa.date32()), "date", DAY, DAY),
    (pa.array([MOMENT, None], pa.timestamp("us", tz="UTC")), "timestamptz", MOMENT, MOMENT),
    (
        pa.array([decimal.Decimal("1.50"), None], pa.decimal128(9, 2)),
        "decimal(9, 2)",
        decimal.Decimal("1.50"),
        decimal.Decimal("1.50"),
    ),
]


@pytest.mark.parametrize(("values", "name", "least", "most"), TYPED, ids=[case[1] for case in TYPED])
def test_every_scalar_type_is_counted(values: pa.Array, name: str, least: Any, most: Any) -> None:
    """Rows, nulls and span of each type; its name is Iceberg's."""
    [measure] = measures("c", values)
    sketch = Sketch.count(measure.values, Scale.of(measure.values))
    assert name == type_text(values.type)
    assert (len(values), 1, least, most) == (sketch.rows, sketch.nulls, sketch.least, sketch.most)
    assert len(values) - 1 - sketch.odd == int(sketch.fine.sum())


def test_lists_and_structs_have_measures() -> None:
    """An embedding has a length, holes and a norm; a struct has its fields'; null rows stay null."""
    emb = pa.array([[3.0, 4.0], None, [1.0, None], []], pa.list_(pa.float32()))
    found = {measure.name: measure.values.to_pylist() for measure in measures("e", emb)}
    assert {
        "e.length": [2, None, 2, 0],
        "e.holes": [0, None, 1, 0],
        "e.norm": [5.0, None, 1.0, 0.0],
    } == found
    struct = pa.array([{"a": 1, "t": ["x"]}, None], pa.struct([("a", pa.int64()), ("t", pa.list_(pa.string()))]))
    names = {measure.name: (measure.role, measure.values.to_pylist()) for measure in measures("s", struct)}
    assert {
        "s.a": ("value", [1, None]),
        "s.t.length": ("length", [1, None]),
        "s.t.holes": ("holes", [0, None]),
    } == names
    fixed = pa.array([[3.0, 4.0], None], pa.list_(pa.float32(), 2))
    assert [5.0, None] == next(m for m in measures("f", fixed) if m.role == "norm").values.to_pylist()


@given(
    values=st.lists(st.one_of(st.none(), st.floats(width=32)), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_pieces_count_like_the_whole(values: list[float | None], cuts: list[int]) -> None:
    """However rows are cut into files, the merged counts are those of all rows at once."""
    whole = pa.array(values, pa.float64())
    scale = Scale.of(whole)
    wanted, found = Sketch.count(whole, scale), Sketch(scale)
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    for start, end in itertools.pairwise(edges):
        found.add(Sketch.count(whole.slice(start, end - start), scale))
    for name in ("rows", "nulls", "odd", "finite", "least", "most", "distinct_count"):
        assert getattr(wanted, name) == getattr(found, name), name
    assert wanted.fine.tolist() == (found.fine.tolist() or [0])
    assert wanted.drawn.tolist() == (found.drawn.tolist() or [0])
    assert np.isclose(wanted.mean, found.mean, rtol=1e-9, atol=1e-300)
    assert np.isclose(wanted.deviation, found.deviation, rtol=1e-6, atol=1e-6 * (1 + abs(wanted.mean)))


def test_distinct_values_are_counted_up_to_a_cap() -> None:
    """Beyond it the count is unknown, and no value is kept."""
    scale = Scale.of(pa.array([1]))
    sketch = Sketch(scale)
    for start in (0, DISTINCT_CAP - 5):
        sketch.add(Sketch.count(pa.array(range(start, start + DISTINCT_CAP - 5)), scale))
    assert (None, None) == (sketch.distinct, sketch.distinct_count)
    assert 2 == Sketch.count(pa.array([1.0, NAN, NAN]), scale).distinct_count


def sketches(left: Any, right: Any) -> tuple[Sketch, Sketch]:
    scale = Scale.of(pa.array(left))
    return Sketch.count(pa.array(left), scale), Sketch.count(pa.array(right), scale)


@pytest.mark.parametrize("rows", [15, 200, 5000])
def test_equal_distributions_are_within_chance_and_shifted_ones_are_not(rows: int) -> None:
    """For small and large samples: same distribution below the noise, a shift of one deviation above it."""
    random = np.random.default_rng(rows)
    quiet = 0
    for _ in range(40):
        gap = distance(*sketches(random.normal(size=rows), random.normal(size=rows)))
        assert gap is not None
        quiet += gap.psi <= gap.psi_noise + 0.25 and gap.ks <= gap.ks_noise + 0.2
    assert quiet >= 39
    shifted = distance(*sketches(random.normal(size=rows), random.normal(2.5, size=rows)))
    assert shifted is not None
    assert shifted.ks > shifted.ks_noise + 0.2


def test_categories_are_held_by_total_variation() -> None:
    """Half the sum of share differences; a category never seen before counts as other."""
    gap = distance(*sketches(["a"] * 50 + ["b"] * 50, ["a"] * 50 + ["new"] * 50))
    assert gap is not None
    assert 0.5 == gap.tv
    assert None is distance(*sketches([None, "a"], pa.nulls(3, pa.string())))


UNEQUAL: list[tuple[Any, Any, pa.DataType, list[bool]]] = [
    ([1, 2, None], [1, 3, None], pa.int64(), [False, True, False]),
    ([1.0, NAN, None, NAN], [1.0 + 1e-12, NAN, 1.0, 2.0], pa.float64(), [False, False, True, True]),
    ([1000.0, 0.0], [1000.0, 1e-12], pa.float64(), [False, False]),
    ([float("inf"), float("inf")], [float("inf"), 1.0], pa.float64(), [False, True]),
    ([1.0, 1.0], [1.0 + 1e-7, 1.01], pa.float32(), [False, True]),
    (
        [[1.0, 2.0], [1.0], None, []],
        [[1.0, 2.5], [1.0, 2.0], None, None],
        pa.list_(pa.float64()),
        [True, True, False, True],
    ),
    ([{"a": 1}, None, {"a": None}], [{"a": 2}, None, None], pa.struct([("a", pa.int64())]), [True, False, True]),
    ([[{"a": 1}], [{"a": 1}]], [[{"a": 1}], [{"a": 2}]], pa.list_(pa.struct([("a", pa.int64())])), [False, True]),
]


@pytest.mark.parametrize(("before", "after", "kind", "wanted"), UNEQUAL)
def test_rows_differ_at_every_depth(before: Any, after: Any, kind: pa.DataType, wanted: list[bool]) -> None:
    """Nulls, NaN, the order of adding, list lengths and nested fields."""
    assert wanted == unequal_rows(pa.array(before, kind), pa.array(after, kind)).tolist()


KEYS = st.tuples(st.integers(-(2**63), 2**63 - 1), st.text(max_size=5), st.dates(), st.booleans())


@given(rows=st.lists(KEYS, unique=True, min_size=1, max_size=50), seed=st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_rows_are_found_by_their_keys(rows: list[tuple[Any, ...]], seed: Any) -> None:
    """Whatever the order, chunking and width of the other side."""
    names = ["n", "text", "day", "flag"]
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    order = list(range(len(rows)))
    seed.shuffle(order)
    half = len(rows) // 2
    among = pa.concat_tables([table.take(pa.array(part, pa.int64())) for part in (order[:half], order[half:])])
    assert [order.index(row) for row in range(len(rows))] == positions(table, among).tolist()
    assert len(rows) == len(set(hash_rows(among).tolist()))
    assert [-1] * len(rows) == positions(table, among.slice(0, 0)).tolist()


def test_keys_of_other_types_are_hashed() -> None:
    """Decimals, timestamps, floats and sliced strings; a zero has one hash."""
    table = pa.table(
        {
            "d": pa.array([decimal.Decimal("1.0"), decimal.Decimal("2.5")], pa.decimal128(9, 2)),
            "t": pa.array([MOMENT, MOMENT + dt.timedelta(1)], pa.timestamp("us", tz="UTC")),
            "f": [0.0, 1.5],
            "s": pa.chunked_array([pa.array(["zz", "", "é"]).slice(1)]),
        }
    )
    assert [1, 0] == positions(table, table.take([1, 0])).tolist()
    assert [0] == positions(pa.table({"f": [0.0]}), pa.table({"f": [-0.0]})).tolist()


def test_a_window_is_held_against_dates_and_timestamps() -> None:
    """Half-open, a null time is outside, a date is its first moment."""
    window = Window.parse("2024-01-01", "2024-01-02")
    days = pa.chunked_array([pa.array([DAY, DAY + dt.timedelta(1), None], pa.date32())])
    assert [True, False, False] == inside(days, window).tolist()
    seconds = pa.chunked_array([pa.array([MOMENT, None], pa.timestamp("s", tz="UTC"))])
    assert [True, False] == inside(seconds, window).tolist()
    assert int(MOMENT.timestamp() * 1e6) == micros(seconds)[0]
