"""A built sequence read again: the same batches as from memory, with the vocabulary that was learned first."""

from __future__ import annotations

import pytest

from nbplat.job import JobState
from nbplat.sequence.builds import Builds
from nbplat.sequence.definition import Definition
from nbplat.sequence.opened import open_definition
from nbplat.sequence.parse import parse_definition
from tests.fixtures.lakehouse import Lake, demo

__all__ = ["demo"]

TEXT = """
source: retail.events
entity: customer_id
time: event_ts
arrival: ingest_ts
id: event_id
events:
  purchase: {last: 20, where: "amount > 1"}
  cancel: {last: 5, within: 200d}
enrich:
  read: {shop: retail.shops.name @ latest on country, rank: retail.shops.rank @ request_time on country by since}
layout: per_type
show: [description, shop]
features:
  stock_code: vocab(min_count=3)
  amount: quantile(count=4)
  event_ts: age_log
  rank: float32
"""


@pytest.fixture(scope="module")
def definition(demo: Lake) -> Definition:
    import pyarrow as pa

    moments = pa.array([0, 1_300_000_000_000_000, 1_310_000_000_000_000], pa.timestamp("us", "UTC"))
    country = ["United Kingdom"] * 2 + ["France"]
    shops = pa.table({"country": country, "since": moments, "name": ["old", "new", "fr"], "rank": [1, 2, 3]})
    demo.platform.catalog.create_table("retail.shops", shops.schema).append(shops)
    return parse_definition(TEXT, "history")


def test_a_built_index_gives_the_batches_that_memory_gives(demo: Lake, definition: Definition) -> None:
    """Lists, padded arrays and final lists are equal; what was learned is kept beside the index."""
    sequences = demo.platform.sequences
    opened, examples = open_definition(sequences, definition, "retail.train", carry=("example_id",))
    assert opened.index.pin is None
    lists = opened.reading.lists(examples)
    finals = sorted(str(row) for batch in opened.reading.final_lists() for row in batch.to_pylist())
    version = opened.reading.fitted.version
    Builds(sequences).queue(definition, owner="me")
    assert [JobState.SUCCEEDED] == [job.state for job in demo.platform.work_here("w")]

    built, examples = open_definition(sequences, definition, "retail.train", carry=("example_id",))
    assert built.index.pin is not None
    assert lists.equals(built.reading.lists(examples))
    assert finals == sorted(str(row) for batch in built.reading.final_lists() for row in batch.to_pylist())
    assert version == built.reading.fitted.version
    assert demo.platform.catalog.table_exists(f"{built.index.pin.table}__vocab")
    with built.reading.batches(examples, rows=500) as batches:
        for number, batch in enumerate(batches):
            part = lists.slice(number * 500, 500)
            assert part["example_id"].to_pylist() == batch["example_id"].tolist()
            for name in ("purchase__rank", "cancel__stock_code", "purchase__event_ts"):
                mask = batch[f"{name.partition('__')[0]}__mask"]
                flat = part[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
                assert flat.tolist() == batch[name][mask].tolist()
    assert {"new", "fr", None} >= {shop for row in lists["purchase__shop"].to_pylist() for shop in row}
    assert 2 in {rank for row in lists["purchase__rank"].to_pylist() for rank in row}
