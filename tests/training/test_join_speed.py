"""How long a plan takes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.training_data import metadata_only
from nbplat.training.join import JoinSpec, Stage, explain_join, plan_join
from tests.fixtures.lakehouse import Lake


@pytest.mark.parametrize("counts", [(1024, 1024, 512)])
def test_a_thousand_buckets_of_three_tables_are_planned_in_seconds(
    tmp_path: Path, counts: tuple[int, int, int]
) -> None:
    """From metadata alone, hash and text included; CPU seconds, since who else is on the machine does not count."""
    lake = Lake(tmp_path / "home")
    for name, value, buckets in zip(("m.base", "m.a", "m.b"), ("x", "a", "b"), counts, strict=True):
        metadata_only(lake.catalog, name, value, buckets=buckets)
    spec = JoinSpec("m.base", on=("id",), stage=(Stage("m.a"), Stage("m.b")))
    started = time.process_time()
    plan = plan_join(spec, lake.platform.join_source, lake.backfills)
    lines = explain_join(plan)
    taken = time.process_time() - started
    assert 1024 == len(plan.units)
    assert {1} == {len(side.files) for unit in plan.units for side in unit.sides}
    assert any("bucket[1024](id) from 512" in line for line in lines)
    assert taken <= 3
    lake.close()
