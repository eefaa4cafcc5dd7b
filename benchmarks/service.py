"""What the service costs while it is asked, while it works, and while nobody asks."""

from __future__ import annotations

import contextlib
import http.client
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import Cost, Figure, cost_of, fresh_environ, medians
from benchmarks.start import state_folder

__all__ = ["measure"]

_CALLS = 200
_UNITS = 500
_IDLE_S = 15.0

_BARE = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def health(request):
    return JSONResponse({"status": "ok"})

uvicorn.run(Starlette(routes=[Route("/health", health)]), port=int(sys.argv[1]), log_config=None, access_log=False)
"""


def measure() -> list[Figure]:
    figures = _calls_and_idle()
    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
        figures.append(_ledger(Path(folder)))
    return figures


def _calls_and_idle() -> list[Figure]:
    from nbplat.ui.client import find_or_start, stop_service

    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder, _bare_server() as (bare, port):
        config = state_folder(folder)
        try:
            client = find_or_start(config)
            health, runs, floor = medians(
                lambda: _times(lambda: client.get("/api/v1/health")),
                lambda: _times(lambda: client.get("/api/v1/runs", kind="backfill")),
                lambda: _times(lambda: _get(port)),
            )
            _until_working(client)
            pids = [client.get("/api/v1/status")[part]["pid"] for part in ("service", "worker")]
            idle, bare_idle = _idle([psutil.Process(pid) for pid in pids]), _idle([bare])
        finally:
            stop_service(config)
    per_s = idle.cpu_s / idle.wall_s * 1000
    bare_text = f"a bare Starlette route on uvicorn ({floor} a call)"
    return [
        _call("a health call, there and back", health, bare_text),
        _call("a runs call, there and back", runs, bare_text),
        Figure(
            "service and worker idle, CPU a second",
            per_s,
            "ms",
            None,
            "lower",
            f"a bare uvicorn, idle ({bare_idle.cpu_s / bare_idle.wall_s * 1000:.2g} ms)",
            idle.cpu_s,
            idle.wall_s,
        ),
    ]


def _call(name: str, cost: Cost, against: str) -> Figure:
    return Figure(
        name, cost.wall_s * 1000, "ms", None, "lower", f"{against}; CPU is the client's", cost.cpu_s, cost.wall_s
    )


def _times(call: Callable[[], Any]) -> Cost:
    """The cost of one call, from many."""

    def many() -> None:
        for _ in range(_CALLS):
            call()

    cost = cost_of(many)
    return Cost(cost.wall_s / _CALLS, cost.cpu_s / _CALLS)


def _idle(processes: list[psutil.Process]) -> Cost:
    """What the processes spend while nobody asks them anything."""

    def spent() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    # Whatever the last call started is over by then.
    time.sleep(2)
    before, started = spent(), time.perf_counter()
    time.sleep(_IDLE_S)
    return Cost(time.perf_counter() - started, spent() - before)


def _until_working(client: Any) -> None:
    deadline = time.monotonic() + 30
    while client.get("/api/v1/status")["worker"]["state"] != "running":
        assert time.monotonic() < deadline, "the worker did not start"
        time.sleep(0.05)


@contextlib.contextmanager
def _bare_server() -> Iterator[tuple[psutil.Process, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-c", _BARE, str(port)], env=fresh_environ())
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                _get(port)
                break
            except OSError:
                assert time.monotonic() < deadline, "the bare server did not start"
                time.sleep(0.05)
        yield psutil.Process(process.pid), port
    finally:
        process.terminate()
        process.wait(10)


def _get(port: int) -> None:
    """As our client does it: a connection a call."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        assert connection.getresponse().read()
    finally:
        connection.close()


def _ledger(folder: Path) -> Figure:
    from nbplat.adapters.store import open_store
    from nbplat.clock import SystemClock

    store = open_store(state_folder(str(folder)), clock=SystemClock())
    bare = sqlite3.connect(folder / "bare.db", isolation_level=None)
    bare.execute("pragma journal_mode=wal")
    bare.execute("pragma synchronous=normal")
    bare.execute("create table unit (scope text, id integer, state text, primary key (scope, id))")
    scopes = iter(range(1_000_000))

    def ours() -> Cost:
        scope = f"bench@{next(scopes)}/stage"
        store.plan_units(scope, [f"{n:05d}" for n in range(_UNITS)])
        return _each(lambda: _claim_and_finish(store, scope))

    def plain() -> Cost:
        scope = f"bench@{next(scopes)}"
        bare.execute("begin immediate")
        bare.executemany("insert into unit values (?, ?, 'pending')", [(scope, n) for n in range(_UNITS)])
        bare.execute("commit")
        return _each(lambda: _claim_and_finish_bare(bare, scope))

    try:
        unit, floor = medians(ours, plain)
    finally:
        store.close()
        bare.close()
    return Figure(
        "ledger: claim and finish of one unit on SQLite",
        unit.wall_s * 1000,
        "ms",
        1.0,
        "lower",
        f"two bare SQLite transactions, without fence and event ({floor})",
        unit.cpu_s,
        unit.wall_s,
    )


def _each(work: Callable[[], None]) -> Cost:
    cost = cost_of(work)
    return Cost(cost.wall_s / _UNITS, cost.cpu_s / _UNITS)


def _claim_and_finish(store: Any, scope: str) -> None:
    while claimed := store.claim_units(scope, "bench/1", limit=1, lease_ms=60_000, max_attempts=3):
        [unit] = claimed
        assert store.finish_unit(scope, unit.id, unit.fence, {"rows": 1})


def _claim_and_finish_bare(db: sqlite3.Connection, scope: str) -> None:
    for number in range(_UNITS):
        for state in ("leased", "done"):
            db.execute("begin immediate")
            db.execute("select min(id) from unit where scope = ? and id = ?", (scope, number)).fetchone()
            db.execute("update unit set state = ? where scope = ? and id = ?", (state, scope, number))
            db.execute("commit")
