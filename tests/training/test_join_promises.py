"""What a join promises when tables are not as one would like them: keys without a value, drift, moved tables."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.transforms import BucketTransform
from pyiceberg.types import (
    BinaryType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    IntegerType,
    ListType,
    LongType,
    StringType,
    TimestamptzType,
    UUIDType,
)

from nbplat.errors import Conflict, NbplatError, RequestError
from nbplat.terms import Window
from nbplat.training.join import JoinPlan, JoinSpec, Stage, explain_join, plan_join
from tests.fixtures.deletes import add_position_deletes
from tests.fixtures.lakehouse import ORDERS, Lake, small_rows
from tests.training.join_tables import append, make_table

DAY = dt.date(2026, 11, 1)
KEYED = [("id", LongType()), ("dt", DateType())]
TWICE = "SELECT id, x * 2 AS twice FROM base"


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    lake = Lake(tmp_path / "home")
    yield lake
    lake.close()


def _plan(lake: Lake, base: str, *stage: Stage, **options: Any) -> JoinPlan:
    return plan_join(JoinSpec(base, stage=stage, **options), lake.platform.join_source, lake.backfills)


def _read(lake: Lake, plan: JoinPlan) -> list[dict[str, Any]]:
    with lake.platform.open_join(plan) as opened:
        rows: list[dict[str, Any]] = pa.Table.from_batches(opened.batches(7)).to_pylist()
    return rows


def _pair(lake: Lake, rows: int = 24, *, buckets: tuple[int, int] = (2, 2)) -> None:
    """`p.base` and `p.staged`, of the same keys on one day; the staged rows stand in no order, in three files each."""
    base = [{"id": n, "dt": DAY, "x": float(n)} for n in range(rows)]
    staged = [{"id": n, "dt": DAY, "v": n * 10.0} for n in reversed(range(rows))]
    make_table(lake.catalog, "p.base", [*KEYED, ("x", DoubleType())], [base], bucket=("id", buckets[0]), by="dt")
    parts = [staged[at::3] for at in range(3)]
    make_table(lake.catalog, "p.staged", [*KEYED, ("v", DoubleType())], parts, bucket=("id", buckets[1]), by="dt")


STAGED = Stage("p.staged")


def test_several_unsorted_small_files_in_a_bucket_are_put_together(lake: Lake) -> None:
    """Order within and between files does not matter; the base's order stays."""
    _pair(lake)
    plan = _plan(lake, "p.base", STAGED, on=("id",))
    assert {3} == {len(unit.sides[0].files) for unit in plan.units}
    rows = _read(lake, plan)
    assert [row["x"] * 10 for row in rows] == [row["v"] for row in rows]


@pytest.mark.parametrize(("kind", "keys"), [(LongType(), [1, None, 3]), (DoubleType(), [1.0, float("nan"), None])])
def test_a_key_without_a_value_meets_nothing_and_is_counted(lake: Lake, kind: Any, keys: list[Any]) -> None:
    """Neither null nor NaN equals itself; the rows stay, with nulls, and the report counts them."""
    fields = [("k", kind), ("dt", DateType())]
    base, staged = ([{"k": k, "dt": DAY, name: 1.0} for k in keys] for name in ("x", "v"))
    make_table(lake.catalog, "n.base", [*fields, ("x", DoubleType())], [base], bucket=None, by="dt")
    make_table(lake.catalog, "n.staged", [*fields, ("v", DoubleType())], [staged], bucket=None, by="dt")
    plan = _plan(lake, "n.base", Stage("n.staged", across_dates=True), on=("k",), join="shuffle")
    with lake.platform.open_join(plan) as opened:
        batches = opened.batches(10)
        rows = pa.Table.from_batches(batches).to_pylist()
        [seen] = batches.seen
    voids = sum(k is None or k != k for k in keys)
    assert (3, 3 - voids, voids) == (seen.rows, seen.matched, seen.null_keys)
    assert [None if k is None or k != k else 1.0 for k in keys] == [row["v"] for row in rows]


