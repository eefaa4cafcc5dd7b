"""The verbs of a run as Python functions, in one process: they do what the magics and the command line do."""

from __future__ import annotations

import inspect

import pyarrow as pa
import pytest

import nbplat as nb
from nbplat.errors import Conflict, RequestError
from nbplat.ui import python_backfill
from nbplat.ui.desk import LocalDesk
from nbplat.ui.nouns import find_noun
from nbplat.ui.python import Local
from tests.fixtures.lakehouse import ORDERS, START, Lake


@pytest.fixture
def here(lake: Lake) -> Local:
    return Local(LocalDesk(lake.platform))


def test_every_verb_is_a_function_of_nb_backfill():
    """`nb.backfill.<verb>` is there for each verb of the magic, whether or not a module has its name."""
    verbs = {verb.name for verb in find_noun("backfill").verbs} - {"run"}

    assert verbs == set(python_backfill.__all__)
    for verb in verbs:
        function = getattr(nb.backfill, verb)
        assert callable(function), verb
        assert inspect.getdoc(getattr(python_backfill, verb)) == inspect.getdoc(function), verb
        assert inspect.signature(getattr(python_backfill, verb)) == inspect.signature(function), verb


def test_a_train_is_promoted_in_one_pass_and_its_coverage_is_told(here: Local, lake: Lake):
    """Two runs land in one commit; rows appended later show in status, and extend fills them."""
    here.backfill("one", table=ORDERS, sql="select id, x * 2D as one from base")
    here.backfill("two", table=ORDERS, sql="select id, x * 3D as two from base")
    before = len(lake.table().metadata.snapshots)

    promoted = here.promote("one", "two")

    assert "in the same pass: two@1 promoted" in promoted.text
    assert ("promoted", "promoted") == (lake.state("one@1"), lake.state("two@1"))
    assert before + 1 >= len([s for s in lake.table().metadata.snapshots if s.summary and s.summary["nbplat.run"]])
    assert "covers 60 of 60 rows" in here.status("one").text
    assert "not covered" not in here.status("one").text

    rows = lake.table().scan(row_filter="id < 2").to_arrow().select(["id", "customer", "ts", "x", "tag"])
    rows = rows.set_column(0, "id", pa.array([100, 101])).set_column(2, "ts", pa.array([START, START], rows["ts"].type))
    lake.table().append(rows)
    told = here.status("one")
    assert "not covered: month=2024-01" in told.text
    assert "`%backfill extend one@1` fills them" in told.text
    assert 2 == sum(gap["rows"] for gap in told.data["coverage"]["gaps"])

    extended = here.extend("one")

    assert extended.text.startswith("one@2 promoted"), extended.text
    assert "not covered" not in here.status("one").text
    assert "not covered" in here.status("two").text
    with pytest.raises(Conflict, match="every data file"):
        here.extend("one")


def test_a_column_is_dropped_from_the_schema_alone(here: Local, lake: Lake):
    """`drop_column` takes the column out and leaves every file where it is."""
    here.backfill("one", table=ORDERS, sql="select id, x * 2D as one from base", promote=True)
    files = {task.file.file_path for task in lake.table().scan().plan_files()}

    here.rollback("one", drop_column=True)

    assert "one" not in lake.table().schema().column_names
    assert files == {task.file.file_path for task in lake.table().scan().plan_files()}


def test_the_runs_of_one_verb_are_checked(here: Local):
    """A promotion needs a run, other verbs take one, unknown parameters are refused."""
    here.backfill("one", table=ORDERS, sql="select id, x * 2D as one from base")

    with pytest.raises(RequestError, match="promote needs a run"):
        here.promote()
    desk = here._desk
    for verb, more, params in (("audit", ["one@1"], None), ("rollback", [], {"dropp": True}), ("paint", [], None)):
        with pytest.raises(RequestError) as refused:
            desk.step("one@1", verb, more=more, params=params)
        assert "backfill.verb" == refused.value.code


def test_looking_changes_nothing(here: Local, lake: Lake):
    """list, show, status, logs, plan, diff and a dry expire leave files, tables and the ledger as they were."""
    here.backfill("one", table=ORDERS, sql="select id, x * 2D as one from base")
    here.backfill("two", table=ORDERS, sql="select id, x * 2D as one from base")
    before = lake.picture()

    assert "one@1" in here.list(table=ORDERS, state="awaiting_promotion").text
    assert "new columns" in here.show("one").text
    assert "backfill.audit succeeded" in here.logs("one").text
    assert (
        "none shown: set prices.cpu_hour"
        in here.backfill("x", table=ORDERS, sql="select id, x as f from base", dry_run=True).text
    )
    assert 60 == here.plan("x", table=ORDERS, sql="select id, x as f from base").rows
    assert 0 == here.diff("two", "one").value["columns"][0]["changed"]
    assert not here.expire(dry_run=True).value["done"]
    assert here.attach("one").text.startswith("one@1 awaiting_promotion")

    assert before == lake.picture()
    with pytest.raises(AttributeError):
        _ = here.frobnicate
