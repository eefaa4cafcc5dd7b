"""When the processes of a session are looked at; that too many are ended is shown on a real driver."""

from __future__ import annotations

import pytest

from nbplat.remote.driver import process_guard
from nbplat.remote.driver.process_guard import ProcessGuard
from tests.fixtures.waiting import wait_until


def test_a_short_statement_looks_at_no_process_until_there_are_many_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """To look at each process costs more than a short cell; what several cells left together is found all the same."""
    tasks, asked, looks = [100], [], []

    def count() -> int:
        asked.append(tasks[0])
        return tasks[0]

    def look() -> set[int]:
        looks.append(tasks[0])
        return set()

    monkeypatch.setattr(process_guard, "_EVERY_S", 600.0)
    monkeypatch.setattr(process_guard, "_tasks", count)
    monkeypatch.setattr(process_guard, "processes_of_session", look)
    guard = ProcessGuard(set, lambda *_: None)
    wait_until(lambda: asked, what="it has begun")
    for here in (100, 90, 300, 341):
        tasks[0], before = here, len(asked)
        guard.begin(1000)
        wait_until(lambda before=before: len(asked) > before, what="it asks")  # type: ignore[misc]
        guard.end()
    wait_until(lambda: looks, what="a look")
    assert [341] == looks