@pytest.mark.parametrize(
    ("ours", "theirs", "keys", "strange"),
    [
        (DecimalType(9, 2), DecimalType(18, 2), [Decimal("1.25"), Decimal("-7.50")], Decimal("12345678901234.50")),
        (FixedType(4), BinaryType(), [b"abcd", b"wxyz"], b"a longer one"),
        (BinaryType(), FixedType(4), [b"abcd", b""], b"wxyz"),
        (IntegerType(), LongType(), [1, -2], 1 << 40),
    ],
    ids=["decimal", "fixed", "binary", "int"],
)
@pytest.mark.parametrize("buckets", [(1, 1), (2, 3)])
def test_keys_of_one_class_meet_whatever_their_width(
    lake: Lake, ours: Any, theirs: Any, keys: list[Any], strange: Any, buckets: tuple[int, int]
) -> None:
    """A staged key that the base's type could not hold meets nothing, and breaks nothing."""
    base = [{"k": key, "dt": DAY, "x": at} for at, key in enumerate(keys)]
    staged = [{"k": keys[0], "dt": DAY, "v": 7}, {"k": strange, "dt": DAY, "v": 8}]
    day = ("dt", DateType())
    make_table(lake.catalog, "w.base", [("k", ours), day, ("x", LongType())], [base], bucket=("k", buckets[0]), by="dt")
    make_table(
        lake.catalog, "w.staged", [("k", theirs), day, ("v", LongType())], [staged], bucket=("k", buckets[1]), by="dt"
    )
    rows = _read(lake, _plan(lake, "w.base", Stage("w.staged"), on=("k",), join="shuffle", missing="null"))
    assert [(0, 7), (1, None)] == sorted((row["x"], row["v"]) for row in rows)


def test_negative_zero_meets_zero_across_partitions(lake: Lake) -> None:
    """Zero is one key, where it names the partition as well."""
    for name, value, zero in (("z.base", "x", 0.0), ("z.staged", "v", -0.0)):
        rows = [{"k": key, value: key} for key in (zero, 1.5)]
        make_table(lake.catalog, name, [("k", DoubleType()), (value, DoubleType())], [rows], bucket=None, by="k")
    rows = _read(lake, _plan(lake, "z.base", Stage("z.staged", columns=("v",)), on=("k",)))
    assert [0.0, 1.5] == [row["v"] for row in rows]


@pytest.mark.parametrize("across", [False, True])
def test_dealt_rows_meet_rows_of_their_own_date(lake: Lake, across: bool) -> None:
    """A shuffle changes where rows meet, not which ones: a key of another date stays away unless it is asked for."""
    days = [DAY, DAY + dt.timedelta(days=1), DAY + dt.timedelta(days=2)]
    base = [{"id": n, "dt": day, "x": float(n)} for n in range(6) for day in days[:2]]
    staged = [{"id": n, "dt": days[n % 2 + 1], "v": float(n)} for n in range(6)]
    make_table(lake.catalog, "p.base", [*KEYED, ("x", DoubleType())], [base], bucket=("id", 2), by="dt")
    make_table(lake.catalog, "p.staged", [*KEYED, ("v", DoubleType())], [staged], bucket=("id", 3), by="dt")
    stage = Stage("p.staged", across_dates=across)
    if not across:
        with pytest.raises(NbplatError, match=r"training\.missing_partition: dt=2026-11-01"):
            _plan(lake, "p.base", stage, on=("id",), join="shuffle")
    plan = _plan(lake, "p.base", stage, on=("id",), join="shuffle", missing="null")
    assert any("SHUFFLED" in line for line in explain_join(plan))
    rows = _read(lake, JoinPlan.from_record(json.loads(json.dumps(plan.record()))))
    met = {(row["id"], row["dt"]): row["v"] for row in rows}
    expected = {
        (n, day): float(n) if across or (day == days[1] and n % 2 == 0) else None for n in range(6) for day in days[:2]
    }
    assert expected == met


