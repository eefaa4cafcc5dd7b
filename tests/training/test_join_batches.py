"""Reading a plan: even batches, a seeded order, ranks, resume, formats, bounded read-ahead."""

from __future__ import annotations

import datetime as dt
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.exceptions import (
    BadRequestError,
    CommitStateUnknownException,
    ForbiddenError,
    RESTError,
    ServiceUnavailableError,
)

from nbplat.adapters.iceberg.reachable import reachable
from nbplat.errors import Conflict, NbplatError, NotFound, RequestError, SetupError
from nbplat.remote.failure import KernelError
from nbplat.remote.training.epoch import _one_batch
from nbplat.remote.training.mix import mixed
from nbplat.remote.training.order import Order, row_order, windows_of
from nbplat.terms import Window, local_path
from nbplat.training.join import JoinPlan, JoinSpec, Stage, plan_join
from nbplat.training.join.open import OpenJoin
from tests.fixtures.lakehouse import Lake

BOTH = (Stage("twice@1"), Stage.parse("j.score:score"))


def _plan(lake: Lake, *stage: Stage, **options: Any) -> JoinPlan:
    return plan_join(JoinSpec("j.base", on=("id",), stage=stage, **options), lake.platform.join_source, lake.backfills)


@pytest.fixture(scope="module")
def opened(joins: Lake) -> Iterator[OpenJoin]:
    with joins.platform.open_join(_plan(joins, *BOTH)) as opened:
        yield opened


def _ids(batches: Any) -> list[list[int]]:
    return [batch["id"].to_pylist() for batch in batches]


@pytest.mark.parametrize("shuffle", ["none", "bucket", "window"])
def test_every_row_once_in_even_batches_and_the_same_order_again(opened: OpenJoin, shuffle: str) -> None:
    """Only the last batch is short; a seed and an epoch give one order, whatever the threads are doing."""
    first = _ids(opened.batches(32, shuffle=shuffle, seed=7, threads=1))
    assert [32] * 7 + [16] == [len(batch) for batch in first]
    assert list(range(240)) == sorted(n for batch in first for n in batch)
    assert first == _ids(opened.batches(32, shuffle=shuffle, seed=7, threads=3, ahead_bytes=1))
    other = _ids(opened.batches(32, shuffle=shuffle, seed=7, epoch=1))
    assert (first == other) == (shuffle == "none")


def test_a_pass_that_is_over_is_not_taken_for_an_empty_one(opened: OpenJoin) -> None:
    """A loop over epochs around one pass would learn from the first alone: the second is refused."""
    batches = opened.batches(100, shuffle="window")
    first = iter(batches)
    next(first)
    assert 140 == sum(batch.num_rows for batch in batches)
    with pytest.raises(RequestError, match=r"training\.option.*one pass.*epoch=1"):
        next(iter(batches))
    assert [] == list(opened.batches(100, resume=batches.state()))
    with pytest.raises(RequestError, match=r"training\.option.*resume=\[\]"):
        opened.batches(100, resume=[])


def test_a_batch_of_more_text_than_arrow_holds_in_one_column_is_refused() -> None:
    """Two GiB of text are two chunks of a column; a batch of the first chunk alone would lose rows in silence."""
    size = (1 << 30) + 1
    long = pa.Array.from_buffers(
        pa.binary(), 1, [None, pa.py_buffer(np.array([0, size], np.int32)), pa.allocate_buffer(size)]
    )
    with pytest.raises(KernelError, match=r"training\.option.*2 rows.*2 GiB.*batch_rows"):
        _one_batch([pa.table({"text": long}), pa.table({"text": long})])


def test_the_rows_of_a_window_are_mixed_anew_by_seed_epoch_and_window() -> None:
    """Each of the three gives another order of the rows, and the same three the same one."""
    orders = [
        row_order(Order(shuffle, seed), epoch, window, 60).tolist()
        for shuffle in ("bucket", "window")
        for seed, epoch, window in ((7, 0, 0), (7, 1, 0), (7, 0, 1), (8, 0, 0))
    ]
    assert 4 == len({tuple(each) for each in orders})
    assert orders[:4] == orders[4:]
    assert all(sorted(each) == list(range(60)) for each in orders)


