"""Livy's batches over real processes (plain Python): fields, states, codes, logs, restarts."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from nbplat.adapters.driver import LocalBatches
from nbplat.adapters.driver.batches import spark_submit
from nbplat.clock import SystemClock
from nbplat.session.batch import Batch, BatchDraft, BatchState
from nbplat.session.batches import Batches
from nbplat.testing import FakeClock
from tests.fixtures.asgi import AsgiClient
from tests.fixtures.drivers import python_batch
from tests.fixtures.livy_app import LivyApp
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process


def post(http: AsgiClient, tmp_path: Path, code: str, **fields: Any) -> dict[str, Any]:
    path = tmp_path / "job.py"
    path.write_text(code)
    reply = http.post("/batches", json={"file": str(path), **fields})
    assert (201, f"/batches/{reply.json()['id']}") == (reply.status_code, reply.headers["location"])
    return dict(reply.json())


def state_after(http: AsgiClient, number: int) -> str:
    def look() -> str | None:
        state = http.get(f"/batches/{number}/state").json()["state"]
        return None if state in ("starting", "running") else str(state)

    return wait_until(look, what="the batch ends")


def test_a_batch_runs_its_file_with_its_arguments(http: AsgiClient, tmp_path: Path) -> None:
    """The reply has every field of Livy's, the log has what was printed, the state comes from the exit code."""
    shown = post(http, tmp_path, "import sys\nprint(*sys.argv[1:])", args=["a b", "é"], name="nightly")
    assert {"id", "name", "owner", "proxyUser", "state", "appId", "appInfo", "log"} == set(shown)
    assert {"driverLogUrl": None, "sparkUiUrl": None, "executorLogUrls": None} == shown["appInfo"]
    assert "success" == state_after(http, shown["id"])
    log = http.get(f"/batches/{shown['id']}/log").json()
    assert {"id": shown["id"], "from": 0, "total": 1, "log": ["a b é"]} == log
    assert shown["id"] == http.get("/batches/nightly").json()["id"]


def test_a_batch_that_fails_is_dead_and_says_why(http: AsgiClient, tmp_path: Path) -> None:
    """An exit code other than 0 is Livy's `dead`; its last log lines tell the rest."""
    number = post(http, tmp_path, "raise SystemExit('no data')")["id"]
    assert "dead" == state_after(http, number)
    assert ["no data", "the batch ended with exit code 1"] == http.get(f"/batches/{number}").json()["log"]


def test_deleting_ends_the_whole_group(http: AsgiClient, tmp_path: Path, livy_app: LivyApp) -> None:
    """No process of a deleted batch is left, those that it started included, and no folder."""
    code = "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\nprint(child.pid, flush=True)\nchild.wait()"
    number = post(http, tmp_path, code)["id"]
    child = int(wait_until(lambda: http.get(f"/batches/{number}/log").json()["log"], what="it prints")[0])
    assert "running" == http.get(f"/batches/{number}/state").json()["state"]
    folder = Path(livy_app.batches.find(str(number)).process["folder"])
    reply = http.delete(f"/batches/{number}")
    assert (200, {"msg": "deleted"}) == (reply.status_code, reply.json())
    wait_until(lambda: not _runs(child), what="the child ends")
    assert not folder.exists()
    for again in (http.get(f"/batches/{number}"), http.delete(f"/batches/{number}")):
        assert (404, {"msg": f"Session '{number}' not found."}) == (again.status_code, again.json())


def test_batches_are_listed_in_pages(http: AsgiClient, tmp_path: Path) -> None:
    """Livy calls them `sessions` here too, and `total` counts all."""
    for _ in range(2):
        post(http, tmp_path, "")
    whole = http.get("/batches").json()
    page = http.get("/batches?from=1&size=1").json()
    assert (1, whole["total"], [whole["sessions"][1]["id"]]) == (
        page["from"],
        page["total"],
        [one["id"] for one in page["sessions"]],
    )


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({}, 400, "File is required"),
        ({"file": None}, 400, "File is required"),
        ({"file": "relative.py"}, 400, "no absolute path"),
        ({"file": "http://example.org/x.py"}, 400, "not fetched"),
        ({"file": "file://elsewhere/x.py"}, 400, "not fetched"),
        ({"file": "/etc/hostname\udc80"}, 400, "half of a surrogate"),
        ({"file": "/x.py", "pyFiles": ["ftp://example.org/y.py"]}, 400, "not fetched"),
        ({"file": "/x.py", "kind": "pyspark"}, 400, 'Unrecognized field "kind"'),
        ({"file": "/x.py", "name": "12"}, 400, "all digits"),
        ({"file": "/x.py", "args": "a"}, 400, "no list"),
        ({"file": "/x.py", "conf": {"spark.master": "yarn"}}, 400, "Blacklisted"),
        ({"file": "/x.py", "numExecutors": 1e300}, 500, "out of range"),
    ],
)
def test_a_bad_batch_starts_nothing(http: AsgiClient, fields: dict[str, Any], status: int, said: str) -> None:
    """Each is refused with Livy's code before any effect, and none stays listed."""
    before = http.get("/batches").json()["total"]
    reply = http.post("/batches", content=json.dumps(fields).encode())
    assert status == reply.status_code
    assert said in str(reply.json())
    assert before == http.get("/batches").json()["total"]