@pytest.mark.parametrize("max_unit_bytes", [1, 4000, 256 << 20])
def test_rows_dealt_to_many_files_meet_as_those_of_one(lake: Lake, max_unit_bytes: int) -> None:
    """However small the parts must be, each base row finds its own, and keys in two files are found to be doubled."""
    base = [{"id": n % 250, "dt": DAY, "x": float(n)} for n in range(300)]
    staged = [{"id": n, "dt": DAY, "v": n * 10.0} for n in range(0, 400, 2)]
    make_table(lake.catalog, "p.base", [*KEYED, ("x", DoubleType())], [base], bucket=("id", 2), by="dt")
    fields = [*KEYED, ("v", DoubleType())]
    make_table(lake.catalog, "p.staged", fields, [staged[::3], staged[1::3], staged[2::3]], bucket=("id", 3), by="dt")
    options: dict[str, Any] = {"on": ("id",), "join": "shuffle", "max_unit_bytes": max_unit_bytes}
    rows = _read(lake, _plan(lake, "p.base", STAGED, **options))
    assert sorted(range(300)) == sorted(row["x"] for row in rows)
    assert [None if row["id"] % 2 else row["id"] * 10.0 for row in rows] == [row["v"] for row in rows]
    append(lake.table("p.staged"), [{"id": 8, "dt": DAY, "v": 0.0}])
    with pytest.raises(NbplatError, match=r"training\.duplicate_keys.*id=8"):
        _read(lake, _plan(lake, "p.base", STAGED, **options))


@pytest.mark.parametrize("kind", [ListType(10, LongType(), element_required=False), UUIDType()], ids=str)
def test_a_column_without_an_order_orders_no_duplicates(lake: Lake, kind: Any) -> None:
    """Refused when it is planned, not when a duplicate is met."""
    _pair(lake, 4)
    make_table(lake.catalog, "p.late", [*KEYED, ("v", LongType()), ("by", kind)], [], bucket=("id", 2), by="dt")
    with pytest.raises(RequestError, match=r"training\.option: order_by='by' of p\.late.*has no order"):
        _plan(lake, "p.base", Stage("p.late", columns=("v",), duplicates="last", order_by="by"), on=("id",))


def test_what_has_a_common_bucket_is_not_dealt(lake: Lake) -> None:
    """join='shuffle' allows a shuffle where there is no other way; it asks for none."""
    _pair(lake)
    plan = _plan(lake, "p.base", STAGED, on=("id",), join="shuffle")
    assert {"merge"} == {side.how for unit in plan.units for side in unit.sides}


def test_row_groups_are_chosen_by_the_key_whatever_files_call_it(lake: Lake) -> None:
    """After two columns have swapped their names, old files still say the key's range by the key's own column."""
    fields = [("a", LongType()), ("k", LongType()), ("dt", DateType()), ("v", DoubleType())]
    for name in ("g.base", "g.staged"):
        make_table(lake.catalog, name, fields, [], bucket=("a", 1), by="dt")
        with lake.table(name).transaction() as change:
            change.set_properties({"write.parquet.row-group-limit": "10"})
        append(lake.table(name), [{"a": n, "k": 1000 - n, "dt": DAY, "v": n * 10.0} for n in range(40)])
        for old, new in (("k", "other"), ("a", "k"), ("other", "a")):
            with lake.table(name).update_schema() as update:
                update.rename_column(old, new)
    append(lake.table("g.base"), [{"k": n, "a": -5, "dt": DAY, "v": n * 10.0} for n in range(20)])
    stage = Stage("g.staged", columns=("v",), rename={"v": "w"})
    plan = _plan(lake, "g.base", stage, on=("k",), max_unit_bytes=1)
    assert 6 == len(plan.units)
    assert {1} == {len(file.groups or ()) for unit in plan.units for file in unit.sides[0].files if file is not None}
    rows = _read(lake, plan)
    assert 60 == len(rows)
    assert [row["k"] * 10.0 for row in rows] == [row["w"] for row in rows]


@pytest.mark.parametrize("first", [-1, 0, 1, 5])
def test_a_piece_reads_every_row_group_that_its_keys_touch(lake: Lake, first: int) -> None:
    """Also one whose least key is the piece's greatest, and one whose greatest is its least."""
    for name, value, ids in (("p.base", "x", range(40)), ("p.staged", "v", range(first, first + 40))):
        make_table(lake.catalog, name, [*KEYED, (value, DoubleType())], [], bucket=("id", 1), by="dt")
        with lake.table(name).transaction() as change:
            change.set_properties({"write.parquet.row-group-limit": "10"})
        append(lake.table(name), [{"id": n, "dt": DAY, value: n * 10.0} for n in ids])
    plan = _plan(lake, "p.base", STAGED, on=("id",), max_unit_bytes=1)
    assert 4 == len(plan.units)
    rows = _read(lake, plan)
    assert [n * 10.0 if n >= first and n < first + 40 else None for n in range(40)] == [row["v"] for row in rows]


