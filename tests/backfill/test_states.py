"""The table of run states, and what the end of a job makes of a run."""

from __future__ import annotations

import pytest

from nbplat.backfill.explain import next_step
from nbplat.backfill.states import AFTER_JOB, DONE, LIVE_STATES, MOVES, STEPS, RunState, Step
from nbplat.job import JobState

END = {RunState.EXPIRED}


def test_every_state_has_its_moves() -> None:
    """The table is total and names known states only."""
    assert set(RunState) == set(MOVES)
    assert set().union(*MOVES.values()) <= set(RunState)


def test_every_state_is_reached_from_planned() -> None:
    """No state is dead: each can be reached by allowed moves."""
    reached, edge = {RunState.PLANNED}, {RunState.PLANNED}
    while edge:
        edge = set().union(*(MOVES[state] for state in edge)) - reached
        reached |= edge
    assert set(RunState) == reached


def test_nothing_leaves_an_end_state() -> None:
    """Only expired runs are over for good; every other state has a way on."""
    assert END == {state for state, after in MOVES.items() if not after}


def test_no_state_moves_to_itself() -> None:
    """Staying is not a move."""
    assert [] == [state for state, after in MOVES.items() if state in after]


@pytest.mark.parametrize("step", list(Step))
def test_steps_keep_to_the_table(step: Step) -> None:
    """What a step does to a run, its begin, end and failure, are moves of the table."""
    starts, doing = STEPS[step]
    assert all(doing in MOVES[start] for start in starts)
    assert DONE[step] in MOVES[doing]
    for state in (JobState.FAILED, JobState.CANCELLED):
        back = AFTER_JOB[step, state]
        assert (starts if back is None else {back}) <= MOVES[doing]


def test_every_failed_or_cancelled_job_says_what_becomes_of_its_run() -> None:
    """The table of job ends is total: every step, failed or cancelled, and nothing else."""
    expected = {(step, state) for step in Step for state in (JobState.FAILED, JobState.CANCELLED)}
    assert expected == set(AFTER_JOB)
    assert set(Step) == set(STEPS) == set(DONE)


def test_a_run_that_is_over_is_not_attached_to() -> None:
    """Rejected, rolled back, superseded and expired runs are history for an equal cell."""
    over = {S for S in RunState if S.value in ("rejected", "rolling_back", "rolled_back", "superseded", "expired")}
    assert set(RunState) - over == LIVE_STATES


@pytest.mark.parametrize("state", list(RunState))
@pytest.mark.parametrize("job", [JobState.QUEUED, JobState.RUNNING])
def test_a_run_whose_job_lives_goes_on_by_itself(state: RunState, job: JobState) -> None:
    """Whatever the run's state: nobody is told to run the cell again, to promote or to roll back meanwhile."""
    assert "it goes on by itself; `%backfill attach spend@1` follows it" == next_step(state, "spend@1", job)


@pytest.mark.parametrize("state", list(RunState))
def test_a_run_whose_job_is_paused_is_resumed(state: RunState) -> None:
    """It stays paused until somebody says so."""
    assert next_step(state, "spend@1", JobState.PAUSED).startswith("`%backfill resume spend@1` lets it go on")


def test_a_run_without_a_job_waits_for_a_person() -> None:
    """A planned run is asked for again, a staged one is judged again; what is over has no next step."""
    assert "run the cell again, or `%backfill retry spend@1`" == next_step("planned", "spend@1")
    assert next_step("staged", "spend@1").startswith("`%backfill audit spend@1` judges it")
    over = {RunState.ROLLED_BACK, RunState.SUPERSEDED, RunState.EXPIRED}
    assert over == {state for state in RunState if not next_step(state, "spend@1")}
