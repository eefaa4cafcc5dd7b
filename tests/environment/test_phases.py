"""Phases of long work become one progress that never goes back, and a line in the log when each ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbplat.environment.phases import SHARES, PhaseReport, phase_text
from nbplat.environment.ports import Phase
from nbplat.environment.states import EnvironmentStep
from nbplat.terms import Progress
from nbplat.testing.clock import FakeClock


def test_bytes_and_rate_of_what_is_under_way_are_told() -> None:
    """While packages are fetched the progress says how many bytes of how many, and how fast."""
    clock, shown, logged = FakeClock(), list[Progress](), list[str]()
    report = PhaseReport({"fetch": 600, "install": 400}, shown.append, logged.append, clock)

    report(Phase("fetch", 0, 80_000_000))
    clock.advance(4.0)
    report(Phase("fetch", 40_000_000, 80_000_000, what="numpy"))
    assert Progress(300, 1000, "‰", "fetch 40.0 MB of 80.0 MB 10.0 MB/s numpy") == shown[-1]
    clock.advance(4.0)
    report(Phase("fetch", 80_000_000, 80_000_000))
    report(Phase("install", 9, 18, "packages", "scipy"))
    assert Progress(800, 1000, "‰", "install 9/18 packages scipy") == shown[-1]
    report.finish()

    assert Progress(1000, 1000, "‰") == shown[-1]
    assert ["fetch 80.0 MB in 8.0 s, 10.0 MB/s", "install 9/18 packages in 0.0 s"] == logged


def test_a_long_phase_is_told_in_the_log_from_time_to_time() -> None:
    """Who reads the log of a slow download sees that it goes on."""
    clock, logged = FakeClock(), list[str]()
    report = PhaseReport({"fetch": 1000}, lambda progress: None, logged.append, clock)
    for done in range(7):
        report(Phase("fetch", done * 1000, 0))
        clock.advance(10.0)

    assert ["fetch 2.0 kB 100 B/s", "fetch 4.0 kB 100 B/s", "fetch 6.0 kB 100 B/s"] == logged


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", "other"]), st.integers(0, 50), st.integers(0, 50))))
def test_progress_never_goes_back(phases: list[tuple[str, int, int]]) -> None:
    """Whatever comes in whatever order, `done` grows and stays within the whole."""
    shown = list[Progress]()
    report = PhaseReport({"a": 300, "b": 300, "c": 400}, shown.append, lambda line: None, FakeClock())
    for name, done, total in phases:
        report(Phase(name, done, total))
    report.finish()

    done = [progress.done for progress in shown]
    assert sorted(done) == done
    assert all(0 <= each <= 1000 for each in done)


def test_every_step_has_its_shares() -> None:
    """The phases of each job add up to the whole."""
    assert {step.value for step in EnvironmentStep} == set(SHARES)
    assert {1000} == {sum(shares.values()) for shares in SHARES.values()}


@pytest.mark.parametrize(
    ("phase", "text"),
    [
        (Phase("solve"), "solve"),
        (Phase("solve", what="linux-64"), "solve linux-64"),
        (Phase("fetch", 999), "fetch 999 B 500 B/s"),
        (Phase("wait", what="pid 7 builds ranker"), "wait pid 7 builds ranker"),
        (Phase("verify", 3, unit="files"), "verify 3 files"),
    ],
)
def test_a_phase_in_words(phase: Phase, text: str) -> None:
    """Nothing is said that is not known."""
    assert text == phase_text(phase, 2.0)