def test_a_file_of_somebody_else_is_refused_unless_its_folder_is_allowed(tmp_path: Path) -> None:
    """Files of the service's owner may run, others only below the roots that the site set; no link leads out."""
    (tmp_path / "link.py").symlink_to("/etc/passwd")
    mine = tmp_path / "mine.py"
    mine.touch()
    plain = LocalBatches(tmp_path / "b")
    assert plain.refusal(str(mine)) is None
    assert plain.refusal(f"file://{mine}") is None
    assert plain.refusal("s3a://bucket/x.py") is None
    foreign = os.getuid() != Path("/etc/passwd").stat().st_uid
    assert foreign is ("cannot be added" in (plain.refusal("/etc/passwd") or ""))
    assert foreign is ("cannot be added" in (plain.refusal(str(tmp_path / "link.py")) or ""))
    assert LocalBatches(tmp_path / "b", [Path("/etc")]).refusal("/etc/passwd") is None


def test_the_owner_is_the_basic_user_and_nobody_is_impersonated(http: AsgiClient, tmp_path: Path) -> None:
    """`proxyUser` and `doAs` are not heard."""
    path = tmp_path / "x.py"
    path.touch()
    basic = "Basic " + base64.b64encode(b"ann:token").decode()
    reply = http.post(
        "/batches?doAs=eve", json={"file": str(path), "proxyUser": "eve"}, headers={"Authorization": basic}
    )
    assert ("ann", None) == (reply.json()["owner"], reply.json()["proxyUser"])


def test_a_name_is_used_once(http: AsgiClient, tmp_path: Path) -> None:
    """A second batch of a living one's name is refused."""
    number = post(http, tmp_path, "import time\ntime.sleep(600)", name="once")["id"]
    reply = http.post("/batches", json={"file": str(tmp_path / "job.py"), "name": "once"})
    assert (400, True) == (reply.status_code, reply.json()["msg"].startswith("Rejected, Reason: "))
    http.delete(f"/batches/{number}")


def test_a_batch_outlives_the_service(livy_app: LivyApp, http: AsgiClient, tmp_path: Path) -> None:
    """The next service finds it by its process, and its exit code also when it ended in between."""
    gate = tmp_path / "go"
    code = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\nraise SystemExit(3)"
    number = post(http, tmp_path, code)["id"]
    processes = LocalBatches(livy_app.folder / "batches", command=python_batch)
    again = Batches(livy_app.batches._store, processes, SystemClock())
    again.recover()
    running = again.find(str(number))
    assert BatchState.RUNNING is running.state
    gate.touch()
    wait_until(lambda: not processes.lives(running.process), what="it ends")
    later = Batches(livy_app.batches._store, processes, SystemClock())
    later.recover()
    found = later.find(str(number))
    assert (BatchState.DEAD, "the batch ended with exit code 3") == (found.state, (found.reason or {})["message"])


def test_starts_and_ends_that_were_cut_short_are_finished(livy_app: LivyApp, tmp_path: Path) -> None:
    """A batch that was only written down is started, one that was being deleted is gone."""
    path = tmp_path / "x.py"
    path.write_text("print('hi')")
    store = livy_app.batches._store
    only_kept = store.add_batch(BatchDraft("", "", {"file": str(path)}, {}))
    stray = livy_app.batches._processes.start(only_kept)
    half_gone = livy_app.batches.start(BatchDraft("", "", {"file": str(path)}, {}))
    store.move_batch(half_gone.id, BatchState.SHUTTING_DOWN)
    again = Batches(store, livy_app.batches._processes, SystemClock())
    again.recover()
    wait_until(lambda: again.find(str(only_kept.id)).state == "success", what="it has run")
    assert not livy_app.batches._processes.lives(stray)
    assert half_gone.id not in [batch.id for batch in again.page(limit=1000)[1]]


def test_an_ended_batch_is_listed_for_a_while(livy_app: LivyApp, http: AsgiClient, tmp_path: Path) -> None:
    """A day after its end it is forgotten."""
    number = post(http, tmp_path, "")["id"]
    state_after(http, number)
    ended_ms = livy_app.batches.find(str(number)).ended_ms or 0
    clock = FakeClock(ended_ms)
    later = Batches(livy_app.batches._store, livy_app.batches._processes, clock)
    clock.advance(86_000)
    later.look()
    assert 200 == http.get(f"/batches/{number}").status_code
    clock.advance(500)
    later.look()
    assert 404 == http.get(f"/batches/{number}").status_code


def test_settings_reach_spark_by_a_private_file(tmp_path: Path) -> None:
    """No setting shows in the list of processes, and no key or value breaks out of its line."""
    conf = {"spark.a": "x\nspark.master yarn\\", "spark.b c": "é=1", "spark.empty": ""}
    batch = Batch(
        7, "", "", BatchState.NOT_STARTED, {"file": "/j.py", "className": "a.B", "args": ["1"]}, conf, {}, 0, None, None
    )
    command = spark_submit(batch, tmp_path / "7" / "spark.conf")
    assert ["--properties-file", f"{tmp_path}/7/spark.conf", "--class", "a.B", "/j.py", "1"] == command[
        command.index("spark-submit") + 1 :
    ]
    processes = LocalBatches(tmp_path, command=lambda *_: ["true"])
    process = processes.start(batch)
    written = tmp_path / "7" / "spark.conf"
    assert "spark.a x\\nspark.master yarn\\\\\nspark.b\\ c \\u00e9=1\nspark.empty \n" == written.read_text()
    assert 0o600 == written.stat().st_mode & 0o777
    wait_until(lambda: not processes.lives(process), what="it ends")
    assert 0 == processes.ending(process).code


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
