"""The gateway as its users meet it: a service, real Spark, plain HTTP and stock sparkmagic, killed in between."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pyarrow as pa
import pytest
from nbclient import NotebookClient

import nbplat as nb
from nbplat.adapters.spark.jars import fetch_jars
from nbplat.service.discovery import service_lock
from nbplat.service.lock import holder_of
from nbplat.ui.session_desk import SessionDesk
from nbplat.ui.session_rows import rows_of
from tests.fixtures.product import Product, product_folder
from tests.fixtures.spark import JARS
from tests.fixtures.waiting import wait_until

pytestmark = [pytest.mark.jvm, pytest.mark.kernel, pytest.mark.timeout(600)]

# `make chaos` sets it: twenty kills in each test that kills.
KILLS = min(20, int(os.environ.get("NBPLAT_CHAOS_ROUNDS", "3")))

# Two of these live at once; the defaults are for a machine of their own.
_SETTINGS = {"limits.memory_bytes": 1_400_000_000, "limits.threads": 2}


_TYPED = """SELECT * FROM VALUES
 (CAST(1152921504606846976 AS BIGINT), CAST(1.10 AS DECIMAL(5,2)), CAST('NaN' AS DOUBLE),
  TIMESTAMP '2024-03-31 01:30:00.123456', CAST(NULL AS STRING)),
 (NULL, NULL, NULL, NULL, 'x'), (NULL, NULL, NULL, NULL, 'y') AS t(n, d, f, at, s)"""

_INTERRUPT = """import os, signal, sys, threading, time
import nbplat as nb

watched = nb.session({session}, attach=True)

def follows():
    frame = sys._current_frames()[threading.main_thread().ident]
    while frame is not None and not frame.f_code.co_filename.endswith("statement_stream.py"):
        frame = frame.f_back
    return frame is not None