def test_dates_take_the_first_moment_and_leave_the_end_out(lake: Lake) -> None:
    """Inside of files as well, by any column of time; a row without a time is in no window."""
    times = [dt.datetime(2026, 11, 1, hour, tzinfo=dt.UTC) for hour in range(9)]
    base = [{"id": n, "dt": DAY, "at": time} for n, time in enumerate([*times, None])]
    make_table(lake.catalog, "p.base", [*KEYED, ("at", TimestamptzType())], [base], bucket=("id", 1), by="dt")
    staged = [{"id": n, "dt": DAY, "v": float(n)} for n in range(10)]
    make_table(lake.catalog, "p.staged", [*KEYED, ("v", DoubleType())], [staged], bucket=("id", 1), by="dt")
    for first, end, expected in (("03:00", "05:00", [3, 4]), ("03:00", "05:00:01", [3, 4, 5]), (None, "01:00", [0])):
        window = Window.parse(first and f"2026-11-01T{first}", f"2026-11-01T{end}")
        plan = _plan(lake, "p.base", STAGED, on=("id",), dates=window, time="at")
        with lake.platform.open_join(plan) as opened:
            assert [expected] == [batch["v"].to_pylist() for batch in opened.batches(20)]
            assert len(expected) == sum(opened.exact_rows(unit) for unit in plan.units)


def test_coverage_counts_the_rows_that_live(lake: Lake) -> None:
    """By the files' rows enough could be covered; of those that deletes leave, too few are: said at the end."""
    base = [{"id": n, "dt": DAY, "x": float(n)} for n in range(40)]
    make_table(lake.catalog, "p.base", [*KEYED, ("x", DoubleType())], [base], bucket=("id", 1), by="dt")
    staged = [{"id": n, "dt": DAY, "v": 1.0} for n in range(2, 42)]
    make_table(lake.catalog, "p.staged", [*KEYED, ("v", DoubleType())], [staged], bucket=("id", 1), by="dt")
    [file] = lake.table("p.base").scan().plan_files()
    add_position_deletes(lake.table("p.base"), file.file.file_path, list(range(10, 40)))
    assert 10 == len(_read(lake, _plan(lake, "p.base", STAGED, on=("id",), min_coverage=0.8)))
    with pytest.raises(NbplatError, match=r"training\.coverage: p\.staged covers 8 of 10 rows.*\(id=0\), \(id=1\)"):
        _read(lake, _plan(lake, "p.base", STAGED, on=("id",), min_coverage=0.9))


def test_columns_that_change_after_planning_change_nothing(lake: Lake) -> None:
    """The plan pins schemas: a renamed, a dropped and a new column are read as they were, by their ids."""
    _pair(lake)
    plan = _plan(lake, "p.base", STAGED, on=("id",))
    before = _read(lake, plan)
    with lake.table("p.base").update_schema() as update:
        update.rename_column("x", "y")
    with lake.table("p.staged").update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("v")
        update.add_column("w", StringType())
    assert before == _read(lake, plan)


def test_partition_specs_that_changed_meet_file_by_file(lake: Lake) -> None:
    """Old files of 2 buckets and new ones of 4 fold to each other; a file without the bucket is refused."""
    _pair(lake, 12)
    table = lake.table("p.staged")
    with table.update_spec() as update:
        update.remove_field("id_bucket")
        update.add_field("id", BucketTransform(4), "id_bucket4")
    append(lake.table("p.base"), [{"id": n, "dt": DAY, "x": float(n)} for n in range(12, 30)])
    append(lake.table("p.staged"), [{"id": n, "dt": DAY, "v": n * 10.0} for n in range(12, 30)])
    plan = _plan(lake, "p.base", STAGED, on=("id",))
    assert any("bucket[2](id) from 4" in line and "; " in line for line in explain_join(plan))
    rows = _read(lake, plan)
    assert [row["x"] * 10 for row in rows] == [row["v"] for row in rows]
    with lake.table("p.staged").update_spec() as update:
        update.remove_field("id_bucket4")
    append(lake.table("p.staged"), [{"id": 99, "dt": DAY, "v": 0.0}])
    with pytest.raises(RequestError, match=r"training\.no_common_bucket"):
        _plan(lake, "p.base", STAGED, on=("id",))


