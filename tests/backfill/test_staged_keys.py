"""Keys of a table that is too large for a check at planning: proved unique by what staging reads anyway."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nbplat.backfill import stage
from nbplat.errors import Conflict
from nbplat.job import UnitState
from tests.fixtures.lakehouse import Lake, small_rows

SQL = "select id, x * 2D as f from base"


@pytest.fixture
def unplanned(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake whose tables are too large to read their keys at planning."""
    monkeypatch.setattr("nbplat.backfill.run._PROBE_BYTES", 0)
    return lake


@pytest.mark.parametrize(
    ("keys", "sql", "named"),
    [
        (("id",), SQL, "id=0"),
        (("ts",), "select ts, x * 2D as f from base", "ts=2024-01-01"),
        (("id", "customer"), "select id, customer, x * 2D as f from base", "id=0, customer=0"),
        (("id",), "select id, max(x) as f from base group by id", "id=0"),
    ],
    ids=["a number", "a moment", "two columns", "a body that brings them together"],
)
def test_keys_doubled_between_files_never_become_a_staging_table(
    unplanned: Lake, keys: tuple[str, ...], sql: str, named: str
) -> None:
    """They are named as the table's fault when they are met while staging, and again by a retry."""
    lake = unplanned
    lake.table().append(small_rows(3))
    run = lake.submit("f", sql, keys=keys).run
    error = lake.fail()
    assert ("key.duplicate", True) == (error["code"], named in error["message"])
    lake.backfills.retry("f@1", owner="anna")
    assert "key.duplicate" == lake.fail()["code"]
    assert run is not None
    assert "staging_table" not in lake.backfills.find(run.id).outputs


def test_a_null_key_is_met_while_staging(unplanned: Lake) -> None:
    """The table is at fault, not a file."""
    rows = small_rows(3)
    unplanned.table().append(rows.set_column(0, "id", pa.array([100, None, 102], pa.int64())))
    unplanned.submit("f", SQL)
    error = unplanned.fail()
    assert ("key.null", "the key column 'id' holds 1 nulls") == (error["code"], error["message"])


@pytest.mark.parametrize("keys", [("id",), ("tag", "id")])
def test_keys_that_are_staged_are_not_read_again(
    unplanned: Lake, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...]
) -> None:
    """What staging has read proves unique keys; numbers that meet by chance are settled by the keys themselves."""
    lake = unplanned
    read: list[int] = []
    real = stage.check_keys

    def counted(*args: Any) -> int:
        read.append(real(*args))
        return read[-1]

    monkeypatch.setattr(stage, "check_keys", counted)
    sql = f"select {', '.join(keys)}, x * 2D as f from base"
    lake.stage("f", sql, keys=keys)
    assert [] == read
    monkeypatch.setattr("nbplat.remote.staged.key_numbers", lambda keys, _settings: np.zeros(keys.num_rows, np.int64))
    lake.stage("g", sql, keys=keys)
    assert [60] == read


def test_a_run_that_goes_on_reads_the_keys_first(unplanned: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another try has staged handed its keys to that try only."""
    lake = unplanned
    monkeypatch.setattr("nbplat.backfill.groups._PIECE_BYTES", 1)
    lake.table().append(small_rows(3))
    monkeypatch.setattr("nbplat.backfill.handed_keys.HandedKeys.doubtful", lambda _self: False)
    monkeypatch.setattr("nbplat.backfill.stage.Stager._finish", interrupted)
    lake.submit("f", SQL)
    assert "stopped.here" == lake.fail()["code"]
    monkeypatch.undo()
    assert {UnitState.DONE} == {unit.state for unit in lake.platform.store.units("f@1/stage")}
    lake.backfills.retry("f@1", owner="anna")
    assert "key.duplicate" == lake.fail()["code"]


def interrupted(*_args: Any) -> None:
    raise Conflict("stopped.here", "a test stopped it", fix="none")
