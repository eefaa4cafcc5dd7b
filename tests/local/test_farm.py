"""The farm of this process: as many tasks at once as there are slots, pulled only when one is free."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from nbplat.adapters.local.farm import LocalFarm, local_slots
from nbplat.remote.failure import KernelError

Task = dict[str, Any]


def task(number: int) -> Task:
    return {"unit": str(number), "fence": 1}


def test_every_slot_is_busy_and_no_task_is_pulled_before_its_time() -> None:
    """Two tasks run side by side, and a third is pulled once one of them has ended."""
    both = threading.Barrier(2, timeout=20)
    pulled: list[int] = []
    ended: list[int] = []

    def tasks() -> Iterator[Task]:
        for number in range(4):
            assert number - len(ended) < 2
            pulled.append(number)
            yield task(number)

    def work(piece: Task) -> Task:
        if int(piece["unit"]) < 2:
            both.wait()
        return piece

    for result in LocalFarm(2).run(work, tasks()):
        ended += [int(result["unit"])]
    assert ([0, 1, 2, 3], [0, 1, 2, 3]) == (pulled, sorted(ended))


def test_what_a_task_raises_is_its_result() -> None:
    """One task's error is a record beside the results of the others."""

    def work(piece: Task) -> Task:
        if piece["unit"] == "1":
            raise KernelError("some.code", "it went wrong", fix="mend it")
        return {"unit": piece["unit"], "rows": 3}

    found = {result["unit"]: result for result in LocalFarm(2).run(work, map(task, range(3)))}
    assert {"unit": "0", "rows": 3} == found["0"]
    assert {"unit": "2", "rows": 3} == found["2"]
    assert (1, "some.code", "") == (found["1"]["fence"], found["1"]["error"]["code"], found["1"]["error"]["where"])


def test_closing_the_results_waits_for_what_is_under_way() -> None:
    """Whoever stops asking gets control back when no thread works any more."""
    go, over = threading.Event(), threading.Event()

    def work(piece: Task) -> Task:
        if piece["unit"] == "1":
            go.wait(20)
            over.set()
        return piece

    results = LocalFarm(2).run(work, map(task, range(9)))
    assert "0" == next(results)["unit"]
    threading.Timer(0.05, go.set).start()
    results.close()  # type: ignore[attr-defined]
    assert over.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("nbplat-work")]


def test_what_ends_a_process_is_raised_once_the_others_have_ended() -> None:
    """Ctrl-C in one task reaches the caller, and no thread is left working."""
    over = threading.Event()

    def work(piece: Task) -> Task:
        if piece["unit"] == "0":
            raise KeyboardInterrupt
        over.set()
        return piece

    with pytest.raises(KeyboardInterrupt):
        list(LocalFarm(2).run(work, map(task, range(2))))
    assert over.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("nbplat-work")]


@pytest.mark.parametrize(
    ("threads", "memory_bytes", "slots"), [(8, 2 << 30, 8), (64, 2 << 30, 16), (4, 1, 1), (1, 8 << 30, 1)]
)
def test_slots_follow_threads_and_memory(threads: int, memory_bytes: int, slots: int) -> None:
    """Each slot has memory to work in; there is always one."""
    assert slots == local_slots(threads, memory_bytes)
