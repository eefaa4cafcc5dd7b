"""What the session gateway promises: how soon a session is there, a cell answered, code stopped, and at what memory."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import psutil

from benchmarks.measure import Cost, Figure, cost_of, fresh_environ
from benchmarks.start import state_folder

__all__ = ["measure"]

_COLD = 3
_CLAIMED = 8
_CELLS = 200
# What sparkmagic sends for a cell: it looks at the session, posts the statement, fetches its answer.
_REQUESTS = 3
_CANCELS = 20
_COMPLETIONS = 30
_IDLE = 50
_ROWS = 1_000_000
_LIMIT_S = 240.0

_FLOOR = """
import time
began = time.perf_counter()
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
spark.range(10).count()
print(time.perf_counter() - began)
spark.stop()
"""

# Stock sparkmagic's own client, as its kernels use it, on a session that is idle.
_SPARKMAGIC = """
import json, psutil, sys, time, types
from sparkmagic.auth.basic import Basic
from sparkmagic.livyclientlib.command import Command
from sparkmagic.livyclientlib.endpoint import Endpoint
from sparkmagic.livyclientlib.sparkcontroller import SparkController
url, token, cells, service = sys.argv[1], sys.argv[2], int(sys.argv[3]), psutil.Process(int(sys.argv[4]))
quiet = types.SimpleNamespace(**{name: (lambda *a, **k: None) for name in
    ("write", "writeln", "display", "html", "send_error", "stderr_flush", "stdout_flush", "clear_output")})
controller = SparkController(quiet)
login = types.SimpleNamespace(user="any", password=token, url=url)
controller.add_session("one", Endpoint(url, Basic(login)), False, {"kind": "pyspark"})
cpu = lambda: sum(service.cpu_times()[:2])
took, before = [], cpu()
for _ in range(cells):
    began = time.perf_counter()
    controller.run_command(Command("1 + 1"), "one")
    took.append(time.perf_counter() - began)
