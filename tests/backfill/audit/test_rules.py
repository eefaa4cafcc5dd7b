"""What each rule finds on real staged files, and that an honest run passes."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.backfill.audit import RULES, Unchanged, audit, body_of, read_checks
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.run import Backfills
from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.stage import staged_files
from nbplat.backfill.states import Step
from nbplat.errors import DataError, NbplatError, RequestError, SetupError
from nbplat.terms import local_path
from tests.fixtures.lakehouse import START, Lake

SQL = "select id, x * 2D as f from base"
VISITS = """select base.id, count(e.amount) as visits, sum(e.amount) as spend
from base left join shop.events e on e.customer = base.customer {rule} group by base.id"""
HONEST = VISITS.format(rule="and e.at < base.ts")
LEAKING = VISITS.format(rule="and e.at < base.ts + interval 3 days")
ALL_TIME = VISITS.format(rule="")
PROBED: dict[str, Any] = {"as_of": "ts", "source_times": {"shop.events": "at"}, "keys": ["id"]}


def findings(lake: Lake, run_id: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(f["rule"], f["column"]): f for f in lake.backfills.find(run_id).outputs["audit"]["findings"]}


def audited(lake: Lake, name: str, sql: str, table: str = "shop.orders", **options: Any) -> tuple[str, dict[Any, Any]]:
    """Stage and audit; the run's state and its findings."""
    run = lake.submit(name, sql, table, **options).run
    assert run is not None
    lake.work()
    return lake.state(run.id), findings(lake, run.id)


def again(lake: Lake, run_id: str, **parts: Any) -> dict[tuple[str, str], Any]:
    """Audit a staged run once more in this process, with some parts replaced."""
    backfills: Backfills = lake.backfills
    run = backfills.find(run_id)
    plan, spec = BackfillPlan.from_record(run.plan), BackfillSpec.from_record(run.spec)
    options = {"checks": read_checks(spec.checks, {}, RULES, [c.name for c in plan.columns]), **parts}
    report = audit(
        plan,
        options.pop("staged", staged_files(backfills.store, run.id)),
        options.pop("tables", backfills.tables),
        options.pop("writer", backfills.writer),
        options.pop("body", body_of(plan, backfills.settings, backfills.engine)),
        as_of=spec.as_of,
        source_times=spec.source_times,
        **options,
    )
    return {(f.rule, f.column): f for f in report.findings}


def test_an_honest_feature_passes_every_rule(lake: Lake) -> None:
    """Counts and sums of strictly earlier events pass all rules, the probe included."""
    state, found = audited(lake, "f", HONEST, **PROBED)
    assert "awaiting_promotion" == state
    assert [] == [f for f in found.values() if not f["passed"] and f["rule"] != "neighbours"]
    assert found["leak", "spend"]["message"].startswith("50 rows recomputed as of 50 times")
    expected = {"rows", "keys", "alignment", "type", "nulls", "coverage", "range", "constant", "determinism", "leak"}
    assert expected <= {rule for rule, _ in found}


@pytest.mark.parametrize("sql", [LEAKING, ALL_TIME], ids=["three days ahead", "no time at all"])
def test_a_feature_that_looks_ahead_is_rejected(lake: Lake, sql: str) -> None:
    """The probe names a row, both values, its as-of time and the source; the run cannot be promoted."""
    state, found = audited(lake, "f", sql, **PROBED)
    assert "rejected" == state
    finding = found["leak", "spend"]
    assert (False, True) == (finding["passed"], finding["blocks"])
    for part in ("id=", "as of 2024-", "is staged as", "known by then was", "looks ahead in shop.events"):
        assert part in finding["message"]
    assert "strictly" in finding["fix"]


def test_an_event_at_the_very_moment_is_ahead(lake: Lake) -> None:
    """`<=` lets in what happens at the as-of time itself: found where such an event exists."""
    rows = {"id": [1, 2], "customer": [1, 2], "ts": [START, START]}
    lake.make("shop.labels", pa.table(rows, schema=_schema(id=pa.int64(), customer=pa.int64(), ts=_UTC)))
    events = {"customer": [1, 1, 2], "at": [START - dt.timedelta(1), START, START - dt.timedelta(2)]}
    lake.make("shop.clicks", pa.table(events, schema=_schema(customer=pa.int64(), at=_UTC)))
    sql = """select base.id, count(e.at) as n from base left join shop.clicks e
    on e.customer = base.customer and e.at {} base.ts group by base.id"""
    probed = {"as_of": "ts", "source_times": {"shop.clicks": "at"}, "keys": ["id"]}
    assert not audited(lake, "late", sql.format("<="), "shop.labels", **probed)[1]["leak", "n"]["passed"]
    assert audited(lake, "right", sql.format("<"), "shop.labels", **probed)[1]["leak", "n"]["passed"]