@pytest.mark.parametrize(("shuffle", "size"), [("bucket", 1), ("window", 4)])
def test_units_are_put_in_another_order_by_seed_and_epoch(opened: OpenJoin, shuffle: str, size: int) -> None:
    """Which units a window holds changes with every epoch, else the same rows would always meet in a batch."""
    asked = ((7, 0), (7, 1), (8, 0))
    found = [windows_of(opened.plan, Order(shuffle, seed), epoch) for seed, epoch in asked]
    assert 3 == len({tuple(window.units for window in windows) for windows in found})
    assert found[0] == windows_of(opened.plan, Order(shuffle, 7), 0)
    for windows in found:
        assert {size} == {len(window.units) for window in windows}
        assert list(range(len(opened.plan.units))) == sorted(at for window in windows for at in window.units)


def test_a_window_mixes_rows_of_several_units_and_dates(opened: OpenJoin) -> None:
    """With windows a batch holds rows of many partitions; with buckets of one or two."""
    days = {
        shuffle: np.mean([len(set(batch["dt"].to_pylist())) for batch in opened.batches(20, shuffle=shuffle, seed=3)])
        for shuffle in ("bucket", "window")
    }
    assert days["bucket"] < days["window"]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_from_any_token_the_rest_is_identical(opened: OpenJoin, data: st.DataObject) -> None:
    """Stopped after any batch, the remaining batches are the same, and no window before the present one is read."""
    shuffle = data.draw(st.sampled_from(["none", "bucket", "window"]))
    size, world = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 3))
    rank = data.draw(st.integers(0, world - 1))
    options: dict[str, Any] = {"shuffle": shuffle, "seed": 5, "rank": rank, "world": world, "epoch": 2}
    whole = _ids(opened.batches(size, **options))
    stop = data.draw(st.integers(0, len(whole)))
    batches = opened.batches(size, **options)
    reading = iter(batches)
    for _ in range(stop):
        next(reading)
    token = batches.state()
    again = opened.batches(size, rank=rank, world=world, resume=token)
    assert whole[stop:] == _ids(again)
    # What is read again is at most one window beyond what was not handed out.
    window = max(sum(unit.rows for unit in opened.plan.units[:1]), 30) * 4
    left = sum(len(batch) for batch in whole[stop:])
    assert (again.seen[0].rows if again.seen else 0) <= left + window


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_with_another_world_size_exactly_the_rest_is_read(opened: OpenJoin, data: st.DataObject) -> None:
    """Tokens of all ranks hand over what is left, each row once, again and again."""
    handed: list[int] = []
    tokens: list[dict[str, Any]] | None = None
    for world in data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=3)):
        following = []
        for rank in range(world):
            batches = opened.batches(11, shuffle="window", seed=1, rank=rank, world=world, resume=tokens)
            for _, batch in zip(range(data.draw(st.integers(0, 4))), batches, strict=False):
                handed += batch["id"].to_pylist()
            following.append(batches.state())
        tokens = following
    assert tokens is not None
    rest = opened.batches(50, resume=tokens) if len(tokens) > 1 else opened.batches(50, resume=tokens[0])
    handed += [n for batch in rest for n in batch["id"].to_pylist()]
    assert list(range(240)) == sorted(handed)


def test_a_token_that_does_not_fit_is_refused(joins: Lake, opened: OpenJoin) -> None:
    """Another plan, another world size with one token, or no token at all: said before anything is read."""
    token = opened.batches(10, world=2).state()
    with pytest.raises(RequestError, match=r"training\.world.*rank 0 of 2.*all ranks"):
        opened.batches(10, resume=token)
    with pytest.raises(RequestError, match=r"training\.token"):
        list(opened.batches(10, resume=[token, token]))
    with pytest.raises(RequestError, match=r"training\.token"):
        opened.batches(10, resume={"epoch": 1})
    other = joins.platform.open_join(_plan(joins, BOTH[0]))
    with pytest.raises(Conflict, match=r"training\.token.*of plan"):
        other.batches(10, resume=token)