print(json.dumps([took, cpu() - before]))
controller.cleanup()
"""

_OPTIONS = {"spark.master": "local[2]", "session.warm_count": 0, "session.class_archive": False}


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
        figures = _starts(folder)
    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder, _gateway(folder, {}) as client:
        session = _session(client)
        try:
            figures += [*_cells(client), *_cancels(client, session), _completion(client, session)]
            figures += _arrow(client, session)
        finally:
            client.delete(f"/api/v1/sessions/{session}")
    return [*figures, _idle()]


def _starts(folder: str) -> list[Figure]:
    """A plain start, a session without help, one on the class archive, and one that claims a warm driver."""
    from nbplat.compose import open_platform

    floor = [_floor() for _ in range(_COLD)]
    against = (
        f"pyspark by itself on local[2] ({_middle(floor).wall_s:.2f} s; a session also has its process and catalog)"
    )
    with _gateway(folder, {}) as client:
        cold = [_first_result(client) for _ in range(_COLD)]
    config = state_folder(folder, {**_OPTIONS, "session.class_archive": True})
    size = open_platform(config).write_class_archive()["bytes"]
    with _gateway(folder, {"session.class_archive": True}) as client:
        archived = [_first_result(client) for _ in range(_COLD)]
    options = {"session.class_archive": True, "session.warm_count": 1, "session.warm_free_bytes": 1 << 30}
    with _gateway(folder, options) as client:
        _first_result(client)
        claimed = []
        for _ in range(_CLAIMED):
            _until(lambda: client.get("/metrics")["gauges"]["nbplat.warm.ready"]["value"], "no driver got warm")
            claimed.append(_first_result(client))
    return [
        _start("cold session to first Spark result, without help, middle", _middle(cold), None, against),
        _start(
            f"cold session to first Spark result, on the class archive ({size / 1e6:.0f} MB), middle",
            _middle(archived),
            8.0,
            against,
        ),
        _start("claimed warm session to first Spark result, p95", _share(claimed, 0.95), 2.0, against),
    ]


def _start(name: str, cost: Cost, goal: float | None, against: str) -> Figure:
    text = f"{against}; CPU is the client's"
    return Figure(name, cost.wall_s, "s", goal, "lower", text, cost.cpu_s, cost.wall_s)


def _cells(client: Any) -> list[Figure]:
    service = client.get("/api/v1/status")["service"]["pid"]
    said = _printed(_SPARKMAGIC, client.url, client.token, str(_CELLS), str(service))
    took, cpu_s = json.loads(said.splitlines()[-1])
    took.sort()
    bare = sorted(_bare_cell(client, _CELLS))
    session = _session(client)
    try:
        direct = sorted(cost_of(lambda: _run(client, session, "1 + 1")).wall_s for _ in range(_CELLS))
    finally:
        client.delete(f"/api/v1/sessions/{session}")
    against = f"{_REQUESTS} requests that do nothing ({_spread_text(bare)}); our own client ({_spread_text(direct)})"
    return [
        *(
            Figure(
                f"1 + 1 through stock sparkmagic's client, {name}", _at(took, share) * 1000, "ms", goal, "lower",
                against, 0.0, _at(took, share),
            )
            for name, share, goal in (("p50", 0.5, None), ("p95", 0.95, 30.0))
        ),
        Figure(
            "CPU of the service for such a cell", cpu_s / _CELLS * 1000, "ms", None, "lower", against, cpu_s, sum(took)
        ),
    ]  # fmt: skip


def _spread_text(ordered: Sequence[float]) -> str:
    return f"{_at(ordered, 0.5) * 1000:.1f} ms p50, {_at(ordered, 0.95) * 1000:.1f} ms p95"


def _bare_cell(client: Any, count: int) -> list[float]:
    """As many requests as a cell takes, on a connection that is kept, for something that needs no work."""
    parts = urlsplit(client.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_LIMIT_S)

    def ask() -> None:
        for _ in range(_REQUESTS):
            connection.request("GET", "/version", headers={"Authorization": f"Bearer {client.token}"})
            connection.getresponse().read()

    try:
        return [cost_of(ask).wall_s for _ in range(count)]
    finally:
        connection.close()


def _cancels(client: Any, session: int) -> list[Figure]:
    codes = {
        "time.sleep": "print('up')\nimport time\ntime.sleep(600)",
        "while True": "print('up')\nwhile True: pass",
        "a running Spark job": "print('up')\n"
        "spark.range(0, 1000, 1, 100).rdd.map(lambda x: __import__('time').sleep(1)).count()",
    }
    figures = []
    for name, code in codes.items():
        took = sorted(_cancelled(client, session, code) for _ in range(_CANCELS))
        after = cost_of(lambda: _run(client, session, "1 + 1"))
        figures.append(
            Figure(
                f"cancel of {name} until its code has ended, p99 of {_CANCELS}", _at(took, 0.99), "s", 1.0, "lower",
                f"p50 {_at(took, 0.5):.3f} s; the next 1 + 1 took {after.wall_s * 1000:.0f} ms", 0.0, _at(took, 0.99),
            )
        )  # fmt: skip
    return figures


def _cancelled(client: Any, session: int, code: str) -> float:
    path = f"/api/v1/sessions/{session}/statements"
    number = client.post(path, {"code": code})["id"]
    _until(lambda: client.get(f"{path}/{number}")["state"] == "running", "the cell did not start")
    time.sleep(0.5)
    began = time.perf_counter()
    client.post(f"{path}/{number}/cancel")
    found = _until(lambda: _ended(client.get(f"{path}/{number}")), "the cell does not end", pause_s=0.005)
    assert found["state"] == "cancelled", found
    return time.perf_counter() - began


def _completion(client: Any, session: int) -> Figure:
    path = f"/api/v1/sessions/{session}"
    number = client.post(f"{path}/statements", {"code": "while True: pass"})["id"]
    _until(lambda: client.get(f"{path}/statements/{number}")["state"] == "running", "the cell did not start")

    def ask() -> None:
        assert "range" in client.post(f"{path}/complete", {"code": "spark.ran"})["matches"]

    took = sorted(cost_of(ask).wall_s for _ in range(_COMPLETIONS))
    client.post(f"{path}/statements/{number}/cancel")
    _until(lambda: _ended(client.get(f"{path}/statements/{number}")), "the cell does not end")
    return Figure(
        f"completion while a cell burns, slowest of {_COMPLETIONS}", took[-1], "s", 0.5, "lower",
        f"p50 {_at(took, 0.5):.3f} s", 0.0, took[-1],
    )  # fmt: skip


def _arrow(client: Any, session: int) -> list[Figure]:
    """A million rows as pages of Arrow: the time, and what the driver's Python, its JVM and the service grow by."""
    columns = "SELECT id, id * 0.5 AS x, cast(id AS string) AS text FROM range({})"
    _fetched(client, session, columns.format(1000))
    jvm = psutil.Process(client.get(f"/api/v1/sessions/{session}")["app"]["jvm"])
    driver, service = jvm.parent(), psutil.Process(client.get("/api/v1/status")["service"]["pid"])
    assert driver is not None
    watched = {"the driver's Python": driver, "the service": service, "the JVM, within its heap": jvm}
    before = {name: _rss(process) for name, process in watched.items()}
    peak = dict(before)

    def look() -> None:
        for name, process in watched.items():
            peak[name] = max(peak[name], _rss(process))

    pages: list[Any] = []
    cost = cost_of(lambda: pages.extend(_fetched(client, session, columns.format(_ROWS), look)))
    rows, largest = sum(page[0] for page in pages), max(page[1] for page in pages)
    assert rows == _ROWS, rows
    page = f"a page holds at most {largest / 1e6:.1f} MB, of {len(pages)}"
    return [
        Figure("a million rows by Arrow", cost.wall_s, "s", None, "lower", page, cost.cpu_s, cost.wall_s),
        *(
            # The JVM's heap grows by what it has not collected yet: watched, not promised.
            Figure(
                f"growth of {name} meanwhile, in pages",
                (peak[name] - before[name]) / largest,
                "x",
                None if process is jvm else 3.0,
                "lower",
                page,
                0.0,
                cost.wall_s,
            )
            for name, process in watched.items()
        ),
    ]


