"""Planning a join: what meets what, what is refused, what the plan says and keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from nbplat.errors import Conflict, NbplatError, NotFound, RequestError
from nbplat.terms import Window
from nbplat.training.join import JoinPlan, JoinSpec, Stage, coverage, explain_join, plan_join
from tests.fixtures.lakehouse import Lake

BOTH = (Stage("twice@1"), Stage.parse("j.score:score"))


def _plan(lake: Lake, *stage: Stage, **options: Any) -> JoinPlan:
    spec = JoinSpec("j.base", on=("id",), stage=stage, **options)
    return plan_join(spec, lake.platform.join_source, lake.backfills)


def _read(lake: Lake, plan: JoinPlan) -> pa.Table:
    with lake.platform.open_join(plan) as opened:
        return pa.Table.from_batches(opened.batches(1000))


def test_a_run_is_attached_by_position_and_a_table_by_key_within_folded_buckets(joins: Lake) -> None:
    """The text says how each side is met; 4 buckets of the base meet 8 of the staged table, two by two."""
    plan = _plan(joins, *BOTH)
    lines = explain_join(plan)
    assert any("12 units attached by position, no key is read" in line for line in lines)
    assert any("12 units merged by key by identity(dt), bucket[4](id) from 8" in line for line in lines)
    assert any("largest unit" in line for line in lines)
    assert 240 == plan.rows
    got = _read(joins, plan)
    assert ["id", "dt", "user", "x", "emb", "twice", "score"] == got.column_names
    assert got["x"].to_pylist() == [value / 2 for value in got["twice"].to_pylist()]
    assert [n * 1.5 for n in got["id"].to_pylist()] == got["score"].to_pylist()


def test_the_plan_is_json_and_its_hash_says_what_is_read(joins: Lake) -> None:
    """It reads back equal, twice planned is the same, and another option or column is another plan."""
    plan = _plan(joins, *BOTH)
    again = JoinPlan.from_record(json.loads(json.dumps(plan.record())))
    assert plan == again
    assert plan.plan_id == again.plan_id == _plan(joins, *BOTH).plan_id
    assert plan.plan_id != _plan(joins, *BOTH, columns=("id",)).plan_id
    assert ["j.base", "j.score"] == sorted(plan.metadata)
    with pytest.raises(RequestError, match=r"training\.plan_format"):
        JoinPlan.from_record({**plan.record(), "format": 0})


def test_coverage_comes_from_counts_before_anything_is_read(joins: Lake) -> None:
    """Per partition: exact by position, an upper bound by key, with what is short named in the text."""
    plan = _plan(joins, Stage("twice@1"), Stage.parse("j.thin:score"))
    covers = coverage(plan)
    assert 240 == sum(each.covered for each in covers if each.ref == "twice@1")
    assert all(each.exact for each in covers if each.ref == "twice@1")
    assert not any(each.exact for each in covers if each.ref == "j.thin")
    gaps = _plan(joins, Stage.parse("j.gaps:score"), missing="null")
    assert 0 == sum(each.covered for each in coverage(gaps) if each.period == "2026-11-03")
    assert any("short in" in line and "2026-11-03 0/80" in line for line in explain_join(gaps))


def test_a_partition_that_is_not_staged_is_refused_nulled_or_skipped(joins: Lake) -> None:
    """Never in silence: the error names date, column and rows; null and skip are asked for, and told."""
    with pytest.raises(NbplatError, match=r"training\.missing_partition.*dt=2026-11-03.*score of j\.gaps: 80 rows"):
        _plan(joins, Stage.parse("j.gaps:score"))
    nulls = _read(joins, _plan(joins, Stage.parse("j.gaps:score"), missing="null"))
    assert 240 == nulls.num_rows
    skipped = _plan(joins, Stage.parse("j.gaps:score"), missing="skip")
    assert 80 == skipped.skipped
    assert 160 == _read(joins, skipped).num_rows
    assert "left out: 80 rows whose partition is not staged" in explain_join(skipped)


def test_too_little_coverage_is_refused_by_counts_or_while_reading(joins: Lake) -> None:
    """Counts that cannot reach the share stop the plan; keys that miss stop the reading, and are named."""
    with pytest.raises(NbplatError, match=r"training\.coverage.*j\.gaps covers 14\d of 240.*2026-11-0"):
        _plan(joins, Stage.parse("j.gaps:score"), missing="null", min_coverage=0.99)
    # The staged half of buckets has rows enough for each unit by count, so that only reading tells.
    plan = replace(
        _plan(joins, Stage.parse("j.thin:score")),
        spec=replace(_plan(joins, Stage.parse("j.thin:score")).spec, min_coverage=1.0),
    )
    with pytest.raises(NbplatError, match=r"training\.coverage.*asked for are 100.*id=\d*0\)"):
        _read(joins, plan)


def test_duplicate_staged_keys_are_refused_or_the_last_counts(joins: Lake) -> None:
    """An equal key in a staged table is an error that names it, unless a column says which row counts."""
    with pytest.raises(NbplatError, match=r"training\.duplicate_keys.*j\.doubled.*id=5"):
        _read(joins, _plan(joins, Stage.parse("j.doubled:score")))
    got = _read(joins, _plan(joins, Stage("j.doubled", columns=("score",), duplicates="last", order_by="count")))
    assert 240 == got.num_rows
    scores = dict(zip(got["id"].to_pylist(), got["score"].to_pylist(), strict=True))
    assert (-1.0, 9.0) == (scores[5], scores[6])


def test_keys_that_hash_differently_are_refused(joins: Lake) -> None:
    """A text never meets a number: refused with the cast that mends it, not joined to nothing."""
    with pytest.raises(RequestError, match=r"training\.key_type.*long.*string.*cast"):
        _plan(joins, Stage.parse("j.texts:score"))


def test_bucket_counts_that_do_not_divide_need_a_shuffle_that_is_asked_for(joins: Lake) -> None:
    """3 and 4 buckets share nothing: refused, and with join='shuffle' dealt locally, which the text says loudly."""
    with pytest.raises(RequestError, match=r"training\.no_common_bucket.*bucket\[4\] and bucket\[3\]"):
        _plan(joins, Stage.parse("j.odd:score"))
    plan = _plan(joins, Stage.parse("j.odd:score"), join="shuffle")
    assert any("SHUFFLED" in line for line in explain_join(plan))
    got = _read(joins, plan)
    assert [n * 1.5 for n in got["id"].to_pylist()] == got["score"].to_pylist()


def test_names_are_made_by_prefix_and_rename_and_clashes_are_refused(joins: Lake) -> None:
    """A name comes from one place; prefix, rename and replace are the ways out."""
    named = Stage("j.score", prefix="s_", rename={"count": "n"}, fill={"n": -1}, present=("s_score",))
    got = _plan(joins, named)
    assert ("id", "dt", "user", "x", "emb", "s_score", "s_score__present", "n") == got.output
    clash = Stage.parse("j.score:score", rename={"score": "x"})
    with pytest.raises(RequestError, match=r"training\.clash.*'x'.*j\.base"):
        _plan(joins, clash)
    with pytest.raises(RequestError, match=r"training\.clash.*both bring"):
        _plan(joins, Stage.parse("j.score:score"), Stage.parse("j.thin:score"))
    replaced = _plan(joins, replace(clash, replace=True))
    assert ("id", "dt", "user", "x", "emb") == replaced.output
    table = _read(joins, replaced)
    assert [n * 1.5 for n in table["id"].to_pylist()] == table["x"].to_pylist()


def test_fill_and_presence_columns(joins: Lake) -> None:
    """A missing value is what was asked for, and its presence is told."""
    stage = Stage("j.thin", fill={"score": "nan", "count": -1}, present=("score",))
    got = _read(joins, _plan(joins, stage)).to_pandas().set_index("id").sort_index()
    assert not got["score__present"][10]
    assert got["score__present"][11]
    assert got["score"].isna()[10]
    assert (-1, 1) == (got["count"][10], got["count"][11])


def test_dates_cut_rows_and_files(joins: Lake) -> None:
    """Only files of the window are planned, and rows outside of it are left out."""
    plan = _plan(joins, *BOTH, dates=Window.parse("2026-11-02", "2026-11-03"))
    assert 4 == len(plan.units)
    assert {"2026-11-02"} == {str(day) for day in _read(joins, plan)["dt"].to_pylist()}
    with pytest.raises(NbplatError, match=r"training\.empty"):
        _plan(joins, *BOTH, dates=Window.parse("2027-01-01", None))


@pytest.mark.parametrize(
    ("stage", "options", "message"),
    [
        (Stage("twise@1"), {}, "run.unknown|there is no"),
        (Stage("j.skore"), {}, r"table\.unknown.*j\.score"),
        (Stage.parse("j.score:skore"), {}, r"training\.column.*score"),
        (Stage.parse("twice@1:thrice"), {}, r"training\.column.*twice"),
        (Stage("j.score", on=("id", "dt")), {}, r"training\.keys"),
        (Stage("j.score", fill={"score": "none"}), {}, r"training\.fill.*double"),
        (Stage("j.score", fill={"skore": 1}), {}, r"training\.column"),
        (Stage("j.score"), {"columns": ("idd",)}, r"training\.column.*id"),
        (Stage("j.score"), {"time": "when", "dates": Window.parse("2026-11-01", None)}, r"training\.column"),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest(
    joins: Lake, stage: Stage, options: dict[str, Any], message: str
) -> None:
    """Unknown runs, tables and columns, and values that a column cannot hold, stop the plan."""
    with pytest.raises(NbplatError, match=message):
        _plan(joins, stage, **options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Stage("a.b", duplicates="last"),
        lambda: Stage("a.b", order_by="x"),
        lambda: Stage("a.b", duplicates="first"),
        lambda: Stage("a.b", columns=()),
        lambda: Stage.parse("a.b:"),
        lambda: Stage.parse(":x"),
        lambda: JoinSpec("a.b", join="hash"),
        lambda: JoinSpec("a.b", missing="drop"),
        lambda: JoinSpec("a.b", min_coverage=1.1),
        lambda: JoinSpec("a.b", on=("k", "k")),
        lambda: JoinSpec("a.b", stage=(Stage("a.c"), Stage("a.c"))),
        lambda: JoinSpec("ab"),
    ],
)
def test_options_that_make_no_sense_are_refused(make: Any) -> None:
    """A spec that cannot be joined cannot be made."""
    with pytest.raises(RequestError):
        make()


def test_without_a_key_only_positions_can_be_used(joins: Lake) -> None:
    """A run brings its own keys; a table alone needs on=."""
    spec = JoinSpec("j.base", stage=(Stage.parse("j.score:score"),))
    with pytest.raises(RequestError, match=r"training\.keys.*on="):
        plan_join(spec, joins.platform.join_source, joins.backfills)


def test_a_unit_above_the_limit_is_split_by_row_groups(joins: Lake) -> None:
    """The rows and their order are the same, in more units; each names the partition it is of."""
    whole = _plan(joins, *BOTH)
    split = _plan(joins, *BOTH, max_unit_bytes=500)
    assert 12 == len(whole.units)
    assert _read(joins, whole).equals(_read(joins, split))
    told = "above max_unit_bytes: a row group is the least that is read"
    assert [False, True] == [told in explain_join(plan)[-1] for plan in (whole, split)]


def test_a_snapshot_is_tagged_while_it_is_held(joins: Lake) -> None:
    """Held, every pinned snapshot has a tag that expiring respects; after that none is left."""
    plan = _plan(joins, *BOTH)
    with joins.platform.open_join(plan) as opened, opened.held() as unsafe:
        assert [] == unsafe
        for name in ("j.base", "j.score"):
            tags = [ref for ref in joins.table(name).metadata.refs if ref.startswith("nb-join-")]
            assert 1 == len(tags)
    assert {"main"} == set(joins.table("j.base").metadata.refs)


def test_an_expired_snapshot_is_named(joins: Lake) -> None:
    """Replaying a plan whose snapshot is gone is a conflict that says so, before anything is read."""
    plan = _plan(joins, *BOTH)
    lost = replace(plan, base=replace(plan.base, snapshot_id=1))
    with pytest.raises(Conflict, match=r"snapshot\.expired"):
        _read(joins, lost)
    with pytest.raises(NotFound, match=r"table\.unknown"):
        plan_join(JoinSpec("j.bass"), joins.platform.join_source, joins.backfills)