@pytest.mark.parametrize(("equal", "world"), [("trim", 3), ("pad", 3), ("trim", 5), ("pad", 12)])
def test_ranks_share_the_rows_and_can_have_equally_many_batches(opened: OpenJoin, equal: str, world: int) -> None:
    """Every row belongs to one rank, about equally many each; trim and pad make the batch counts equal."""
    ranks = [_ids(opened.batches(8, shuffle="window", seed=2, window=1, rank=r, world=world)) for r in range(world)]
    assert list(range(240)) == sorted(n for batches in ranks for batch in batches for n in batch)
    even = [
        _ids(opened.batches(8, shuffle="window", seed=2, window=1, rank=r, world=world, equal=equal))
        for r in range(world)
    ]
    assert 1 == len({len(batches) for batches in even})
    counts = [len(batches) for batches in ranks]
    if equal == "pad":
        assert max(counts) == len(even[0])
        assert set(range(240)) == {n for batches in even for batch in batches for n in batch}
    else:
        assert min(sum(map(len, batches)) // 8 for batches in ranks) == len(even[0])
        assert {8} == {len(batch) for batches in even for batch in batches}


@pytest.mark.parametrize("equal", ["trim", "pad"])
def test_ranks_that_take_over_have_equally_many_batches_of_the_rest(opened: OpenJoin, equal: str) -> None:
    """What was handed out before counts for none of them."""
    old = [opened.batches(8, shuffle="window", seed=5, rank=rank, world=2) for rank in range(2)]
    for batches in old:
        reading = iter(batches)
        for _ in range(9):
            next(reading)
    tokens = [batches.state() for batches in old]
    rest = [_ids(opened.batches(8, rank=rank, world=3, resume=tokens)) for rank in range(3)]
    even = [_ids(opened.batches(8, rank=rank, world=3, resume=tokens, equal=equal)) for rank in range(3)]
    assert 240 - 2 * 9 * 8 == sum(len(batch) for batches in rest for batch in batches)
    wanted = min(sum(map(len, each)) // 8 for each in rest) if equal == "trim" else max(map(len, rest))
    assert [wanted] * 3 == [len(batches) for batches in even]


def test_equal_ranks_count_what_dates_leave(joins: Lake) -> None:
    """With dates that cut, live rows are counted, so that no rank waits for another for ever."""
    plan = _plan(joins, BOTH[0], dates=Window.parse("2026-11-01", "2026-11-03"))
    opened = joins.platform.open_join(plan)
    even = [_ids(opened.batches(8, rank=r, world=2, equal="pad")) for r in range(2)]
    assert len(even[0]) == len(even[1])


def test_batches_as_arrays(opened: OpenJoin) -> None:
    """Numbers keep their type, lists of one length are matrices that share the batch's memory, nothing is an object."""
    arrays = next(iter(opened.batches(16, format="numpy")))
    assert (np.int64, np.float64) == (arrays["id"].dtype, arrays["twice"].dtype)
    assert ((16, 2), np.float32) == (arrays["emb"].shape, arrays["emb"].dtype)
    assert not arrays["emb"].flags.owndata
    assert arrays["id"].astype(np.float32).tolist() == arrays["emb"][:, 0].tolist()
    frame = next(iter(opened.batches(16, format="pandas")))
    assert arrays["id"].tolist() == frame["id"].tolist()


def test_ragged_lists_and_nulls_as_arrays() -> None:
    """Ragged lists are values with offsets, a null integer is NaN, a null list is an empty one."""
    from nbplat.remote.training.arrays import as_arrays, matrix

    batch = pa.RecordBatch.from_pydict(
        {"r": [[1.0], None, [2.0, 3.0]], "n": pa.array([1, None, 3], pa.int32()), "b": [True, False, True]}
    )
    arrays = as_arrays(batch)
    assert ([1.0, 2.0, 3.0], [0, 1, 1, 3]) == (arrays["r"].tolist(), arrays["r__offsets"].tolist())
    assert ("float64", "bool") == (arrays["n"].dtype, arrays["b"].dtype)
    assert (3, 2) == matrix(arrays, ("n", "b")).shape


def test_lists_in_lists_as_arrays() -> None:
    """An embedding a token is a cube where all lists are of one length; else values and offsets of the outer lists."""
    from nbplat.remote.training.arrays import as_arrays

    pair = pa.list_(pa.float32(), 2)
    cube = pa.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], pa.list_(pair, 2))
    ragged = pa.array([[[1, 2]], [[3, 4], [5, 6]]], pa.large_list(pair))
    arrays = as_arrays(pa.RecordBatch.from_arrays([cube, ragged], ["cube", "ragged"]))
    assert cube.to_pylist() == arrays["cube"].tolist()
    assert ((3, 2), [0, 1, 3]) == (arrays["ragged"].shape, arrays["ragged__offsets"].tolist())