def _fetched(client: Any, session: int, query: str, look: Callable[[], None] = lambda: None) -> list[Any]:
    path = f"/api/v1/sessions/{session}/statements"
    number = client.post(path, {"code": query, "kind": "sql", "arrow": True})["id"]

    def ended() -> Any:
        look()
        return _ended(client.get(f"{path}/{number}"))

    done = _until(ended, "the query does not end")
    assert done["output"]["status"] == "ok", done["output"]
    pages = client.get(f"{path}/{number}/rows")["pages"]
    for place in range(len(pages)):
        client.get_bytes(f"{path}/{number}/rows/{place}")
        look()
    return list(pages)


def _idle() -> Figure:
    """Memory of a service with many idle sessions; their drivers are real ones without Spark: it cannot tell."""
    factory = "benchmarks.gateway_idle:open_platform"
    with (
        tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder,
        _gateway(folder, {}, factory) as client,
    ):
        service = psutil.Process(client.get("/api/v1/status")["service"]["pid"])
        first = _session(client)
        before = service.memory_info().rss
        began = time.perf_counter()
        sessions = [client.post("/api/v1/sessions", {})["id"] for _ in range(_IDLE - 1)]
        for session in sessions:
            _until(lambda of=session: client.get(f"/api/v1/sessions/{of}")["state"] == "idle", "it does not start")
        took = time.perf_counter() - began
        after = service.memory_info().rss
        for session in [first, *sessions]:
            client.delete(f"/api/v1/sessions/{session}")
    whole = f"the whole service: {before / 1e6:.0f} MB with one, {after / 1e6:.0f} MB with all; drivers without Spark"
    name = f"memory of the service with {_IDLE} idle sessions, over the same with one"
    return Figure(name, (after - before) / 1e6, "MB", 150.0, "lower", whole, 0.0, took)


@contextlib.contextmanager
def _gateway(folder: str, settings: Mapping[str, Any], factory: str = "nbplat.compose:open_platform") -> Iterator[Any]:
    from nbplat.ui.client import find_or_start, stop_service

    config = state_folder(folder, {**_OPTIONS, **settings})
    try:
        client = find_or_start(config, factory=factory)
        try:
            yield client
        finally:
            # Sessions outlive their service, and here nobody would come back to them.
            for session in client.get("/api/v1/sessions", limit=1000)["sessions"]:
                client.delete(f"/api/v1/sessions/{session['id']}")
    finally:
        stop_service(config)


def _first_result(client: Any) -> Cost:
    """From the request for a session to the answer of a Spark job in it; the session is ended."""
    made: list[int] = []

    def work() -> None:
        session = client.post("/api/v1/sessions", {"kind": "pyspark"})["id"]
        made.append(session)
        _run(client, session, "spark.range(10).count()")

    cost = cost_of(work)
    client.delete(f"/api/v1/sessions/{made[0]}")
    return cost


def _session(client: Any) -> int:
    session = int(client.post("/api/v1/sessions", {})["id"])
    _until(lambda: client.get(f"/api/v1/sessions/{session}")["state"] == "idle", "the session does not start")
    return session


def _run(client: Any, session: int, code: str) -> None:
    path = f"/api/v1/sessions/{session}/statements"
    number = client.post(path, {"code": code})["id"]
    done = _until(lambda: _ended(client.get(f"{path}/{number}")), "the cell does not end", pause_s=0.002)
    assert done["output"]["status"] == "ok", done["output"]


def _ended(statement: dict[str, Any]) -> dict[str, Any] | None:
    return statement if statement["ended"] else None


def _floor() -> Cost:
    return Cost(float(_printed(_FLOOR)), 0.0)


def _printed(program: str, *args: str) -> str:
    """What a program prints in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program, *args],
        env=fresh_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=_LIMIT_S,
        check=True,
    )
    return done.stdout


def _until(look: Callable[[], Any], what: str, pause_s: float = 0.02) -> Any:
    deadline = time.monotonic() + _LIMIT_S
    while not (found := look()):
        assert time.monotonic() < deadline, what
        time.sleep(pause_s)
    return found


def _rss(process: psutil.Process) -> int:
    return int(process.memory_info().rss)


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _share(costs: Sequence[Cost], share: float) -> Cost:
    ordered = sorted(costs, key=lambda cost: cost.wall_s)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _middle(costs: Sequence[Cost]) -> Cost:
    return _share(costs, 0.5)
