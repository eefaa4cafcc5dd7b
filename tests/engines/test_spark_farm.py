"""Tasks on Spark: results as they end, what a worker lost or raised is told, inner packages are shipped."""

from __future__ import annotations

import os
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.spark.farm import SparkFarm
from nbplat.remote.failure import KernelError
from tests.fixtures.engines import SharedHost

pytestmark = [pytest.mark.jvm, pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning")]


def silent(line: str) -> None:
    pass


def test_each_task_is_one_job_and_its_error_is_a_result(shared_host: Callable[[], SharedHost]) -> None:
    """What a task raises and what a killed worker took are records beside the results of the others."""

    def work(task: Any) -> dict[str, Any]:
        if task["unit"] == "1":
            raise KernelError("some.code", "it went wrong", fix="mend it")
        if task["unit"] == "2":
            os.kill(os.getpid(), signal.SIGKILL)
        return {"unit": task["unit"], "bytes": len(task["data"])}

    farm = SparkFarm(shared_host(), say=silent)
    pulled: list[int] = []
    ended = 0

    def tasks() -> Iterator[Any]:
        for number in range(5):
            pulled.append(number)
            assert len(pulled) <= ended + farm.slots
            yield {"unit": str(number), "fence": 4, "data": b"\0\1"}

    found = {}
    for result in farm.run(work, tasks()):
        ended += 1
        found[result["unit"]] = result
    assert [{"unit": unit, "bytes": 2} for unit in ("0", "3", "4")] == [found[unit] for unit in ("0", "3", "4")]
    assert ("some.code", 4) == (found["1"]["error"]["code"], found["1"]["fence"])
    assert ("spark.job", 4) == (found["2"]["error"]["code"], found["2"]["fence"])


def test_executors_are_given_the_packages_inside_the_bundle(shared_host: Callable[[], SharedHost]) -> None:
    """The zip on a worker's path holds the modules of packages inside `nbplat.remote`."""

    def work(task: Any) -> dict[str, Any]:
        import sys

        return {"unit": "0", "bundles": [path for path in sys.path if "/remote-" in path]}

    [found] = SparkFarm(shared_host(), say=silent).run(work, iter([{"unit": "0", "fence": 1}]))
    assert [] != found["bundles"]
    with zipfile.ZipFile(found["bundles"][0]) as archive:
        assert "nbplat/remote/sequence/events.py" in archive.namelist()


def test_closing_the_results_waits_for_what_is_under_way(shared_host: Callable[[], SharedHost], tmp_path: Path) -> None:
    """Whoever stops asking gets control back when no task of theirs works any more."""

    def held(task: Any) -> dict[str, Any]:
        import threading
        import time
        from pathlib import Path

        if task["unit"] == "1":
            folder, limit = Path(task["folder"]), time.monotonic() + 30
            while not (folder / "go").exists() and time.monotonic() < limit:
                threading.Event().wait(0.02)
            (folder / "over").touch()
        return {"unit": task["unit"]}

    tasks = iter([{"unit": str(n), "fence": 1, "folder": str(tmp_path)} for n in range(9)])
    results = SparkFarm(shared_host(), say=silent).run(held, tasks)
    assert "0" == next(results)["unit"]
    threading.Timer(0.1, (tmp_path / "go").touch).start()
    results.close()  # type: ignore[attr-defined]
    assert (tmp_path / "over").exists()
