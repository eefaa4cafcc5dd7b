"""Pieces of staging as Ray tasks: bounded in flight, a dead worker's files told, nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.ray import runner as ray_runner
from nbplat.adapters.ray.cluster import RaySettings, check_answers, cluster, is_here
from nbplat.adapters.ray.runner import RayRunner
from nbplat.errors import RemoteError, SetupError


def settings(address: str = "") -> RaySettings:
    return RaySettings(address, threads=2, memory_bytes=1 << 30, bundle=lambda: "")


def task(number: int, folder: Path) -> Any:
    return {"files": [{"unit": f"{number:05d}", "fence": 1, "path": f"file:///{number}"}], "folder": str(folder)}


@pytest.mark.ray
def test_a_dead_worker_is_tried_once_more_and_then_told(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A piece whose worker dies twice ends as the error of its files; a second try that lives counts."""

    def deadly(task: Any) -> list[dict[str, Any]]:
        unit = task["files"][0]["unit"]
        tries = os.path.join(task["folder"], unit)  # noqa: PTH118 - runs in a worker
        with open(tries, "a") as file:  # noqa: PTH123
            file.write("x")
        if unit == "00001" or (unit == "00002" and os.path.getsize(tries) == 1):  # noqa: PTH202
            os.kill(os.getpid(), signal.SIGKILL)
        return [{"unit": unit, "fence": 1, "file": {}}]

    monkeypatch.setattr(ray_runner, "stage", deadly)
    runner = RayRunner(settings(), say=lambda line: None)
    results = runner.run(task(n, tmp_path) for n in range(4))
    found = {part["unit"]: part for piece in results for part in piece}

    assert ["00000", "00001", "00002", "00003"] == sorted(found)
    assert "ray.worker" == found["00001"]["error"]["code"]
    assert "file:///1" == found["00001"]["error"]["where"]
    assert all("file" in found[unit] for unit in ("00000", "00002", "00003"))
    assert 2 == (tmp_path / "00001").stat().st_size


@pytest.mark.ray
def test_no_more_tasks_are_pulled_than_there_are_slots(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A task is taken from the iterator only when a CPU is free for it."""
    monkeypatch.setattr(ray_runner, "stage", lambda task: [{"unit": task["files"][0]["unit"]}])
    runner = RayRunner(settings(), say=lambda line: None)
    pulled, ended = 0, 0

    def tasks() -> Iterator[Any]:
        nonlocal pulled
        for number in range(9):
            pulled += 1
            yield task(number, tmp_path)

    for _ in runner.run(tasks()):
        ended += 1
        assert pulled <= ended + runner.slots
    assert (9, 9) == (pulled, ended)


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
