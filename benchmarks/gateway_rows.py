"""A million rows out of a session as Arrow: what they cost, and how far memory grows on the way."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.measure import Figure
from benchmarks.start import state_folder

if TYPE_CHECKING:
    from nbplat.ui.python_session import Session

__all__ = ["measure_rows"]

_ROWS = 1_000_000
_GOAL_PAGES = 3.0
_QUERY = "SELECT id, id * 1.5D AS x, CAST(id AS STRING) AS s, timestamp_seconds(id) AS t FROM range(0, {rows}, 1, 8)"
_WHOLE = "import pyarrow as pa\nwhole = spark.sql({query!r}).toArrow()\nwhole.num_rows"
_EVERY_S = 0.02


def measure_rows() -> list[Figure]:
    """Figures of one session on this machine; Java and pyspark are needed."""
    from nbplat.remote.driver.arrow_pages import PAGE_BYTES
    from nbplat.ui.client import find_or_start, stop_service
    from nbplat.ui.python_session import session
    from nbplat.ui.session_desk import SessionDesk

    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
        config = state_folder(folder)
        try:
            client = find_or_start(config)
            with session("rows", desk=SessionDesk(client, config)) as opened:
                return _figures(opened, client.get("/api/v1/status")["service"]["pid"], PAGE_BYTES)
        finally:
            stop_service(config)


def _figures(opened: Session, service: int, page_bytes: int) -> list[Figure]:
    query = _QUERY.format(rows=_ROWS)
    pids = opened.run("import os\nos.getpid(), spark.sparkContext._gateway.proc.pid", quiet=True).text
    driver, jvm = (psutil.Process(int(text)) for text in pids.strip("()").split(","))
    watched = {"driver": driver, "jvm": jvm, "service": psutil.Process(service)}
    # Libraries, classes and the first of everything.
    _taken(opened, _QUERY.format(rows=_ROWS // 5))
    with _growth(watched) as pages:
        began = time.perf_counter()
        rows, size, count = _taken(opened, query)
        wall_s = time.perf_counter() - began
    with _growth(watched) as whole:
        opened.run(_WHOLE.format(query=query), quiet=True)
    assert rows == _ROWS
    what = f"{_ROWS:,} rows, {size / 1e6:.0f} MB in {count} pages of {page_bytes >> 20} MiB"
    figures = [
        Figure(
            f"{what}: growth of the {name}, in pages",
            pages[key] / page_bytes,
            "pages",
            goal,
            "lower",
            f"toArrow() of the same rows in one piece ({whole[key] / page_bytes:.1f} pages)",
            pages["cpu_s"],
            wall_s,
        )
        for key, name, goal in (
            ("driver", "driver's Python", _GOAL_PAGES),
            ("service", "service", _GOAL_PAGES),
            ("jvm", "driver's JVM, within its heap", None),
        )
    ]
    return [
        *figures,
        Figure(
            "a million rows by Arrow, query to the last row here",
            size / 1e6 / wall_s,
            "MB/s",
            None,
            "higher",
            f"{wall_s:.2f} s in all",
            pages["cpu_s"],
            wall_s,
        ),
    ]


def _taken(opened: Session, query: str) -> tuple[int, int, int]:
    """Rows, bytes and pages of a query, read batch by batch here."""
    rows = sum(batch.num_rows for batch in opened.batches(query))
    found = opened.statements(limit=1)[0]["output"]["data"]["application/vnd.nbplat.rows.v1+json"]
    return rows, int(found["bytes"]), len(found["pages"])


@contextlib.contextmanager
def _growth(watched: Mapping[str, psutil.Process]) -> Iterator[dict[str, Any]]:
    """By how many bytes each grew at its peak, and the CPU seconds of all."""
    before = {name: process.memory_info().rss for name, process in watched.items()}
    spent = _cpu_s(watched)
    found: dict[str, Any] = dict.fromkeys(watched, 0)
    done = threading.Event()

    def look() -> None:
        while not done.wait(_EVERY_S):
            for name, process in watched.items():
                found[name] = max(found[name], process.memory_info().rss - before[name])

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()
        found["cpu_s"] = _cpu_s(watched) - spent


def _cpu_s(watched: Mapping[str, psutil.Process]) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in watched.values()))


if __name__ == "__main__":
    from benchmarks.measure import report

    report(measure_rows())