@pytest.mark.parametrize(
    "option",
    [
        {"batch_rows": "8"},
        {"batch_rows": 2.5},
        {"batch_rows": 0},
        {"seed": None, "shuffle": "window"},
        {"seed": 1.5},
        {"epoch": -1},
        {"threads": -1},
        {"ahead_bytes": -5},
        {"window": 0},
        {"rank": 2, "world": 2},
        {"world": 0},
        {"shuffle": "all"},
        {"format": "csv"},
        {"equal": "cut"},
    ],
    ids=str,
)
def test_an_option_that_is_not_possible_is_refused_by_its_name(opened: OpenJoin, option: dict[str, Any]) -> None:
    """Before anything is read, with what is possible."""
    with pytest.raises(RequestError, match=rf"training\.option: .*{next(iter(option))}.*is not possible"):
        opened.batches(**{"batch_rows": 8, **option})


def test_what_is_no_plan_is_refused_as_such(opened: OpenJoin) -> None:
    """A record with parts missing, and one of before dealt files were named."""
    with pytest.raises(RequestError, match=r"training\.plan_format"):
        JoinPlan.from_record({"format": 0})
    record = opened.plan.record()
    del record["base"]
    with pytest.raises(RequestError, match=r"training\.plan_format.*no record of a plan: KeyError 'base'"):
        JoinPlan.from_record(record)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rows_in_any_order_are_those_rows(data: st.DataObject) -> None:
    """Of several tables, slices and empty ones too: taken in an order they are what plain Python takes."""
    width = data.draw(st.none() | st.integers(0, 3))
    nulls = data.draw(st.booleans())
    schema = pa.schema(
        [
            ("l", pa.list_(pa.int64())),
            ("pair", pa.list_(pa.float32(), 2)),
            ("t", pa.string()),
            ("flag", pa.bool_()),
            ("n", pa.int16()),
            ("amount", pa.decimal128(30, 2)),
            ("at", pa.timestamp("us", "UTC")),
        ]
    )

    def row(n: int) -> dict[str, Any]:
        some = data.draw(st.lists(st.integers(-9, 9), min_size=width or 0, max_size=3 if width is None else width))
        at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=n)
        values = [some, [n, n / 2], f"t{n}", n % 2 == 0, n, Decimal(n) / 4, at]
        gone = data.draw(st.integers(0, len(values))) if nulls else -1
        if gone in range(len(values)):
            values[gone] = None
        return dict(zip(schema.names, values, strict=True))

    tables = []
    for _ in range(data.draw(st.integers(1, 3))):
        rows = pa.Table.from_pylist([row(n) for n in range(data.draw(st.integers(0, 6)))], schema)
        tables.append(pa.concat_tables([rows, rows]).slice(data.draw(st.integers(0, 2))))
    plain = [row for table in tables for row in table.to_pylist()]
    places = data.draw(st.lists(st.integers(0, len(plain) - 1), max_size=20)) if plain else []
    assert [plain[at] for at in places] == mixed(tables, np.array(places, np.int64)).to_pylist()


