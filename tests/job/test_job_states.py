"""The table of job states, and the ledger against a model of it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nbplat.adapters.store import open_store
from nbplat.config import load_config
from nbplat.errors import Conflict
from nbplat.job import END_STATES, JobDraft, JobState, check_move
from nbplat.job.states import MOVES
from nbplat.terms import Progress
from nbplat.testing import FakeClock


@given(st.sampled_from(JobState), st.sampled_from(JobState))
def test_only_moves_of_the_table_are_allowed(before: JobState, after: JobState) -> None:
    """A move is allowed exactly when the table names it, and nothing leaves an end."""
    if after in MOVES[before]:
        assert before not in END_STATES
        check_move("j000001", before, after)
    else:
        with pytest.raises(Conflict):
            check_move("j000001", before, after)


def test_every_state_can_be_reached_and_ended() -> None:
    """No state is missing from the table; every live one leads to an end."""
    assert set(JobState) == set(MOVES)
    for state in JobState:
        reached, front = {state}, {state}
        while front:
            front = {after for before in front for after in MOVES[before]} - reached
            reached |= front
        assert reached & END_STATES


class LedgerMachine(RuleBasedStateMachine):
    """One job under random workers, lapses and cancels: whatever happens, its state and fence obey the table."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="nbplat-ledger-"))
        self.clock = FakeClock()
        config = load_config({"home": str(self.folder)}, environ={}, cwd=self.folder, user_file=self.folder / "none")
        self.store = open_store(config, clock=self.clock, file_system=lambda _: "ext4")
        self.id = self.store.submit(JobDraft("toy.step", "toy@1"), kind_of_run="toy", owner="ann")[0].id
        self.state, self.fence, self.done, self.until = JobState.QUEUED, 0, 0, 0

    @rule(seconds=st.sampled_from([1, 9, 10, 60]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def claim(self) -> None:
        free = self.state is JobState.QUEUED
        lapsed = self.state is JobState.RUNNING and self.clock.now_ms() >= self.until
        job = self.store.claim_job("w", lease_ms=10_000)
        assert (free or lapsed) == (job is not None)
        if job is not None:
            self.state, self.fence, self.until = JobState.RUNNING, self.fence + 1, self.clock.now_ms() + 10_000

    @rule(back=st.integers(0, 2), end=st.sampled_from(sorted(END_STATES)))
    def finish(self, back: int, end: JobState) -> None:
        if self.state is JobState.RUNNING and back == 0:
            self.store.finish_job(self.id, self.fence, end)
            self.state = end
        else:
            with pytest.raises(Conflict):
                self.store.finish_job(self.id, self.fence - back, end)

    @rule(back=st.integers(0, 1), done=st.integers(0, 9))
    def report(self, back: int, done: int) -> None:
        if self.state is JobState.RUNNING and back == 0:
            self.store.report(self.id, self.fence, Progress(done, 9))
            self.done = max(self.done, done)
        else:
            with pytest.raises(Conflict):
                self.store.report(self.id, self.fence - back, Progress(done, 9))

    @rule(back=st.integers(0, 1))
    def release(self, back: int) -> None:
        self.store.release_job(self.id, self.fence - back)
        if self.state is JobState.RUNNING and back == 0:
            self.state = JobState.QUEUED

    @precondition(lambda self: self.fence > 1)
    @rule()
    def cancel(self) -> None:
        self.store.request_cancel(self.id)
        if self.state is JobState.QUEUED:
            self.state = JobState.CANCELLED

    @invariant()
    def the_ledger_agrees(self) -> None:
        job = self.store.job(self.id)
        assert (self.state, self.fence, self.done) == (job.state, job.fence, job.progress.done)
        assert (self.state in END_STATES) == (job.ended_ms is not None)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


LedgerMachine.TestCase.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLedger = LedgerMachine.TestCase