def press():
    while watched.statements(limit=1)[0]["state"] != "running" or not follows():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=press).start()"""


class Gateway:
    """The service of one state folder, spoken to in Livy's words."""

    def __init__(self, product: Product) -> None:
        self.product = product

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        url, token = self.product.address()
        headers = {"Prefer": "wait=10", **options.pop("headers", {})}
        return httpx.request(method, f"{url}{path}", auth=("anyone", token), headers=headers, timeout=60, **options)

    def start(self, **fields: Any) -> int:
        reply = self.call("POST", "/sessions", json={"kind": "pyspark", **fields})
        assert 201 == reply.status_code, reply.text
        return int(reply.json()["id"])

    def idle(self, session: int) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.call("GET", f"/sessions/{session}").json()
            assert found["state"] not in ("dead", "error"), found
            return found if found["state"] == "idle" else None

        return wait_until(look, limit_s=120, what="the session is idle")  # type: ignore[return-value]

    def post(self, session: int, code: str, kind: str = "pyspark") -> str:
        return str(
            self.call("POST", f"/sessions/{session}/statements", json={"code": code, "kind": kind}).headers["location"]
        )

    def ended(self, where: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.call("GET", where).json()
            return found if found["state"] in ("available", "cancelled") else None

        return wait_until(look, limit_s=120, what="the statement ends")  # type: ignore[return-value]

    def run(self, session: int, code: str, kind: str = "pyspark") -> dict[str, Any]:
        return dict(self.ended(self.post(session, code, kind))["output"])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBPLAT_JARS", os.environ.get("NBPLAT_JARS") or str(JARS))
        with product_folder(tmp_path_factory.mktemp("gateway"), _SETTINGS) as product:
            fetch_jars(product.config)
            product.env["NBPLAT_JARS"] = os.environ["NBPLAT_JARS"]
            product.run("demo", "init")
            product.run("service", "status")
            product.run("backfill", "list")
            opened = Gateway(product)
            yield opened
            for session in opened.call("GET", "/sessions").json()["sessions"]:
                opened.call("DELETE", f"/sessions/{session['id']}")


@pytest.fixture(scope="module")
def session(gateway: Gateway) -> int:
    """One session for the tests of this module."""
    number = gateway.start()
    gateway.idle(number)
    return number


def test_a_session_sees_the_tables_of_the_catalog(gateway: Gateway, session: int) -> None:
    """SQL over the embedded catalog gives Spark's schema and exact values."""
    output = gateway.run(session, "SELECT event_id, amount FROM retail.events ORDER BY event_id LIMIT 2", "sql")
    found = output["data"]["application/json"]
    assert ["event_id", "amount"] == [field["name"] for field in found["schema"]["fields"]]
    assert 2 == len(found["data"])
    counted = gateway.run(session, "spark.table('retail.events').count()")
    assert int(counted["data"]["text/plain"]) > 40_000


def test_values_keep_their_meaning_as_json(gateway: Gateway, session: int) -> None:
    """Decimals, times, nulls, odd doubles, bytes and nested values are told apart."""
    sql = """SELECT CAST(1.10 AS DECIMAL(5,2)) d, TIMESTAMP '2024-03-31 01:30:00.123456' t, DATE '2024-02-29' day,
                    CAST('NaN' AS DOUBLE) n, CAST('-Infinity' AS DOUBLE) i, X'00ff' b, NULL nothing,
                    named_struct('p', array(1, NULL)) s, map('k', 2) m"""
    [row] = gateway.run(session, sql, "sql")["data"]["application/json"]["data"]
    assert [
        "1.10", "2024-03-31T01:30:00.123456", "2024-02-29", None, "-Infinity", "AP8=", None, {"p": [1, None]}, {"k": 2},
    ] == row  # fmt: skip


def test_a_spark_error_names_its_condition_and_the_cells_line(gateway: Gateway, session: int) -> None:
    """The traceback has the cell's line, Spark's condition, and neither Spark's nor Java's frames."""
    output = gateway.run(session, "x = 1\nspark.sql('SELECT * FROM nowhere').show()")
    text = "".join(output["traceback"])
    assert "AnalysisException" == output["ename"]
    assert "[TABLE_OR_VIEW_NOT_FOUND]" in output["evalue"]
    assert 'File "<cell' in text
    assert "py4j" not in text
    assert "\tat org.apache" not in text


def test_functions_of_cells_reach_the_workers(gateway: Gateway, session: int) -> None:
    """Classes and functions of a cell are shipped to Spark's Python workers."""
    code = """class Pair:
    def __init__(self, n): self.n = n
sc.parallelize([1, 2]).map(lambda n: Pair(n).n + 1).collect()"""
    assert "[2, 3]" == gateway.run(session, code)["data"]["text/plain"]


def test_progress_and_cancel_of_a_spark_job(gateway: Gateway, session: int) -> None:
    """Progress rises while tasks end, a cancel stops the job long before its end, and the session goes on."""
    code = "import time\nsc.parallelize(range(400), 400).map(lambda n: time.sleep(0.2)).count()"
    where = gateway.post(session, code)
    wait_until(
        lambda: 0 < gateway.call("GET", where, headers={"Prefer": "wait=0"}).json()["progress"] < 1,
        limit_s=60,
        what="progress",
    )
    # On two cores 400 tasks of 0.2 s would take 40 s; how quick a cancel is, the benchmark says.
    began = time.monotonic()
    gateway.call("POST", f"{where}/cancel")
    assert "cancelled" == gateway.ended(where)["state"]
    assert time.monotonic() - began < 20.0
    assert "2" == gateway.run(session, "1 + 1")["data"]["text/plain"]
    active = "len(sc.statusTracker().getActiveJobsIds())"
    wait_until(
        lambda: "0" == gateway.run(session, active)["data"]["text/plain"], limit_s=60, what="the job has stopped"
    )


def test_a_cancel_leaves_no_job_behind_whenever_it_comes(gateway: Gateway, session: int) -> None:
    """A job that is asked for while its cell is cancelled does not run on, and py4j's own trouble is not told."""
    code = "print('up')\nspark.range(0, 400, 1, 40).rdd.map(lambda n: __import__('time').sleep(1)).count()"

    def running(where: str) -> bool:
        return bool(gateway.call("GET", where, headers={"Prefer": "wait=0"}).json()["state"] == "running")

    for moment in range(6):
        where = gateway.post(session, code)
        wait_until(partial(running, where), limit_s=60, what="the cell runs")
        # Before the job is asked for, while it is sent, and after it has begun.
        time.sleep(moment * 0.1)
        gateway.call("POST", f"{where}/cancel")
        done = gateway.ended(where)
        assert "cancelled" == done["state"]
        assert "while sending command" not in json.dumps(done)
    # The two cores would be taken for minutes.
    began = time.monotonic()
    counted = gateway.run(session, "SELECT count(*) FROM range(1000)", "sql")["data"]["application/json"]["data"]
    assert [[1000]] == counted
    assert time.monotonic() - began < 60.0


def test_a_notebook_runs_cells_in_a_session(gateway: Gateway, session: int) -> None:
    """`%session`, `%%spark` and `%%sql` give ordinary outputs: streams, displays, tables, a red block of an error."""
    sources = {
        "load": "%load_ext nbplat",
        "attach": f"%session attach {session}",
        "value": "%%spark\nprint('hi')\nspark.range(5).count()",
        "progress": "%%spark\nimport time\nsc.parallelize(range(40), 40).map(lambda n: time.sleep(0.1)).count()",
        "sql": "%%sql -o top -n 2\n" + _TYPED,
        "local": "print(*top.dtypes, *top.iloc[0], *top.isna().iloc[1], sep='|')",
        "error": "%%sql\nSELECT * FROM nowhere",
        "frame": "%%spark\ndisplay(spark.range(2).toPandas())",
        "background": "%%spark --background\nprint('from behind')\n'there'",
        "follow": "%session follow",
        "watch": _INTERRUPT.format(session=session),
        "interrupt": "%%spark\nimport time\ntime.sleep(100)",
        "after": "%%spark\n1 + 1",
    }
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources.values()])
    cells = dict(zip(sources, notebook.cells, strict=True))
    for name in ("error", "interrupt"):
        cells[name].metadata["tags"] = ["raises-exception"]
    gateway.product.execute(notebook)
    assert ("hi\n", {"text/plain": "5"}) == (cells["value"].outputs[0].text, cells["value"].outputs[-1].data)
    assert ["display_data", "execute_result"] == [output.output_type for output in cells["progress"].outputs]
    assert "done 40 tasks" in cells["progress"].outputs[0].data["text/plain"]
    table = cells["sql"].outputs[-1]
    assert "the first 2 rows, there are more" in table.data["text/html"]
    assert [
        "Int64", "object", "Float64", "datetime64[us, UTC]", "object",
        "1152921504606846976", "1.10", "nan", "2024-03-31 01:30:00.123456+00:00", "None",
        "True", "True", "True", "True", "False",
    ] == cells["local"].outputs[0].text.strip().split("|")  # fmt: skip
    [failed] = cells["error"].outputs
    assert ("error", "StatementFailed") == (failed.output_type, failed.ename)
    assert "AnalysisException [TABLE_OR_VIEW_NOT_FOUND] in " in failed.traceback[0]
    assert "<table" in cells["frame"].outputs[-1].data["text/html"]
    assert "%session follow" in cells["background"].outputs[0].data["text/plain"]
    assert ("from behind\n", "'there'") == (
        cells["follow"].outputs[0].text,
        cells["follow"].outputs[-1].data["text/plain"],
    )
    assert ("Cancelled", True) == (
        cells["interrupt"].outputs[-1].ename, "was cancelled" in cells["interrupt"].outputs[-1].evalue,
    )  # fmt: skip
    assert {"text/plain": "2"} == cells["after"].outputs[-1].data


