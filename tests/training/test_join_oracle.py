"""Joins over random tables against a plain oracle: any keys, buckets, files, gaps, schemas and deletes."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.types import DateType, DoubleType, LongType, StringType

from nbplat.adapters.iceberg.catalog import pin_of
from nbplat.training.join import JoinSpec, Stage, plan_join
from tests.fixtures.deletes import add_deletion_vector, add_equality_deletes, add_position_deletes
from tests.fixtures.lakehouse import Lake
from tests.training.join_tables import KEYS, append, make_table, oracle

DAYS = [dt.date(2026, 11, day) for day in (1, 2)]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    lake = Lake(tmp_path_factory.mktemp("join") / "home")
    yield lake
    lake.close()


def _rows(draw: Any, names: tuple[str, ...], make: Any, *, unique: bool, by_day: bool = True) -> list[dict[str, Any]]:
    """Rows whose keys come from few numbers, so that some meet, some repeat and some are null."""
    number = st.none() | st.integers(0, 25)
    keys = draw(st.lists(st.tuples(*(number for _ in names), st.sampled_from(DAYS)), max_size=30))
    rows, seen = [], set()
    for *numbers, day in keys:
        values = [None if n is None else make(n) if at == 0 else f"b{n % 3}" for at, n in enumerate(numbers)]
        key = (*values, day if by_day else None)
        if unique and (key in seen or None in values):
            continue
        seen.add(key)
        rows.append({**dict(zip(names, values, strict=True)), "dt": day})
    return rows


COUNTER = iter(range(10_000))


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_tables_join_as_the_oracle_does(lake: Lake, data: st.DataObject) -> None:
    """Rows out are rows in, and each value is that of its key and date, whatever the tables hold."""
    draw = data.draw
    kind = draw(st.sampled_from(list(KEYS)))
    ours, theirs, make = KEYS[kind]
    composite = draw(st.booleans())
    names = ("k", "k2") if composite else ("k",)
    staged_names = ("key", "key2") if composite else ("key",)
    join = draw(st.sampled_from(["bucket", "shuffle"]))
    base = _rows(draw, names, make, unique=False) or [dict.fromkeys(names) | {"dt": DAYS[0]}]
    across = draw(st.booleans())
    staged = _rows(draw, staged_names, make, unique=True, by_day=not across)
    for at, row in enumerate(base):
        row |= {"x": at / 2}
    for at, row in enumerate(staged):
        row |= {"v": None if at % 4 == 0 else at, "t": f"t{at}"}
    common = [(2, 2), (4, 2), (2, 4), (1, 3), (3, 3)]
    buckets = draw(st.sampled_from(common if join == "bucket" else [*common, (3, 2), (2, 3), (3, 4)]))
    number = next(COUNTER)
    extra = [("k2", StringType())] if composite else []
    cut, staged_cut = draw(st.integers(0, len(base))), draw(st.integers(0, len(staged)))
    made = make_table(
        lake.catalog,
        f"r.base{number}",
        [("k", ours), *extra, ("dt", DateType()), ("old", DoubleType())],
        [[{**row, "old": row["x"]} for row in base[:cut]]],
        bucket=("k", buckets[0]),
        by="dt",
    )
    with made.update_schema() as update:
        update.rename_column("old", "x")
        update.add_column("later", LongType())
    append(made, base[cut:])
    make_table(
        lake.catalog,
        f"r.staged{number}",
        [
            ("key", theirs),
            *[("key2", StringType()) for _ in extra],
            ("dt", DateType()),
            ("v", LongType()),
            ("t", StringType()),
        ],
        [staged[:staged_cut], staged[staged_cut:]],
        bucket=("key", buckets[1]),
        by="dt",
    )
    spec = JoinSpec(
        f"r.base{number}",
        on=names,
        stage=(Stage(f"r.staged{number}", on=staged_names, across_dates=across),),
        missing="null",
        join=join,
        max_unit_bytes=draw(st.sampled_from([1, 256 << 20])),
    )
    plan = plan_join(spec, lake.platform.join_source, lake.backfills)
    with lake.platform.open_join(plan) as opened:
        got = pa.Table.from_batches(opened.batches(draw(st.integers(1, 40))))
    pairs = list(zip(names, staged_names, strict=True))
    if not across:
        pairs.append(("dt", "dt"))
    expected = oracle([{**row, "later": None} for row in base], staged, pairs, ("v", "t"))
    order = lambda row: tuple(repr(row[name]) for name in (*names, "dt", "x", "v", "t", "later"))  # noqa: E731
    assert sorted(expected, key=order) == sorted(_plain(got), key=order)


def _plain(table: pa.Table) -> list[dict[str, Any]]:
    rows = table.to_pylist()
    return [{**row, "k": row["k"].bytes} if isinstance(row["k"], uuid.UUID) else row for row in rows]


def test_deletes_of_every_kind_on_both_sides(lake: Lake) -> None:
    """Rows deleted from the base are gone, and rows deleted from the staged table meet nothing."""
    base = [{"k": n, "dt": DAYS[0], "x": float(n)} for n in range(40)]
    staged = [{"k": n, "dt": DAYS[0], "v": n * 10} for n in range(40)]
    fields = [("k", LongType()), ("dt", DateType())]
    for name, last, rows in (("del.base", ("x", DoubleType()), base), ("del.staged", ("v", LongType()), staged)):
        make_table(lake.catalog, name, [*fields, last], [rows], bucket=("k", 2), by="dt")
    gone: dict[str, set[int]] = {}
    for name in ("del.base", "del.staged"):
        table = lake.table(name)
        paths = sorted(task.file.file_path for task in table.scan().plan_files())
        source = lake.backfills.tables
        held = {path: source.read(pin_of(table), ["k"], paths=[path])["k"].to_pylist() for path in paths}
        add_position_deletes(table, paths[0], [1, 3])
        add_deletion_vector(lake.table(name), paths[1], [0, 2])
        value = 5 if name == "del.base" else 7
        add_equality_deletes(lake.table(name), ["k"], [{"k": value}])
        gone[name] = {held[paths[0]][1], held[paths[0]][3], held[paths[1]][0], held[paths[1]][2], value}
    spec = JoinSpec("del.base", on=("k",), stage=(Stage("del.staged", present=("v",)),))
    plan = plan_join(spec, lake.platform.join_source, lake.backfills)
    got = pa.Table.from_batches(lake.platform.open_join(plan).batches(7)).to_pylist()
    left = [n for n in range(40) if n not in gone["del.base"]]
    expected = {n: None if n in gone["del.staged"] else n * 10 for n in left}
    assert expected == {row["k"]: row["v"] for row in got}
    assert len(left) == len(got)
    assert {n: value is not None for n, value in expected.items()} == {row["k"]: row["v__present"] for row in got}
