"""The life of a run with its ledger in PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbplat.backfill.states import RunState
from tests.fixtures.lakehouse import Lake

pytestmark = pytest.mark.postgres

DOUBLED = "select id, x * 2 as doubled from base"


def test_a_run_lives_and_ends_with_its_ledger_in_postgresql(tmp_path: Path, postgres_url: str) -> None:
    """Stage, audit, promote and roll back give the same as with SQLite."""
    lake = Lake(tmp_path / "home", **{"store.url": postgres_url})
    try:
        lake.make_shop()
        before = lake.rows()
        run_id = lake.stage("doubled", DOUBLED)
        assert RunState.AWAITING_PROMOTION == lake.state(run_id)
        lake.promote(run_id)
        after = lake.rows()
        assert (before["x"].fillna(0) * 2).tolist() == after["doubled"].fillna(0).tolist()
        lake.roll_back(run_id)
        assert before.equals(lake.rows())
        assert not (tmp_path / "home" / "store.db").exists()
    finally:
        lake.close()