def test_what_is_held_outlives_an_expiry_and_what_is_not_is_named(lake: Lake) -> None:
    """The catalog's own expiry keeps a tagged snapshot; let go, the plan says what is gone."""
    _pair(lake)
    plan = _plan(lake, "p.base", STAGED, on=("id",))
    before = _read(lake, plan)
    lake.table("p.base").delete("id < 5")
    now = lake.table("p.base").current_snapshot()
    with lake.platform.open_join(plan) as opened, opened.held() as unsafe:
        assert [] == unsafe
        lake.table("p.base").maintenance.expire_snapshots().older_than(_after(now)).commit()
        assert before == _read(lake, plan)
    lake.table("p.base").maintenance.expire_snapshots().older_than(_after(now)).commit()
    with pytest.raises(Conflict, match=r"snapshot\.expired") as caught:
        _read(lake, plan)
    assert caught.value.fix


def _after(snapshot: Any) -> dt.datetime:
    return dt.datetime.fromtimestamp(snapshot.timestamp_ms / 1000 + 5, dt.UTC)


def test_a_column_half_promoted_is_read_from_where_it_is(lake: Lake) -> None:
    """Dates that are promoted come from the base, those an extension has staged from there; the text says which."""
    lake.make(ORDERS, small_rows(30))
    run = lake.stage("twice", TWICE, keys=("id",))
    lake.promote(run)
    later = small_rows(60).slice(30).set_column(2, "ts", _april(30))
    lake.table().append(later.cast(_arrow(lake)))
    extension = lake.backfills.extend(run, owner="me", promote=False).run
    assert extension is not None
    lake.work()
    plan = _plan(lake, ORDERS, Stage(extension.id), columns=("id", "x"))
    assert {"base", "aligned"} == {side.how for unit in plan.units for side in unit.sides}
    lines = explain_join(plan)
    assert any("promoted: read from the base table" in line for line in lines)
    assert any("attached by position" in line and "2024-04" in line for line in lines)
    rows = _read(lake, plan)
    assert 60 == len(rows)
    assert [None if row["x"] is None else row["x"] * 2 for row in rows] == [row["twice"] for row in rows]


def _april(count: int) -> pa.Array:
    return pa.array([dt.datetime(2024, 4, 1 + n % 28, tzinfo=dt.UTC) for n in range(count)], pa.timestamp("us", "UTC"))


def test_the_plan_carries_what_the_features_were_made_of(lake: Lake) -> None:
    """A run's definition and its hashes are in the plan that is logged with the model."""
    lake.make(ORDERS, small_rows(30))
    run = lake.stage("twice", TWICE, keys=("id",))
    [side] = _plan(lake, ORDERS, Stage(run)).sides
    assert run == side.run
    assert run == side.provenance["run"]
    assert {"code", "plan", "identity", "engine", "version.nbplat"} <= set(side.provenance)


@pytest.mark.parametrize("missing", ["error", "null", "skip"])
def test_base_files_that_a_run_has_not_staged_are_named(lake: Lake, missing: str) -> None:
    """Files that came after the run: an error with the mend, nulls, or rows left out, as was asked for."""
    lake.make(ORDERS, small_rows(30))
    run = lake.stage("twice", TWICE, keys=("id",))
    lake.table().append(small_rows(60).slice(30).set_column(2, "ts", _april(30)).cast(_arrow(lake)))
    before = lake.picture()
    if missing == "error":
        with pytest.raises(NbplatError, match=r"training\.missing_partition.*2024-04.*twice.*%backfill extend twice"):
            _plan(lake, ORDERS, Stage(run))
    else:
        rows = _read(lake, _plan(lake, ORDERS, Stage(run), missing=missing))
        assert (60 if missing == "null" else 30) == len(rows)
    assert before == lake.picture()


