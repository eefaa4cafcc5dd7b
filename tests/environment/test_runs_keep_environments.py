"""Backfills under way keep the environments that they were planned in."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbplat.backfill.states import KIND, LIVE_STATES, RunState
from nbplat.clock import SystemClock
from nbplat.compose import Platform
from nbplat.config import load_config
from nbplat.errors import Conflict
from nbplat.job import RunDraft


def _draft(name: str, state: RunState, key: str) -> RunDraft:
    python = {"environment": {"name": "ranker", "key": key}} if key else None
    return RunDraft(
        kind=KIND,
        name=name,
        identity=name,
        state=state,
        live_states=LIVE_STATES,
        spec={},
        plan={"python": python},
        owner="",
    )


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """A state folder of the test's own."""
    config = load_config({"home": str(tmp_path)}, environ={}, cwd=tmp_path, user_file=tmp_path / "none")
    return Platform(config, SystemClock())


def test_runs_under_way_need_their_environment(platform: Platform) -> None:
    """Staged and running runs are named by key; finished ones and those without an environment are not."""
    for draft in (
        _draft("waiting", RunState.AWAITING_PROMOTION, "a" * 64),
        _draft("staging", RunState.STAGING, "a" * 64),
        _draft("done", RunState.PROMOTED, "b" * 64),
        _draft("gone", RunState.EXPIRED, "c" * 64),
        _draft("sql", RunState.STAGED, ""),
    ):
        platform.store.open_run(draft)
    found = platform.environments.needed()
    assert {"a" * 64} == set(found)
    assert ["staging@1 is staging in it", "waiting@1 is awaiting_promotion in it"] == sorted(found["a" * 64])


def test_nothing_is_removed_while_something_is_built(platform: Platform) -> None:
    """Asked for by a person, the sweep refuses at once and says when to come back."""
    environments = platform.environments
    with environments.store.in_use(), pytest.raises(Conflict) as caught:
        environments.gc(dry_run=False)
    assert "env.busy" == caught.value.code
    assert environments.gc(dry_run=False).done