def test_frames_and_rows_travel_as_arrow(gateway: Gateway, session: int) -> None:
    """A frame of a notebook is a DataFrame and a view there; rows come back, also after a kill of the service."""
    desk = SessionDesk(gateway.product.client(), gateway.product.config)
    opened = nb.session(session, attach=True, desk=desk)
    sent = pa.table({"q": ["it's", 'a \\ "b"', None], "n": [1, None, 2**60], "l": [[1], [], None]})
    opened.send(sent, "sent", view=True)
    assert "DataFrame[q: string, n: bigint, l: array<bigint>]" == opened.run("sent").text
    back = opened.sql("SELECT * FROM sent", arrow=True)
    assert sent.to_pylist() == back.to_pylist()
    assert sent.to_pylist() == opened.take("sent", arrow=True).to_pylist()
    rows = desk.submit(session, "SELECT id FROM range(0, 300000, 1, 4)", "sql", arrow=True)
    done = wait_until(lambda: (one := desk.statement(session, rows["id"]))["ended"] and one, what="it ends")
    _killed(gateway)
    assert list(range(300_000)) == rows_of(done["output"], partial(desk.page, done))["id"].to_pylist()
    with pytest.warns(UserWarning, match="the first 7 rows"):
        assert list(range(7)) == list(opened.sql("SELECT id FROM range(1000000000000)", rows=7)["id"])


