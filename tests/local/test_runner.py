"""The local runner: as many pieces at once as there are slots, pulled only when one is free."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from nbplat.adapters.local.runner import LocalRunner, local_slots
from nbplat.remote.task import Task


def task(number: int) -> Task:
    return {"run": str(number)}  # type: ignore[typeddict-item]


def test_every_slot_is_busy_and_no_piece_is_pulled_before_its_time() -> None:
    """Two pieces run side by side, and a third is pulled once one of them has ended."""
    both = threading.Barrier(2, timeout=20)
    pulled: list[int] = []
    ended: list[int] = []

    def tasks() -> Iterator[Task]:
        for number in range(4):
            assert number - len(ended) < 2
            pulled.append(number)
            yield task(number)

    def work(piece: Task) -> list[dict[str, Any]]:
        if int(piece["run"]) < 2:
            both.wait()
        return [{"unit": piece["run"]}]

    for [result] in LocalRunner(2, work).run(tasks()):
        ended += [int(result["unit"])]
    assert ([0, 1, 2, 3], [0, 1, 2, 3]) == (pulled, sorted(ended))


def test_what_ends_a_process_is_raised_once_the_others_have_ended() -> None:
    """Ctrl-C in one piece reaches the caller, and no thread is left working."""
    over = threading.Event()

    def work(piece: Task) -> list[dict[str, Any]]:
        if piece["run"] == "0":
            raise KeyboardInterrupt
        over.set()
        return []

    with pytest.raises(KeyboardInterrupt):
        list(LocalRunner(2, work).run(iter([task(0), task(1)])))
    assert over.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("nbplat-stage")]


@pytest.mark.parametrize(
    ("threads", "memory_bytes", "slots"), [(8, 2 << 30, 8), (64, 2 << 30, 16), (4, 1, 1), (1, 8 << 30, 1)]
)
def test_slots_follow_threads_and_memory(threads: int, memory_bytes: int, slots: int) -> None:
    """Each slot has memory to work in; there is always one."""
    assert slots == local_slots(threads, memory_bytes)
