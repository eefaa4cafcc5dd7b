"""One piece of staging: files in, aligned files out, each file's failure its own."""

from __future__ import annotations

import datetime as dt
import pickle
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.tasks import task_maker, written_sources
from nbplat.remote.bundle import write_bundle
from nbplat.remote.kernel import stage
from nbplat.remote.task import Task
from nbplat.terms import local_path
from tests.fixtures.deletes import add_position_deletes
from tests.fixtures.lakehouse import ORDERS, Lake

DOUBLE = "select id, x * 2D as f from base"
JOINED = (
    "select b.id, coalesce(sum(e.amount), 0D) as f from base b left join shop.events e"
    " on e.customer = b.customer and e.at < b.ts group by b.id"
)


@contextmanager
def task_of(lake: Lake, sql: str, out: Path, **options: Any) -> Iterator[Task]:
    """Every file of a plan as one task."""
    backfills = lake.backfills
    plan = backfills.plan(BackfillSpec.build("f", ORDERS, sql, keys=("id",), **options))
    with written_sources(plan, backfills.tables, out / "sources") as sources:
        make = task_maker(
            plan,
            backfills.tables,
            run_id="f@1",
            out=f"file://{out}/staged",
            sources=sources,
            settings={"threads": 1, "memory_bytes": 256 << 20, "spill_folder": str(out / "spill")},
            keys_unique=False,
        )
        yield make({unit.id: 1 for unit in plan.units})


def staged(results: list[dict[str, Any]]) -> pd.DataFrame:
    """The staged rows in key order."""
    parts = [pq.read_table(local_path(result["file"]["path"])).to_pandas() for result in results]
    return pd.concat(parts).sort_values("id").reset_index(drop=True)


def test_a_task_gives_one_aligned_file_per_base_file(lake: Lake, tmp_path: Path) -> None:
    """Each has its base file's rows in its order, keys, partition sources and the new column."""
    with task_of(lake, DOUBLE, tmp_path) as task:
        results = stage(task)
    assert [(f"{n:05d}", 1) for n in range(6)] == [(result["unit"], result["fence"]) for result in results]
    for result, file in zip(results, task["files"], strict=True):
        base = pq.read_table(local_path(file["path"]))
        made = pq.read_table(local_path(result["file"]["path"]))
        assert ["id", "ts", "f", "nb_file", "nb_pos"] == made.column_names
        assert base["id"].to_pylist() == made["id"].to_pylist()
        assert list(range(base.num_rows)) == made["nb_pos"].to_pylist()
        assert [None if x is None else x * 2 for x in base["x"].to_pylist()] == made["f"].to_pylist()
        assert (base.num_rows, True) == (result["file"]["rows"], result["file"]["dense"])
        assert result["ms"] >= 0


def test_rows_of_files_with_deletes_are_the_live_ones(lake: Lake, tmp_path: Path) -> None:
    """The file is not dense, and each row says where it stands in its base file."""
    first = min(task.file.file_path for task in lake.table().scan().plan_files())
    add_position_deletes(lake.table(), first, [0, 3])
    with task_of(lake, DOUBLE, tmp_path) as task:
        [result, *others] = stage(task)
    made = pq.read_table(local_path(result["file"]["path"]))
    base = pq.read_table(local_path(first))
    assert ([1, 2], False) == (made["nb_pos"].to_pylist()[:2], result["file"]["dense"])
    assert base["id"].take(made["nb_pos"]).to_pylist() == made["id"].to_pylist()
    assert all(other["file"]["dense"] for other in others)


@pytest.mark.parametrize("sql", [DOUBLE, "select id, rank() over (order by x, id) as f from base"])
def test_rows_outside_the_window_hold_null(lake: Lake, tmp_path: Path, sql: str) -> None:
    """Whole files are written; a body sees the window and no other row."""
    with task_of(lake, sql, tmp_path, start="2024-01-10", end="2024-02-10") as task:
        got = staged(stage(task))
    inside = (got["ts"] >= pd.Timestamp("2024-01-10", tz="UTC")) & (got["ts"] < pd.Timestamp("2024-02-10", tz="UTC"))
    assert 0 < inside.sum() < len(got)
    assert not got["f"][~inside].notna().any()
    if "rank" in sql:
        assert sorted(got["f"][inside]) == list(range(1, int(inside.sum()) + 1))


