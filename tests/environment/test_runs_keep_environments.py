"""Backfills under way keep the environments that they were planned in."""

from __future__ import annotations

from pathlib import Path

from nbplat.backfill.states import KIND, LIVE_STATES, RunState
from nbplat.clock import SystemClock
from nbplat.compose import Platform
from nbplat.config import load_config
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


def test_runs_under_way_need_their_environment(tmp_path: Path) -> None:
    """Staged and running runs are named by key; finished ones and those without an environment are not."""
    platform = Platform(
        load_config({"home": str(tmp_path)}, environ={}, cwd=tmp_path, user_file=tmp_path / "none"), SystemClock()
    )
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
