"""Tasks on Ray: bounded in flight, a dead worker's tasks told, nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.ray.cluster import RaySettings, check_answers, cluster, is_here
from nbplat.adapters.ray.farm import RayFarm
from nbplat.backfill.pieces import Pieces
from nbplat.errors import RemoteError, SetupError
from nbplat.remote.failure import KernelError


def settings(address: str = "") -> RaySettings:
    return RaySettings(address, threads=2, memory_bytes=1 << 30, bundle=lambda: "")


def task(number: int, folder: Path) -> Any:
    return {"unit": f"{number:05d}", "fence": 1, "path": f"file:///{number}", "folder": str(folder)}


def deadly(task: Any) -> dict[str, Any]:
    unit = task["unit"]
    tries = os.path.join(task["folder"], unit)  # noqa: PTH118 - runs in a worker
    with open(tries, "a") as file:  # noqa: PTH123
        file.write("x")
    if unit == "00001" or (unit == "00002" and os.path.getsize(tries) == 1):  # noqa: PTH202
        os.kill(os.getpid(), signal.SIGKILL)
    if unit == "00003":
        raise KernelError("some.code", "it went wrong", fix="mend it")
    return {"unit": unit, "fence": 1, "file": {}}


def held(task: Any) -> dict[str, Any]:
    """The second task ends when it is told to."""
    import threading
    import time
    from pathlib import Path

    if task["unit"] == "00001":
        folder, limit = Path(task["folder"]), time.monotonic() + 30
        while not (folder / "go").exists() and time.monotonic() < limit:
            threading.Event().wait(0.02)
        (folder / "over").touch()
    return {"unit": task["unit"]}


@pytest.mark.ray
def test_a_dead_worker_is_tried_once_more_and_then_told(ray_cluster: None, tmp_path: Path) -> None:
    """A task whose worker dies twice ends as its error; a second try that lives counts; what is raised is told."""

    def work(task: Any) -> dict[str, Any]:
        return deadly(task)

    lines: list[str] = []
    farm = RayFarm(settings(), say=lines.append)
    found = {result["unit"]: result for result in farm.run(work, iter([task(n, tmp_path) for n in range(5)]))}

    assert ["00000", "00001", "00002", "00003", "00004"] == sorted(found)
    assert "ray.worker" == found["00001"]["error"]["code"]
    assert "file:///1" == found["00001"]["error"]["where"]
    assert "some.code" == found["00003"]["error"]["code"]
    assert all("file" in found[unit] for unit in ("00000", "00002", "00004"))
    assert 2 == (tmp_path / "00001").stat().st_size
    assert [] != [line for line in lines if line.startswith("Ray lost the task of 00001")]


@pytest.mark.ray
def test_the_files_of_a_lost_piece_fail_one_by_one(ray_cluster: None) -> None:
    """A backfill learns of each file of a piece whose worker died."""

    def killed(task: Any) -> list[dict[str, Any]]:
        os.kill(os.getpid(), signal.SIGKILL)
        return []

    files = [{"unit": unit, "fence": 2, "path": f"file:///{unit}"} for unit in ("a", "b")]
    pieces = Pieces(RayFarm(settings(), say=lambda line: None), killed)
    [results] = pieces.run(iter([{"files": files}]))  # type: ignore[typeddict-item]
    assert [("a", 2, "file:///a"), ("b", 2, "file:///b")] == [
        (result["unit"], result["fence"], result["error"]["where"]) for result in results
    ]


@pytest.mark.ray
def test_no_more_tasks_are_pulled_than_there_are_slots(ray_cluster: None, tmp_path: Path) -> None:
    """A task is taken from the iterator only when a CPU is free for it."""
    farm = RayFarm(settings(), say=lambda line: None)
    pulled, ended = 0, 0

    def tasks() -> Iterator[Any]:
        nonlocal pulled
        for number in range(9):
            pulled += 1
            yield task(number, tmp_path)

    def work(task: Any) -> Any:
        return {"unit": task["unit"]}

    for _ in farm.run(work, tasks()):
        ended += 1
        assert pulled <= ended + farm.slots
    assert (9, 9) == (pulled, ended)


@pytest.mark.ray
def test_closing_the_results_waits_for_what_is_under_way(ray_cluster: None, tmp_path: Path) -> None:
    """Whoever stops asking gets control back when no task of theirs works any more."""
    results = RayFarm(settings(), say=lambda line: None).run(held, iter([task(n, tmp_path) for n in range(9)]))
    assert "00000" == next(results)["unit"]
    threading.Timer(0.1, (tmp_path / "go").touch).start()
    results.close()  # type: ignore[attr-defined]
    assert (tmp_path / "over").exists()


def test_an_address_that_does_not_answer_is_told_at_once() -> None:
    """Ray itself would wait for most of a minute."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(RemoteError, match=rf"ray\.address.*{address}"):
        check_answers(address)


def test_without_ray_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing Ray is a matter of set-up."""
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"ray\.missing.*pip install 'nbplat\[ray\]'"), cluster(settings()):
        pass


@pytest.mark.parametrize(
    ("address", "here"),
    [("", True), ("auto", True), ("127.0.0.1:6379", True), ("ray://localhost:10001", True), ("head.far:6379", False)],
)
def test_a_cluster_on_this_machine_is_known_by_its_address(address: str, here: bool) -> None:
    """Only such a cluster's workers open this machine's files."""
    assert here == is_here(address)
