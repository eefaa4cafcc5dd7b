"""Durable jobs by real processes: killed, cancelled, crashed, stopped, and gone on with."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from nbplat.adapters.store import open_store
from nbplat.clock import SystemClock
from nbplat.config import Config
from nbplat.job import JobStore
from nbplat.service.discovery import service_lock, worker_lock
from nbplat.service.lock import holder_of
from nbplat.ui.client import ServiceClient, find_or_start, stop_service
from tests.fixtures.service import TOY, processes_of
from tests.fixtures.toy_jobs import lives, queue, spawned
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def store(service_config: Config) -> Iterator[JobStore]:
    opened = open_store(service_config, clock=SystemClock())
    yield opened
    opened.close()


def counted(config: Config) -> Counter[str]:
    path = config.home / "counted.txt"
    return Counter(path.read_text().split()) if path.exists() else Counter()


def once_each(total: int) -> Counter[str]:
    return Counter(f"u{n:03d}" for n in range(total))


def worker_pid(config: Config) -> int:
    return int(wait_until(lambda: (holder_of(worker_lock(config)) or {}).get("pid"), what="a worker"))


def test_a_job_survives_kills_of_its_worker(service_config: Config, store: JobStore, toy_client: ServiceClient) -> None:
    """After kill -9 of the worker in mid-job another goes on under a higher fence; each unit counts once."""
    job_id = queue(service_config, store, "toy.count", n=60)
    for seen in (5, 25):
        wait_until(lambda seen=seen: len(counted(service_config)) >= seen, what=f"{seen} units")  # type: ignore[misc]
        os.kill(worker_pid(service_config), signal.SIGKILL)
    job = toy_client.wait_job(job_id, timeout_s=30)
    assert ("succeeded", {"done": 60}, 3) == (job["state"], job["result"], job["fence"])
    assert once_each(60) == counted(service_config)
    assert toy_client.get("/api/v1/runs/toy/toy@1")["state"] == "staged"


def test_a_job_survives_kills_of_the_service(
    service_config: Config, store: JobStore, toy_client: ServiceClient
) -> None:
    """kill -9 of the service at random moments: the next call finds it on the same address, and the job ends."""
    moments = random.Random(7)  # noqa: S311
    address = (toy_client.url, worker_pid(service_config))
    job_id = queue(service_config, store, "toy.count", n=150)
    for _ in range(3):
        goal = min(150, len(counted(service_config)) + moments.randint(1, 12))
        wait_until(lambda goal=goal: len(counted(service_config)) >= goal, what="progress")  # type: ignore[misc]
        os.kill(int((holder_of(service_lock(service_config)) or {})["pid"]), signal.SIGKILL)
        assert toy_client.get(f"/api/v1/jobs/{job_id}")["id"] == job_id
    job = toy_client.wait_job(job_id, timeout_s=30)
    assert ("succeeded", 1) == (job["state"], job["attempts"])
    assert once_each(150) == counted(service_config)
    assert address == (toy_client.url, worker_pid(service_config))


def test_stop_gives_the_job_back_and_the_next_start_ends_it(
    service_config: Config, store: JobStore, toy_client: ServiceClient
) -> None:
    """A graceful stop leaves no process and a queued job; the next start goes on with it."""
    job_id = queue(service_config, store, "toy.count", n=40)
    wait_until(lambda: len(counted(service_config)) >= 3, what="3 units")
    assert stop_service(service_config)
    assert [] == processes_of(service_config)
    assert store.job(job_id).state == "queued"
    assert not stop_service(service_config)
    find_or_start(service_config, factory=TOY)
    assert toy_client.wait_job(job_id, timeout_s=30)["state"] == "succeeded"
    assert once_each(40) == counted(service_config)


def test_a_worker_of_other_settings_is_replaced(service_config: Config, toy_client: ServiceClient) -> None:
    """A service that finds a worker of an earlier one with other settings gets one of its own."""
    before = worker_pid(service_config)
    os.kill(int((holder_of(service_lock(service_config)) or {})["pid"]), signal.SIGKILL)
    find_or_start(replace(service_config, threads=1), factory=TOY)
    wait_until(lambda: (holder_of(worker_lock(service_config)) or {}).get("pid", before) != before, what="another")


def test_the_whole_tree_ends_with_its_worker(
    service_config: Config, store: JobStore, toy_client: ServiceClient
) -> None:
    """The worker's death ends what a step started: deaf to SIGTERM, in another session, all of it."""
    job_id = queue(service_config, store, "toy.spawn")
    pids = wait_until(lambda: spawned(toy_client, job_id), what="two children of the step")
    for lock in (service_lock, worker_lock):
        os.kill(int((holder_of(lock(service_config)) or {})["pid"]), signal.SIGKILL)
    wait_until(lambda: not any(map(lives, pids)), what="the end of the tree")
    toy_client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert toy_client.wait_job(job_id, timeout_s=20)["state"] == "cancelled"