def test_of_two_sources_the_one_that_leaks_is_named(lake: Lake) -> None:
    """Each source is cut alone to find the one to blame."""
    lake.make("shop.other", lake.table("shop.events").scan().to_arrow())
    sql = """select base.id, base.customer + a.n + b.n as f from base
    left join (select customer, count(at) as n from shop.other group by customer) b on b.customer = base.customer
    left join (select customer, min(amount) as n from shop.events where at < timestamp '2023-01-02 00:00:00'
      group by customer) a on a.customer = base.customer"""
    times = {"shop.events": "at", "shop.other": "at"}
    _, found = audited(lake, "f", sql.replace("+ a.n", "+ coalesce(a.n, 0D)"), as_of="ts", source_times=times)
    assert found["leak", "f"]["message"].endswith("it looks ahead in shop.other")


def test_a_window_over_base_that_looks_ahead_is_found(lake: Lake) -> None:
    """Rows of base are known up to the row's own time, so a total over all of a customer's rows leaks."""
    total = "select id, sum(x) over (partition by customer) as f from base"
    running = "select id, sum(x) over (partition by customer order by ts, id) as f from base"
    state, found = audited(lake, "total", total, as_of="ts")
    assert ("rejected", False) == (state, found["leak", "f"]["passed"])
    assert found["leak", "f"]["message"].endswith("looks ahead in base")
    _, found = audited(lake, "running", running.replace("ts, id", "ts, id rows unbounded preceding"), as_of="ts")
    # Rows of one moment are known to one another: ids of the same time may be later in the order.
    assert found["leak", "f"]["passed"]


def test_what_cannot_be_probed_is_said(lake: Lake) -> None:
    """Without an as-of column, or for a source without a time, the rule warns instead of passing."""
    state, found = audited(lake, "f", HONEST, keys=["id"])
    assert "awaiting_promotion" == state
    assert (False, False) == (found["leak", ""]["passed"], found["leak", ""]["blocks"])
    assert "no as-of time is declared (--as-of COLUMN)" in found["leak", ""]["message"]
    _, found = audited(lake, "g", HONEST, keys=["id"], as_of="ts")
    assert "shop.events could not be probed" in found["leak", ""]["message"]
    assert "a row's values come from that row alone" == audited(lake, "h", SQL)[1]["leak", ""]["message"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"as_of": "tss"}, "asof.column"),
        ({"as_of": "x"}, "asof.column"),
        ({"as_of": "ts", "source_times": {"shop.events": "amount"}}, "asof.column"),
        ({"as_of": "ts", "source_times": {"shop.event": "at"}}, "asof.source"),
        ({"source_times": {"shop.events": "at"}}, "asof.missing"),
        ({"checks": {"nuls": "warn"}}, "audit.rule"),
        ({"checks": {"nulls@spnd": "warn"}}, "audit.column"),
    ],
)
def test_wrong_times_and_checks_are_refused_while_planning(lake: Lake, options: dict[str, Any], code: str) -> None:
    """Before any effect: no run, no file."""
    before = lake.picture()
    with pytest.raises(RequestError) as caught:
        lake.submit("f", HONEST, keys=["id"], **options)
    assert code == caught.value.code
    assert before == lake.picture()


def test_ties_are_found(lake: Lake) -> None:
    """A rank over ties depends on the order of rows; with a unique tie-break it does not."""
    unstable = "select id, row_number() over (partition by customer order by month(ts)) as f from base"
    state, found = audited(lake, "f", unstable)
    assert "rejected" == state
    message = found["determinism", "f"]["message"]
    assert "rows computed again differ, e.g. id=" in message
    state, found = audited(lake, "g", unstable.replace("month(ts)", "month(ts), id"))
    assert ("awaiting_promotion", True) == (state, found["determinism", "f"]["passed"])