def test_torch_batches_need_torch(opened: OpenJoin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be imported the error says what to install; test_torch.py has what they are where it can."""
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SetupError, match=r"nbplat\[torch\]"):
        next(iter(opened.batches(4, format="torch")))


def test_xgboosts_iterator_needs_xgboost(opened: OpenJoin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be imported the error says what to install."""
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(SetupError, match=r"training\.xgboost.*nbplat\[xgboost\]"):
        opened.data_iter("x")


def test_a_feature_that_the_join_does_not_have_is_named(opened: OpenJoin) -> None:
    """Before anything is read, with the column that was meant."""
    with pytest.raises(NotFound, match=r"training\.column.*twice"):
        opened.data_iter("id", ["twise"])


def test_xgboost_goes_over_the_batches_itself(opened: OpenJoin) -> None:
    """Its matrix is built batch by batch, pass by pass."""
    import xgboost

    built = xgboost.QuantileDMatrix(opened.data_iter("x", ["twice", "emb"], 64), max_bin=16)
    assert (240, 3) == (built.num_row(), built.num_col())
    model = xgboost.train({"max_depth": 3, "nthread": 1, "max_bin": 16}, built, 5)
    assert 5 == model.num_boosted_rounds()


def test_reading_ahead_is_bounded_in_bytes(joins: Lake) -> None:
    """No more units are joined ahead than fit, and a reader that stops early leaves no thread."""
    plan = _plan(joins, BOTH[0])
    opened = joins.platform.open_join(plan)
    begun: list[str] = []
    read = opened.read
    opened.read = lambda unit: (begun.append(unit.name), read(unit))[1]  # type: ignore[method-assign]
    batches = iter(opened.batches(1, threads=4, ahead_bytes=1))
    next(batches)
    assert 1 == len(begun)
    batches = None  # type: ignore[assignment]
    assert [] == [thread.name for thread in threading.enumerate() if thread.name.startswith("nbplat-join")]


def test_counts_say_how_long_the_caller_waited(opened: OpenJoin) -> None:
    """Rows, batches, bytes and the share of the time that went into waiting."""
    batches = opened.batches(100)
    assert [100, 100, 40] == [batch.num_rows for batch in batches]
    counts = batches.counts
    assert (240, 3) == (counts.rows, counts.batches)
    assert 0 < counts.first_batch_s <= counts.seconds
    assert 0 <= counts.wait_share <= 1
    assert [("twice@1", 240, 240), ("j.score", 240, 240)] == [(s.ref, s.rows, s.matched) for s in batches.seen]


def test_a_unit_that_is_read_again_is_there_once(joins: Lake) -> None:
    """Another system that fails for a moment costs another try, and neither loses nor doubles a row."""
    opened = joins.platform.open_join(_plan(joins, *BOTH))
    expected = _ids(opened.batches(50, shuffle="window", seed=3))
    read, tries = opened.read, dict[str, int]()

    def failing(unit: Any) -> Any:
        tries[unit.name] = tries.get(unit.name, 0) + 1
        if tries[unit.name] % 3:
            raise KernelError("store.away", "the store did not answer", fix="try again", kind="RemoteError")
        return read(unit)

    opened.read = failing  # type: ignore[method-assign]
    batches = opened.batches(50, shuffle="window", seed=3)
    assert expected == _ids(batches)
    assert {3} == set(tries.values())
    assert [240, 240] == [side.rows for side in batches.seen]


@pytest.mark.parametrize("options", [{"world": 2}, {"world": 2, "rank": 1}, {"equal": "trim"}, {}])
def test_too_little_coverage_ends_a_pass_as_soon_as_it_is_certain(joins: Lake, options: dict[str, Any]) -> None:
    """By counts the plan could hold; the first keys that are not there prove that it does not, for any rank."""
    plan = _plan(joins, Stage.parse("j.thin:score"), min_coverage=0.99)
    batches = joins.platform.open_join(plan).batches(8, **options)
    with pytest.raises(NbplatError, match=r"training\.coverage: j\.thin covers.*asked for are 99\.00%.*\(id=\d+"):
        list(batches)
    assert batches.counts.rows < 240 / 2


def test_a_staged_file_that_is_gone_names_the_unit(tmp_path: Path) -> None:
    """The error says which partition, and that its snapshot or run was swept."""
    lake = Lake(tmp_path / "home")
    lake.make_shop()
    run = lake.stage("twice", "SELECT id, x * 2 AS twice FROM base", keys=("id",))
    spec = JoinSpec("shop.orders", stage=(Stage(run),))
    plan = plan_join(spec, lake.platform.join_source, lake.backfills)
    lost = plan.units[2]
    staged = lost.sides[0].files[0]
    assert staged is not None
    Path(local_path(staged.path)).unlink()
    with pytest.raises(NbplatError, match=rf"training\.file_gone.*{lost.name}"):
        list(lake.platform.open_join(plan).batches(7))
    lake.close()


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (BadRequestError("no tags here"), ["shop.orders"]),
        (NotImplementedError(), ["shop.orders"]),
        (ForbiddenError("read only"), ["shop.orders"]),
        (ServiceUnavailableError("away"), "catalog.unreachable"),
        (CommitStateUnknownException("lost"), "catalog.unknown"),
        (RESTError("odd"), "odd"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_catalog_that_takes_no_tag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, outcome: list[str] | str
) -> None:
    """Where tags cannot or may not be set, the table is told as not held; an outage is raised, never taken for that."""
    lake = Lake(tmp_path / "home")
    lake.make_shop()
    plan = plan_join(JoinSpec("shop.orders"), lake.platform.join_source, lake.backfills)

    def commit_table(*_: Any, **__: Any) -> None:
        raise raised

    with lake.platform.open_join(plan) as opened, monkeypatch.context() as patched:
        patched.setattr(lake.catalog, "commit_table", commit_table)
        reachable(lake.catalog)
        if isinstance(outcome, str):
            with pytest.raises((NbplatError, RESTError), match=outcome):
                opened.hold()
        else:
            assert outcome == opened.hold()
    lake.close()


def test_after_promotion_the_same_request_gives_the_same_batches(tmp_path: Path) -> None:
    """The plan then reads the base's own column; rows, order and values are as before; the old plan still reads."""
    lake = Lake(tmp_path / "home")
    lake.make_shop()
    run = lake.stage("twice", "SELECT id, x * 2 AS twice FROM base", keys=("id",))
    spec = JoinSpec("shop.orders", stage=(Stage(run, present=("twice",)),))
    before = plan_join(spec, lake.platform.join_source, lake.backfills)
    options: dict[str, Any] = {"shuffle": "window", "seed": 4, "window": 2}
    first = pa.Table.from_batches(lake.platform.open_join(before).batches(7, **options))
    lake.promote(run)
    after = plan_join(spec, lake.platform.join_source, lake.backfills)
    assert {"base"} == {side.how for unit in after.units for side in unit.sides}
    for plan in (after, before, JoinPlan.from_record(before.record())):
        assert first.equals(pa.Table.from_batches(lake.platform.open_join(plan).batches(7, **options)))
    lake.close()


def test_a_run_whose_base_files_were_rewritten_is_joined_by_key(tmp_path: Path) -> None:
    """Compaction takes the position away; the staging table's keys still join, and the text says how."""
    lake = Lake(tmp_path / "home")
    lake.make_shop()
    run = lake.stage("twice", "SELECT id, x * 2 AS twice FROM base", keys=("id",))
    spec = JoinSpec("shop.orders", stage=(Stage(run),))
    by_position = plan_join(spec, lake.platform.join_source, lake.backfills)
    rows = lake.table().scan().to_arrow()
    lake.table().overwrite(rows.take(np.random.default_rng(1).permutation(rows.num_rows)))
    by_key = plan_join(spec, lake.platform.join_source, lake.backfills)
    assert {"merge"} == {side.how for unit in by_key.units for side in unit.sides}
    expected = pa.Table.from_batches(lake.platform.open_join(by_position).batches(99)).sort_by("id")
    got = pa.Table.from_batches(lake.platform.open_join(by_key).batches(99)).sort_by("id")
    assert expected.equals(got)
    assert replace(by_key, metadata={}).plan_id == by_key.plan_id
    lake.close()
