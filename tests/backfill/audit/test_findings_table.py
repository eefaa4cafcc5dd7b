"""The lakehouse table of findings: one row each, once per job, and never a reason to lose an audit."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from nbplat.adapters.iceberg.audit_log import IcebergAuditLog
from nbplat.backfill.states import Step
from nbplat.errors import RemoteError
from tests.fixtures.lakehouse import Lake

TABLE = "nbplat.audit_findings"
SQL = "select id, x * 2D as f from base"
ROW = {
    "run": "f@1",
    "job": "j1",
    "plan_hash": "h",
    "table": "shop.orders",
    "rule": "rows",
    "column": "",
    "level": "block",
    "passed": True,
    "message": "ok",
    "value": None,
    "threshold": 0.0,
    "at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
}


def test_findings_are_rows_of_the_lakehouse(lake: Lake) -> None:
    """Each finding of an audit is a row with run, rule, numbers and time; the report names the table."""
    run_id = lake.stage("f", SQL)
    report = lake.backfills.find(run_id).outputs["audit"]
    rows = lake.table(TABLE).scan().to_arrow().to_pylist()
    assert len(report["findings"]) == len(rows)
    [nulls] = [row for row in rows if row["rule"] == "nulls"]
    assert (run_id, "shop.orders", "f", "block", True, 0.2, 1.0) == tuple(
        nulls[name] for name in ("run", "table", "column", "level", "passed", "value", "threshold")
    )
    assert nulls["at"].tzinfo is not None
    assert lake.backfills.find(run_id).plan["base"]["table"] == nulls["table"]
    assert (f"findings are kept in {TABLE}",) == tuple(report["notes"])


def test_a_second_audit_adds_its_rows(lake: Lake) -> None:
    """Every audit is kept, told apart by its job."""
    run_id = lake.stage("f", SQL)
    lake.step(run_id, Step.AUDIT)
    assert 2 == len(set(lake.table(TABLE).scan().to_arrow()["job"].to_pylist()))


def test_a_job_is_appended_once(lake: Lake) -> None:
    """A try after a kill finds the rows of the one before, also when others came in between."""
    log = IcebergAuditLog(lake.catalog)
    assert TABLE == log.append([ROW], run="f@1", job="j1")
    log.append([{**ROW, "job": "j2"}], run="f@1", job="j2")
    log.append([ROW], run="f@1", job="j1")
    assert ["j1", "j2"] == sorted(lake.table(TABLE).scan().to_arrow()["job"].to_pylist())


def test_two_audits_at_once_both_arrive(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that another one overtook is tried again on the table as it is then."""
    log = IcebergAuditLog(lake.catalog)
    log.append([ROW], run="f@1", job="j1")
    real, calls = log._table, []

    def overtaken() -> Any:
        table = real()
        if not calls:
            calls.append(1)
            IcebergAuditLog(lake.catalog).append([{**ROW, "job": "j2"}], run="f@1", job="j2")
        return table

    monkeypatch.setattr(log, "_table", overtaken)
    log.append([{**ROW, "job": "j3"}], run="f@1", job="j3")
    assert ["j1", "j2", "j3"] == sorted(lake.table(TABLE).scan().to_arrow()["job"].to_pylist())


def test_a_catalog_that_cannot_be_written_is_said_and_the_audit_counts(lake: Lake) -> None:
    """The verdict stands in the ledger, and the report says that the table lacks it, and why."""

    class ReadOnly:
        def __init__(self, catalog: Any) -> None:
            self._catalog = catalog

        def load_table(self, name: str) -> Any:
            raise PermissionError(f"no rights on {name}")

    lake.platform.parts["audit_log"] = lambda _log: IcebergAuditLog(ReadOnly(lake.catalog))  # type: ignore[arg-type]
    run_id = lake.stage("f", SQL)
    [note] = lake.backfills.find(run_id).outputs["audit"]["notes"]
    assert note.startswith("the findings are not in the lakehouse: audit.log: ")
    assert "no rights on nbplat.audit_findings" in note
    with pytest.raises(RemoteError):
        IcebergAuditLog(ReadOnly(lake.catalog)).append([ROW], run="f@1", job="j1")  # type: ignore[arg-type]