def test_a_python_body_that_changes_with_its_process_is_found(lake: Lake) -> None:
    """Python's own hash of a text is another in every process, which no sample of one process shows."""
    honest = "def feature(batch):\n    return {'f': [None if x is None else x * 2 for x in batch['x'].to_pylist()]}"
    hashing = "def feature(batch):\n    return {'f': [hash(tag) % 1000 for tag in batch['tag'].to_pylist()]}"
    state, found = audited(lake, "a", "", python={"source": honest}, keys=("id",))
    assert ("awaiting_promotion", True) == (state, found["determinism", "f"]["passed"])
    state, found = audited(lake, "b", "", python={"source": hashing}, keys=("id",))
    assert "rejected" == state
    assert "rows computed again differ" in found["determinism", "f"]["message"]


def test_an_engine_that_is_gone_says_nothing_of_the_body(lake: Lake) -> None:
    """What the machine fails at makes determinism and the probe warn; what the data does is a broken rule."""
    run_id = lake.stage("f", HONEST, **PROBED)

    class Failing:
        any_order = True

        def __init__(self, error: NbplatError) -> None:
            self._error = error

        def rows(self, base: pa.Table, sources: Any) -> pa.Table:
            raise self._error

    found = again(lake, run_id, body=Failing(SetupError("spark.java", "there is no Java", fix="install it")))
    for rule, column in (("determinism", "spend"), ("leak", "")):
        assert (False, False) == (found[rule, column].passed, found[rule, column].blocks)
        assert "there is no Java" in found[rule, column].message
    assert found["rows", ""].passed
    found = again(lake, run_id, body=Failing(DataError("body.values", "division by zero", fix="guard it")))
    assert (False, True) == (found["determinism", "spend"].passed, found["determinism", "spend"].blocks)


def test_a_body_in_its_engines_own_sql_is_run_by_the_engine(lake: Lake) -> None:
    """A plan of another engine is computed again by that engine, with the planned types."""
    run_id = lake.stage("f", HONEST, **PROBED)
    plan = replace(BackfillPlan.from_record(lake.backfills.find(run_id).plan), engine="spark")
    body = body_of(plan, lake.backfills.settings, lake.backfills.engine)
    found = again(lake, run_id, body=body)
    assert found["determinism", "spend"].passed
    assert found["leak", "spend"].passed


def test_what_would_not_fit_into_memory_is_said(lake: Lake) -> None:
    """Above the bound neither rule computes anything again; both warn with the size."""
    bounds = {"leak.max_bytes": "10", "determinism.max_bytes": "10"}
    state, found = audited(lake, "f", HONEST, checks=bounds, **PROBED)
    assert "awaiting_promotion" == state
    for rule in ("determinism", "leak"):
        assert (False, False) == (found[rule, ""]["passed"], found[rule, ""]["blocks"])
        assert f"stored bytes would be held in memory ({rule}.max_bytes)" in found[rule, ""]["message"]


def test_nulls_over_the_threshold_block_and_the_level_can_be_lowered(lake: Lake) -> None:
    """A fifth of the values is null: 0.3 allows it, 0.1 rejects it, `warn` shows it only."""
    assert "awaiting_promotion" == audited(lake, "a", SQL, checks={"nulls.max_share": "0.3"})[0]
    state, found = audited(lake, "b", SQL, checks={"nulls.max_share": "0.1"})
    assert ("rejected", 0.2, 0.1) == (state, found["nulls", "f"]["value"], found["nulls", "f"]["threshold"])
    assert "awaiting_promotion" == audited(lake, "c", SQL, checks={"nulls.max_share@f": "0.1", "nulls": "warn"})[0]
    assert ("nulls", "f") not in audited(lake, "d", SQL, checks={"nulls": "off"})[1]


def test_the_configuration_sets_thresholds_too(tmp_path: Any) -> None:
    """`[audit]` of the project counts for every run, and the cell's own check wins."""
    lake = Lake(tmp_path / "home", **{"audit.nulls.max_share": "0.1"})
    lake.make_shop()
    assert "rejected" == audited(lake, "a", SQL)[0]
    assert "awaiting_promotion" == audited(lake, "b", SQL, checks={"nulls.max_share": "0.5"})[0]
    lake.close()


def test_rows_outside_the_window_are_not_counted_as_nulls(lake: Lake) -> None:
    """They hold null by design: the share is of the rows inside."""
    _, found = audited(lake, "f", "select id, 1D as f from base", start="2024-01-10", end="2024-02-10", time="ts")
    finding = found["nulls", "f"]
    assert 0.0 == finding["value"]
    assert "rows outside the window are not counted" in finding["message"]