def test_a_killed_jvm_is_told_as_that(gateway: Gateway) -> None:
    """The session is dead with the signal and what it means, the cell too, and the service goes on."""
    number = gateway.start(name="doomed")
    gateway.idle(number)
    output = gateway.run(
        number, "import os, signal\nos.kill(sc._gateway.proc.pid, signal.SIGKILL)\nspark.range(5).count()"
    )
    assert ("SessionDied", True) == (
        output["ename"],
        output["evalue"].startswith("the session's JVM ended of SIGKILL: most likely it ran out of memory"),
    )
    assert "dead" == gateway.call("GET", f"/sessions/{number}").json()["state"]
    gateway.call("DELETE", f"/sessions/{number}")


def test_a_killed_service_loses_neither_session_nor_output(gateway: Gateway, session: int) -> None:
    """Killed again and again, the service is back by itself; reads go on meanwhile, and a commit works after it."""
    gateway.run(session, "kept = 41\nspark.range(3).writeTo('retail.kept_copy').createOrReplace()")
    code = """import os, time
reads = 0
while not os.path.exists(gate) or reads < 5:
    reads += spark.table('retail.kept_copy').count() == 3
    with open(gate + '.reads', 'a') as file:
        file.write('.')
    time.sleep(0.1)
spark.sql('INSERT INTO retail.kept_copy VALUES (7)')
print('read on')
spark.table('retail.kept_copy').count() + kept"""
    gate = gateway.product.folder / "gate"
    code = f"gate = {str(gate)!r}\n{code}"
    before = gateway.product.address()
    where = gateway.post(session, code)
    for _ in range(KILLS):
        _told_more(Path(f"{gate}.reads"))
        _killed(gateway)
        # Its callers wait at the socket that the worker keeps; nobody is refused.
        assert 200 == gateway.call("GET", where, headers={"Prefer": "wait=0"}).status_code
    gate.touch()
    output = gateway.ended(where)["output"]
    assert "ok" == output["status"], output
    assert "read on\n45" == output["data"]["text/plain"]
    assert before == gateway.product.address()


def test_commits_go_through_while_the_service_is_killed(gateway: Gateway, session: int) -> None:
    """Every append of a running cell is made exactly once, whenever the service dies."""
    code = """spark.range(0).writeTo('retail.appended').createOrReplace()
for n in range({count}):
    spark.range(n, n + 1).writeTo('retail.appended').append()
    with open({told!r}, 'a') as file:
        file.write('.')
sorted(row.id for row in spark.table('retail.appended').collect())"""
    count, told = 5 * KILLS, gateway.product.folder / "appended"
    where = gateway.post(session, code.format(count=count, told=str(told)))
    for _ in range(KILLS):
        _told_more(told, most=count)
        _killed(gateway)
        assert 200 == gateway.call("GET", "/version").status_code
    output = gateway.ended(where)["output"]
    assert "ok" == output["status"], output["traceback"]
    assert str(list(range(count))) == output["data"]["text/plain"]


def _told_more(file: Path, most: int = sys.maxsize) -> None:
    """Wait until a cell that writes a byte whenever it got on has got on; at once when it has got to its end."""

    def size() -> int:
        return file.stat().st_size if file.exists() else 0

    before = size()
    wait_until(lambda: size() > before or size() >= most, limit_s=120, what="the cell gets on")


