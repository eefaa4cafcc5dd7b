"""How far each partition of a run is."""

from __future__ import annotations

from nbplat.service import backfill_verbs
from tests.fixtures.lakehouse import Lake


def test_each_partition_counts_its_files(lake: Lake) -> None:
    """Before staging no file is done, after it every one; rows and files add up to the plan's."""
    asked = lake.submit("twice", "SELECT id, x * 2 AS twice FROM base")
    assert asked.run is not None
    store = lake.platform.store

    before = backfill_verbs.partitions(lake.backfills, store, "twice@1")
    lake.work()
    after = backfill_verbs.partitions(lake.backfills, store, asked.run.id)

    assert 6 == sum(line["files"] for line in before)
    assert 60 == sum(line["rows"] for line in before)
    assert [0] * len(before) == [line["done"] for line in before]
    assert [line | {"done": line["files"]} for line in before] == after
    assert len({line["partition"] for line in after}) == len(after) > 1