def test_an_empty_month_is_shown(lake: Lake) -> None:
    """Values in two months of three: coverage names the third."""
    _, found = audited(lake, "f", "select id, case when month(ts) <> 2 then id end as f from base")
    assert (False, False) == (found["coverage", "f"]["passed"], found["coverage", "f"]["blocks"])
    assert "1 of 3 time partitions lack values: 2024-02" in found["coverage", "f"]["message"]


def test_a_range_is_held(lake: Lake) -> None:
    """Limits given by the cell are compared with the smallest and the largest value."""
    _, found = audited(lake, "f", "select id, id - 5 as f from base", checks={"range.min": "0", "range": "block"})
    assert "the smallest value is -5, allowed is 0" == found["range", "f"]["message"]
    assert "rejected" == lake.state("f@1")
    assert found["range", "f"]["blocks"]


def rewrite(lake: Lake, run_id: str, number: int, change: Any) -> None:
    path = local_path(lake.backfills.staged_columns(run_id).files[number].path)
    pq.write_table(change(pq.read_table(path)), path)


def test_a_type_that_differs_in_one_file_is_rejected(lake: Lake) -> None:
    """One file with floats among doubles: named with both types."""
    run_id = lake.stage("f", SQL)
    rewrite(lake, run_id, 2, lambda t: t.set_column(t.schema.get_field_index("f"), "f", t["f"].cast(pa.float32())))
    lake.step(run_id, Step.AUDIT)
    assert "rejected" == lake.state(run_id)
    assert "double is planned, and staged is float in 1 of 6 files" in findings(lake, run_id)["type", "f"]["message"]


def test_rows_that_are_missing_are_rejected(lake: Lake) -> None:
    """A file with a row less is found by rows and by alignment, in any file."""
    run_id = lake.stage("f", SQL)
    rewrite(lake, run_id, 3, lambda t: t.slice(1))
    lake.step(run_id, Step.AUDIT)
    found = findings(lake, run_id)
    assert "1 files differ in rows, 0 are missing, 0 are there twice" == found["rows", ""]["message"]
    assert "in 1 of 6 files" in found["alignment", ""]["message"]


def test_a_file_that_is_gone_is_an_error_not_a_verdict(lake: Lake) -> None:
    """The audit fails with the file's name and the run is staged as before."""
    run_id = lake.stage("f", SQL)
    local_path(lake.backfills.staged_columns(run_id).files[0].path).unlink()
    lake.backfills.step(run_id, Step.AUDIT, owner="me")
    assert "audit.staged_file" == lake.fail()["code"]
    assert "staged" == lake.state(run_id)


def test_keys_that_stand_twice_over_two_files_are_found(lake: Lake) -> None:
    """Hashes are kept, or read in passes of a few rows: both find the key, and clean keys pass both."""
    run_id = lake.stage("f", SQL)
    few = read_checks({"keys.pass_rows": "7"}, {}, RULES, ["f"])
    for checks in (read_checks({}, {}, RULES, ["f"]), few):
        assert "60 keys (id), each once" == again(lake, run_id, checks=checks)["keys", ""].message
    doubled = lake.backfills.staged_columns(run_id).files

    class Doubling:
        """Gives the rows of the first file for the second."""

        def __init__(self, writer: Any) -> None:
            self._writer = writer

        def read(self, staged: Any, columns: Any) -> pa.Table:
            return self._writer.read(doubled[0] if staged == doubled[1] else staged, columns)

    for checks in (read_checks({}, {}, RULES, ["f"]), few):
        found = again(lake, run_id, writer=Doubling(lake.backfills.writer), checks=checks)["keys", ""]
        assert not found.passed
        assert "keys stand more than once, e.g. {'id': " in found.message


def test_a_shift_against_the_earlier_version_is_shown(lake: Lake) -> None:
    """A run that was promoted before is what the next one is held against: equal values quiet, tripled ones not."""
    first = lake.stage("f", SQL)
    lake.promote(first)
    lake.roll_back(first)
    _, found = audited(lake, "g", "select id, 2D * x as f from base")
    assert found["drift", "f"]["passed"]
    assert "against f@1" in found["drift", "f"]["message"]
    _, found = audited(lake, "h", "select id, 200D + x as f from base")
    assert (False, False) == (found["drift", "f"]["passed"], found["drift", "f"]["blocks"])
    assert found["drift", "f"]["value"] > found["drift", "f"]["threshold"]
    _, found = audited(lake, "i", "select id, tag as f from base")
    assert "not compared with f@1: its type is another" == found["drift", "f"]["message"]


