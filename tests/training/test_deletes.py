"""Training joins and sequences over real tables with delete files of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from nbplat.adapters.iceberg.join_source import IcebergJoinSource
from nbplat.training.join import JoinSpec, Stage, plan_join
from tests.fixtures.deletes import (
    add_deletion_vector,
    add_equality_deletes,
    add_position_deletes,
    add_shared_position_deletes,
)
from tests.fixtures.lakehouse import ORDERS, Lake, small_rows


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    """Orders with a label."""
    lake = Lake(tmp_path / "home")
    lake.make(ORDERS, small_rows(60).append_column("label", pa.array([n % 2 for n in range(60)], pa.int64())))
    yield lake
    lake.close()


def delete_some(lake: Lake) -> set[int]:
    """Delete rows by every kind of delete file; returns the ids that are gone."""
    spec = JoinSpec(ORDERS, columns=("id",), max_unit_bytes=1)
    with lake.platform.open_join(plan_join(spec, lake.platform.join_source, lake.backfills)) as opened:
        ids = {unit.files[0].path: opened.read(unit).table["id"].to_pylist() for unit in opened.plan.units}
    first, second, third, *_ = sorted(ids)
    add_position_deletes(lake.table(), first, [0, 4])
    add_deletion_vector(lake.table(), second, [1, 2])
    add_shared_position_deletes(lake.table(), {third: [3]}, bounds=False)
    add_equality_deletes(lake.table(), ["customer", "x"], [{"customer": 1, "x": None}])
    return {ids[first][0], ids[first][4], ids[second][1], ids[second][2], ids[third][3], 15, 50}


def test_the_training_join_leaves_deleted_rows_out(lake: Lake) -> None:
    """Rows deleted after staging are gone from the join, and each staged value stands in its own row."""
    run_id = lake.stage("twice", "SELECT id, x * 2 + id AS twice FROM base", keys=("id",))
    gone = delete_some(lake)

    spec = JoinSpec(ORDERS, stage=(Stage(run_id),), columns=("id", "label"))
    plan = plan_join(spec, IcebergJoinSource(lake.catalog), lake.backfills)
    assert {"aligned"} == {side.how for unit in plan.units for side in unit.sides}
    with lake.platform.open_join(plan) as opened:
        table = pa.Table.from_batches(opened.batches())

    left = [n for n in range(60) if n not in gone]
    assert left == sorted(table["id"].to_pylist())
    assert {n: None if n % 5 == 0 else 2.0 * n for n in left} == dict(
        zip(table["id"].to_pylist(), table["twice"].to_pylist(), strict=True)
    )
    assert [n % 2 for n in table["id"].to_pylist()] == table["label"].to_pylist()


def test_sequences_read_live_rows_only(lake: Lake) -> None:
    """Events that any kind of delete file removed are in no sequence."""
    gone = delete_some(lake)

    rows = pa.concat_tables(lake.platform.sequences.sources.open(ORDERS).read(["id", "ts"]))

    assert [n for n in range(60) if n not in gone] == sorted(rows["id"].to_pylist())