def test_a_partition_that_an_extension_fills_up_is_promoted_first(lake: Lake) -> None:
    """Old files of a partition hold the column, new ones are staged: said with the way out, which then works."""
    lake.make(ORDERS, small_rows(30))
    run = lake.stage("twice", TWICE, keys=("id",))
    lake.promote(run)
    lake.table().append(small_rows(60).slice(30).cast(_arrow(lake)))
    extension = lake.backfills.extend(run, owner="me", promote=False).run
    assert extension is not None
    lake.work()
    with pytest.raises(RequestError, match=rf"training\.half_promoted.*month=.*%backfill promote {extension.id}"):
        _plan(lake, ORDERS, Stage(extension.id))
    lake.promote(extension.id)
    for ref in (run, extension.id):
        plan = _plan(lake, ORDERS, Stage(ref), columns=("id", "x"), min_coverage=1.0)
        rows = _read(lake, plan)
        assert 60 == len(rows)
        assert [None if row["x"] is None else row["x"] * 2 for row in rows] == [row["twice"] for row in rows]


@pytest.mark.parametrize("missing", ["error", "null", "skip"])
def test_files_that_came_after_a_promotion_are_no_silent_nulls(lake: Lake, missing: str) -> None:
    """New rows hold nulls for a promoted column, in a partition of their own or in an old one: named like any gap."""
    lake.make(ORDERS, small_rows(30))
    run = lake.stage("twice", TWICE, keys=("id",))
    lake.promote(run)
    for first, times in ((30, small_rows(60)["ts"].slice(30)), (60, _april(10))):
        rows = small_rows(first + len(times)).slice(first).set_column(2, "ts", times)
        lake.table().append(rows.cast(_arrow(lake)))
    stage = Stage(run, present=("twice",))
    if missing == "error":
        with pytest.raises(NbplatError, match=r"training\.missing_partition.*40 rows.*%backfill extend twice"):
            _plan(lake, ORDERS, stage)
        return
    plan = _plan(lake, ORDERS, stage, missing=missing)
    with lake.platform.open_join(plan) as opened:
        batches = opened.batches(7)
        got = pa.Table.from_batches(batches).to_pylist()
        [seen] = batches.seen
    assert ({"base", "absent"} if missing == "null" else {"base"}) == {side.how for u in plan.units for side in u.sides}
    assert (70 if missing == "null" else 30, 30) == (len(got), seen.matched)
    assert {row["id"] for row in got} == set(range(70 if missing == "null" else 30))
    for row in got:
        expected = None if row["x"] is None or row["id"] >= 30 else row["x"] * 2
        assert expected == row["twice"]
    pieces = _plan(lake, ORDERS, stage, missing="null", max_unit_bytes=1)
    assert pieces.rows == sum(unit.rows for unit in pieces.units)
    assert 30 == sum(unit.sides[0].covered for unit in pieces.units)
    with lake.platform.open_join(pieces) as opened:
        batches = opened.batches(7)
        assert 70 == sum(batch.num_rows for batch in batches)
        assert 30 == batches.seen[0].matched


def test_a_promoted_column_that_is_null_throughout_a_file_is_no_gap(lake: Lake) -> None:
    """A body that gave nothing for a partition has covered it all the same, promoted or not."""
    lake.make(ORDERS, small_rows(30))
    run = lake.stage("late", "SELECT id, CASE WHEN ts >= DATE '2024-02-01' THEN x END AS late FROM base", keys=("id",))
    before = _plan(lake, ORDERS, Stage(run), columns=("id", "x"), min_coverage=1.0)
    lake.promote(run)
    after = _plan(lake, ORDERS, Stage(run), columns=("id", "x"), min_coverage=1.0)
    assert {"base"} == {side.how for unit in after.units for side in unit.sides}
    assert _read(lake, before) == _read(lake, after)


def _arrow(lake: Lake) -> pa.Schema:
    names = small_rows(1).column_names
    fields = {field.name: field for field in lake.table().schema().as_arrow()}
    return pa.schema([fields[name] for name in names])