def test_deleting_a_session_ends_its_jvm(gateway: Gateway) -> None:
    """No Java process is left behind."""
    number = gateway.start(name="short")
    gateway.idle(number)
    pid = int(gateway.run(number, "sc._gateway.proc.pid")["data"]["text/plain"])
    assert Path(f"/proc/{pid}").exists()
    assert {"msg": "deleted"} == gateway.call("DELETE", "/sessions/short").json()
    wait_until(lambda: not Path(f"/proc/{pid}/exe").exists(), what="the JVM ends")


def test_stock_sparkmagic_runs_a_notebook(gateway: Gateway, tmp_path: Path) -> None:
    """The stock PySpark kernel starts a session, runs cells, SQL and local ones, is interrupted, and cleans up.

    The service is killed before one of its cells, which does not notice.
    """
    kernel = _sparkmagic(gateway, tmp_path)
    sources = {
        "configure": '%%configure -f\n{"driverMemory": "640m", "name": "magic"}',
        "value": "1 + 1",
        "spark": "print('hi')\nspark.range(5).count()",
        "error": "1 / 0",
        "interrupt": "import time\nfor _ in range(6000): time.sleep(0.1)",
        "next": "40 + 2",
        "sql": "%%sql -o top -q\nSELECT country, count(*) AS n FROM retail.events GROUP BY country LIMIT 2",
        "local": "%%local\nprint(len(top), list(top.columns))",
        "text": "%%local\nword = 'plain'",
        "send": "%%send_to_spark -i word -t str -n there",
        "there": "there",
        "info": "%%info",
        "logs": "%%logs",
        "cleanup": "%%cleanup -f",
    }
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources.values()])
    client = NotebookClient(notebook, kernel_name=kernel, timeout=180, allow_errors=True)

    def press(cell: Any) -> None:
        # The bar is shown when the statement's number is known: an interrupt before that has nothing to cancel.
        wait_until(lambda: cell.outputs, limit_s=60, what="the bar")
        os.kill(client.km.provisioner.pid, signal.SIGINT)

    def before(cell: Any, cell_index: int) -> None:
        name = list(sources)[cell_index]
        if name == "interrupt":
            threading.Thread(target=press, args=(cell,)).start()
        elif name == "next":
            _killed(gateway)

    client.on_cell_execute = before
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARKMAGIC_CONF_DIR", str(tmp_path))
        patch.setenv("JUPYTER_PATH", str(tmp_path))
        client.execute()
    shown = dict(zip(sources, (_text(cell) for cell in notebook.cells), strict=True))
    assert "SparkSession available" in shown["value"]
    assert shown["value"].rstrip().endswith("2")
    assert "hi\n5" in shown["spark"]
    assert "ZeroDivisionError" in shown["error"]
    assert "nterrupted" in shown["interrupt"]
    assert shown["next"].rstrip().endswith("42")
    assert "2 ['country', 'n']" in shown["local"]
    assert "Successfully passed 'word'" in shown["send"]
    assert "plain" in shown["there"]
    assert "idle" in shown["info"]
    assert "error" not in shown["logs"].lower()
    assert [] == [one for one in gateway.call("GET", "/sessions").json()["sessions"] if one["name"] == "magic"]


def _killed(gateway: Gateway) -> None:
    """Kill the service and wait until it is really gone."""
    lock = service_lock(gateway.product.config)
    before = holder_of(lock)
    gateway.product.kill("service")
    wait_until(lambda: before != holder_of(lock), what="the end of the killed")


def _sparkmagic(gateway: Gateway, folder: Path) -> str:
    """Write sparkmagic's config and a kernel spec of it; returns the kernel's name."""
    url, token = gateway.product.address()
    config = {
        "kernel_python_credentials": {"username": "me", "password": token, "url": url, "auth": "Basic_Access"},
        "use_auto_viz": False,
        "livy_session_startup_timeout_seconds": 120,
    }
    (folder / "config.json").write_text(json.dumps(config))
    spec = folder / "kernels" / "stock"
    spec.mkdir(parents=True)
    module = "sparkmagic.kernels.pysparkkernel.pysparkkernel"
    argv = [sys.executable, "-m", module, "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "stock", "language": "python"}))
    return "stock"


def _text(cell: Any) -> str:
    parts = []
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        parts.append(output.get("text") or data.get("text/html") or data.get("text/plain") or output.get("evalue", ""))
    return "".join(parts)