@pytest.mark.parametrize("sql", [DOUBLE, "select id, x + sum(1D) over (order by id) as f from base"])
def test_one_bad_file_leaves_the_others_alone(lake: Lake, tmp_path: Path, sql: str) -> None:
    """Row-wise, the others are staged; over the whole window, all say which file is at fault."""
    with task_of(lake, sql, tmp_path) as task:
        bad = task["files"][2]["path"]
        local_path(bad).write_bytes(b"PAR1 no")
        results = stage(task)
    failed = [result for result in results if "error" in result]
    assert 6 == len(results)
    assert (6 if task["whole"] else 1) == len(failed)
    assert {("file.damaged", bad)} == {(result["error"]["code"], result["error"]["where"]) for result in failed}


def test_a_body_that_fails_on_one_file_fails_that_file(lake: Lake, tmp_path: Path) -> None:
    """A poison row costs its own file; the others are tried alone and stand."""
    with task_of(lake, DOUBLE, tmp_path) as task:
        task["body"] = {
            "lang": "sql",
            "query": "select id, case when id = 7 then error('boom') else x end as f from base",
        }
        results = stage(task)
    codes = [result.get("error", {}).get("code", "") for result in results]
    assert ["body.values"] == [code for code in codes if code]


def test_doubled_keys_are_found_where_nobody_looked_before(lake: Lake, tmp_path: Path) -> None:
    """Keys that are not known to be unique are checked in the files of the task."""
    with task_of(lake, "select id, customer + x as f from base", tmp_path) as task:
        task["keys"] = ["customer"]
        task["body"] = {"lang": "sql", "query": "select customer, x as f from base"}
        codes = {result["error"]["code"] for result in stage(task)}
    assert {"key.duplicate"} == codes


@pytest.mark.parametrize("sql", [DOUBLE, JOINED, "select id, count(*) over () as f from base"])
def test_it_runs_where_there_is_no_nbplat(lake: Lake, tmp_path: Path, sql: str) -> None:
    """A pickled task is staged by a bare interpreter that has only the zip, numpy, pyarrow and DuckDB."""
    bundle = write_bundle(str(tmp_path / "zip"))
    code = (
        "import pickle, sys, importlib.util\n"
        "sys.path[:0] = sys.argv[3:]\n"
        "import nbplat.remote.kernel as kernel\n"
        "assert importlib.util.find_spec('nbplat.errors') is None\n"
        "task = pickle.load(open(sys.argv[1], 'rb'))\n"
        "pickle.dump(kernel.stage(task), open(sys.argv[2], 'wb'))\n"
    )
    with task_of(lake, sql, tmp_path) as task:
        here = staged(stage(task))
        (tmp_path / "task").write_bytes(pickle.dumps({**task, "out": f"file://{tmp_path}/there"}))
        paths = [tmp_path / "task", tmp_path / "results", bundle, sysconfig.get_paths()["purelib"]]
        done = subprocess.run(
            # -S: no .pth file brings an editable nbplat in.
            [sys.executable, "-I", "-S", "-c", code, *paths],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert 0 == done.returncode, done.stderr
    there = staged(pickle.loads((tmp_path / "results").read_bytes()))  # noqa: S301 - our own, of just now
    pd.testing.assert_frame_equal(here, there)


def test_a_result_says_what_a_bug_is_without_its_text(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text of an unexpected error stays in the log under an id; the record names the class only."""

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("secret value")

    with task_of(lake, DOUBLE, tmp_path) as task:
        monkeypatch.setattr("nbplat.remote.kernel.align", broken)
        results = stage(task)
    error = results[0]["error"]
    assert ("InternalError", "internal.bug") == (error["kind"], error["code"])
    assert "secret" not in str(error)
    assert error["detail_id"] in capsys.readouterr().err


def test_sources_are_read_file_by_file_and_gone_at_the_end(lake: Lake, tmp_path: Path) -> None:
    """Each source is one Arrow file while the job runs, with every live row."""
    with task_of(lake, JOINED, tmp_path) as task:
        [location] = task["sources"].values()
        with pa.memory_map(str(local_path(location))) as source:
            rows = pa.ipc.open_file(source).read_all()
        assert (200, ["amount", "at", "customer"]) == (rows.num_rows, sorted(rows.column_names))
        assert dt.datetime(2024, 1, 1, tzinfo=dt.UTC) == min(rows["at"].to_pylist())
    assert not (tmp_path / "sources").exists()