def test_a_step_between_months_is_shown(lake: Lake) -> None:
    """Values that jump in February are found by the neighbours, and a steady column is not."""
    many = {
        "id": range(900),
        "ts": [dt.datetime(2024, 1 + n % 3, 1 + n % 28, tzinfo=dt.UTC) for n in range(900)],
        "x": np.random.default_rng(1).normal(size=900),
    }
    lake.make("shop.many", pa.table(many, schema=_schema(id=pa.int64(), ts=_UTC, x=pa.float64())))
    body = "select id, x + 0D as steady, case when month(ts) = 2 then x * 100D else x end as f from base"
    state, found = audited(lake, "f", body, "shop.many")
    assert "awaiting_promotion" == state
    assert found["neighbours", "steady"]["passed"]
    assert not found["neighbours", "f"]["passed"]
    assert "2024-0" in found["neighbours", "f"]["message"]


def test_files_are_read_one_at_a_time(lake: Lake) -> None:
    """No rule asks for several files at once, so memory holds one file and counts."""
    run_id = lake.stage("f", HONEST, **PROBED)
    asked: list[int | None] = []
    largest: list[int] = []

    class Counting:
        def __init__(self, part: Any) -> None:
            self._part = part

        def __getattr__(self, name: str) -> Any:
            return getattr(self._part, name)

        def read(self, *args: Any, **kwargs: Any) -> pa.Table:
            found = self._part.read(*args, **kwargs)
            if "paths" in kwargs:
                asked.append(len(kwargs["paths"]))
            largest.append(found.num_rows)
            return found

    found = again(lake, run_id, tables=Counting(lake.backfills.tables), writer=Counting(lake.backfills.writer))
    assert found["rows", ""].passed
    assert {1} == set(asked)
    # The events table is the only one read whole; staged and base files have 20 rows at most.
    assert {200} == {rows for rows in largest if rows > 20}


def test_the_promotion_has_its_own_rule() -> None:
    """Bytes on the branch: one finding for the record, equal or with the first column that is not."""
    good = Unchanged.of_files(6, 1)
    assert "6 spliced files are byte for byte what they were made of, 1 rewritten ones value for value" == good.message
    assert (True, True, "unchanged") == (good.passed, good.blocks, good.rule)
    bad = Unchanged.of_files(6, 0, "x", "file.parquet")
    assert (False, "x") == (bad.passed, bad.column)
    assert "file.parquet" in bad.message
    assert bad.fix


def test_nested_and_decimal_columns_are_judged(lake: Lake) -> None:
    """An embedding by length and norm, a struct by its fields, a decimal by its value; holes are shown."""
    sql = """select id, array(x, x * 2D) as emb, named_struct('a', id, 't', tag) as s,
    id + 1 as d, array(1D, coalesce(x, 0D)) as whole from base"""
    state, found = audited(lake, "f", sql, keys=["id"], types={"d": "decimal(9, 2)"})
    assert "awaiting_promotion" == state
    assert "a list has up to 2 null elements" == found["range", "emb.holes"]["message"]
    assert not found["range", "emb.holes"]["passed"]
    assert found["range", "whole.holes"]["passed"]
    for name in ("s.a", "s.t", "d"):
        assert found["constant", name]["passed"]
    for name in ("emb", "s", "d", "whole"):
        for rule in ("type", "nulls", "coverage", "determinism"):
            assert found[rule, name]["passed"], (rule, name)
    measured = [profile["column"] for profile in lake.backfills.find("f@1").outputs["audit"]["profile"]]
    assert ["emb.length", "emb.norm", "s.a", "s.t", "d", "whole.length", "whole.norm"] == measured


def test_a_promoted_column_is_profiled(lake: Lake) -> None:
    """Counts of the picture add up: every value of every month is in one bin."""
    run_id = lake.stage("f", SQL)
    [profile] = lake.backfills.find(run_id).outputs["audit"]["profile"]
    assert ("f", "number", 60, 12) == tuple(profile[key] for key in ("column", "kind", "rows", "nulls"))
    assert 48 == sum(profile["after"])
    assert len(profile["edges"]) + 1 == len(profile["after"])
    assert ["2024-01", "2024-02", "2024-03"] == [date["label"] for date in profile["dates"]]
    assert 60 == sum(date["rows"] for date in profile["dates"])
    assert None is profile["before"]
    assert None is replace(Unchanged.of_files(1), value=None).record()["value"]


_UTC = pa.timestamp("us", tz="UTC")


def _schema(**fields: pa.DataType) -> pa.Schema:
    return pa.schema(list(fields.items()))
