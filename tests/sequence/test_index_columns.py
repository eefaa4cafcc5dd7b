"""Columns of every kind, entities of several columns, and columns of other tables, through the building of an index."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nbplat.errors import NotFound, RequestError
from nbplat.remote.sequence.stored_rows import index_type
from nbplat.sequence import plan as plan_module
from nbplat.sequence.builds import Builds
from nbplat.sequence.memory_index import index_in_memory
from nbplat.sequence.ports import Index
from tests.fixtures.lakehouse import Lake
from tests.fixtures.sequences import START_US, definition, digests

_MOMENT = pa.timestamp("us", tz="UTC")

ODD = """
source: {source}
entity: [shop, user]
time: at
type: kind
timezone: Europe/London
events: {{"1": {{last: 5}}, "2": {{last: 5}}}}
show: [u8, u64, f16, ns, day, clock, name, tag, yes, price, vector, place, blob]
"""


def odd_rows(count: int) -> pa.Table:
    """A column of each kind that a file or frame may have, some of them null in places."""
    n = range(count)

    def some(values: Any, kind: pa.DataType) -> pa.Array:
        return pa.array([None if at % 7 == 3 else value for at, value in enumerate(values)], kind)

    return pa.table(
        {
            "shop": pa.array([f"s{k % 5}" for k in n], pa.dictionary(pa.int8(), pa.string())),
            "user": pa.array([(1 << 64) - 1 - k % 11 for k in n], pa.uint64()),
            "kind": pa.array([k % 3 for k in n], pa.int8()),
            "at": pa.array([dt.datetime(2024, 6, 1) + dt.timedelta(minutes=k // 4) for k in n], pa.timestamp("ms")),  # noqa: DTZ001
            "u8": some([k % 256 for k in n], pa.uint8()),
            "u64": some([(1 << 63) + k for k in n], pa.uint64()),
            "f16": some([np.float16(k % 9 / 4) for k in n], pa.float16()),
            "ns": some([1_700_000_000_000_000_123 + k for k in n], pa.timestamp("ns", tz="America/New_York")),
            "day": some([k * 86_400_000 for k in n], pa.date64()),
            "clock": some([k % 86_400 for k in n], pa.time32("s")),
            "name": some([f"näme {k % 13}" for k in n], pa.large_string()),
            "tag": some(["x", "y"] * (count // 2), pa.dictionary(pa.int32(), pa.large_string())),
            "yes": some([k % 2 == 0 for k in n], pa.bool_()),
            "price": some([Decimal(k) / 100 for k in n], pa.decimal128(12, 2)),
            "vector": some([[k / 2, -k] for k in n], pa.list_(pa.float64(), 2)),
            "place": some(
                [{"lat": k / 3, "name": f"p{k % 4}"} for k in n],
                None or pa.struct({"lat": pa.float32(), "name": pa.string()}),
            ),
            "blob": some([bytes([k % 256]) for k in n], pa.large_binary()),
        }
    )


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "_BUCKET_ROWS", 500)


def built(lake: Lake, text: str, **frames: pa.Table) -> Index:
    sequences = lake.platform.sequences_of(frames)
    declared = definition("rows", text)
    Builds(sequences).queue(declared, owner="me")
    lake.work()
    found = sequences.find_index(sequences.bind(declared))
    assert found is not None
    return found


def in_memory(lake: Lake, text: str, buckets: int, **frames: pa.Table) -> Index:
    sequences = lake.platform.sequences_of(frames)
    bound = sequences.bind(definition("rows", text))
    return index_in_memory(bound.index_record, sequences.recipe(bound, buckets), sequences.sources.open("rows"))


def test_columns_of_every_kind_survive_storing(tight: Lake, roomy: Lake) -> None:
    """What an index holds does not depend on whether it was stored, also for types that Iceberg does not have."""
    rows = odd_rows(3_000)
    stored = built(tight, ODD, rows=rows)
    memory = in_memory(roomy, ODD, stored.buckets, rows=rows)
    assert stored.schema.names == memory.schema.names
    assert digests(memory) == digests(stored)
    assert [index_type(rows.schema.field(name).type) for name in memory.schema.names] == memory.schema.types
    assert 2_000 == stored.report.rows
    assert 55 == stored.report.entities
    bucket = stored.bucket_of(pa.table({"shop": ["s1"], "user": pa.array([(1 << 64) - 1 - 1], pa.uint64())}))[0]
    events = stored.events(int(bucket), ["u64", "ns", "vector", "place"])
    named = list(zip(*(column.to_pylist() for column in events.entities.columns), strict=True))
    assert ("s1", Decimal((1 << 64) - 2)) in named
    assert (1 << 63) + 1 in {int(value) for value in events.rows["u64"].to_pylist() if value is not None}


LEAN = """
source: {{source}}
entity: {entity}
time: at
type: kind
dedupe: {dedupe}
events: {{{{buy: {{{{last: 5}}}}, click: {{{{last: 5}}}}}}}}
show: [kind, at, n8, n16]
"""


@pytest.mark.parametrize("entity", ["user", "[user, n8]"])
@pytest.mark.parametrize("dedupe", ["none", "exact"])
def test_what_memory_leaves_out_is_given_back(tight: Lake, roomy: Lake, entity: str, dedupe: str) -> None:
    """Types that are held as numbers, times that are held once and narrow integers come back as they are stored."""
    count = 3_000
    rng = np.random.default_rng(2)
    kinds = pa.DictionaryArray.from_arrays(
        pa.array(rng.integers(0, 4, count), pa.int8(), mask=rng.random(count) < 0.1),
        pa.array(["click", "buy", "open", None]),
    )
    times = pa.array((START_US + rng.integers(0, 40, count)) * 1_000 + 7).cast(pa.timestamp("ns", tz="UTC"))
    numbers = {f"n{bits}": pa.array(rng.integers(0, 3, count), f"int{bits}") for bits in (8, 16)}
    rows = pa.table({"user": rng.integers(0, 9, count), "kind": kinds, "at": times, **numbers})
    text = LEAN.format(entity=entity, dedupe=dedupe)
    stored = built(tight, text, rows=rows)
    memory = in_memory(roomy, text, stored.buckets, rows=rows)
    assert stored.schema == memory.schema
    assert digests(memory) == digests(stored)
    assert memory.report.rows == stored.report.rows > 0
    columns = ["kind", "at", "n8", "n16"]
    for bucket in range(stored.buckets):
        ours, theirs = memory.events(bucket, columns), stored.events(bucket, columns)
        assert theirs.rows.schema.types == ours.rows.schema.types
        assert theirs.rows.to_pylist() == ours.rows.to_pylist()
        assert theirs.entities.schema.types == ours.entities.schema.types


ENRICHED = """
source: {source}
entity: user
time: at
events:
  click: {{last: 5, where: "price > 3"}}
  buy: {{last: 5, where: "label = 'a' and price is not null"}}
enrich:
  index:
    price: {{from: shop.prices, column: amount, at: event_time, on: {{item: item}}, time: since}}
    label: "shop.items.label @ latest on item"
"""


BOUGHT = "label = 'a' and price is not null"


def enriched_rows(count: int) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "user": rng.integers(0, 40, count),
            "event_type": rng.choice(["click", "buy"], count),
            "at": pa.array(START_US + rng.integers(0, 10**9, count)).cast(_MOMENT),
            "item": rng.integers(0, 12, count),
        }
    )


def make_tables(lake: Lake) -> None:
    rng = np.random.default_rng(1)
    prices = {
        "item": rng.integers(0, 10, 60),
        "since": pa.array(START_US + rng.integers(0, 10**9, 60)).cast(_MOMENT),
        "amount": np.round(rng.random(60) * 9, 1),
    }
    lake.make("shop.prices", pa.table(prices), partitioned=False)
    items = pa.table({"item": np.arange(8), "label": ["a", "b", "a", "c", "a", "b", "a", "d"]})
    lake.make("shop.items", items, partitioned=False)


def test_columns_of_other_tables_are_stored_with_each_event(tight: Lake, roomy: Lake) -> None:
    """The value at the event's time, from when it held, and the conditions over both, equal a slow look-up."""
    rows = enriched_rows(3_000)
    for lake in (tight, roomy):
        make_tables(lake)
    stored = built(tight, ENRICHED, rows=rows)
    memory = in_memory(roomy, ENRICHED, stored.buckets, rows=rows)
    assert {"price", "price__from", "label"} < set(stored.schema.names)
    assert digests(memory) == digests(stored)
    prices = sorted(
        (row["item"], row["since"], row["amount"]) for row in tight.rows("shop.prices", key="item").to_dict("records")
    )
    labels = dict(tight.rows("shop.items", key="item").itertuples(index=False))
    conditions = list(stored.record["conditions"])
    seen = 0
    for bucket in range(stored.buckets):
        events = stored.events(bucket, ["item", "at", "price", "price__from", "label"])
        for at, row in enumerate(events.rows.to_pylist()):
            held = [(since, amount) for item, since, amount in prices if item == row["item"] and since <= row["at"]]
            assert (held[-1] if held else (None, None)) == (row["price__from"], row["price"])
            assert labels.get(row["item"]) == row["label"]
            price, kind = row["price"], events.types[events.type[at]]
            passes = {text for bit, text in enumerate(conditions) if int(events.passes[at]) >> bit & 1}
            # A condition is for the events of its type, whatever it would say of others.
            clicked = kind == "click" and price is not None and price > 3
            bought = kind == "buy" and row["label"] == "a" and price is not None
            assert {text for text, held in (("price > 3", clicked), (BOUGHT, bought)) if held} == passes
            seen += 1
    assert 3_000 == seen
    summary = stored.state.summary  # type: ignore[attr-defined]
    for table in ("shop.prices", "shop.items"):
        assert str(tight.table(table).current_snapshot().snapshot_id) == summary[f"nbplat.source.{table}"]
    assert {"price", "label"} == set(stored.report.tally["enriched"])


def test_a_table_that_is_not_there_is_refused_before_anything_is_kept(roomy: Lake) -> None:
    """The name is in the error, and no run was opened."""
    sequences = roomy.platform.sequences_of({"rows": enriched_rows(50)})
    before = roomy.picture()
    with pytest.raises(NotFound, match=r"there is no table shop\."):
        Builds(sequences).queue(definition("rows", ENRICHED), owner="me")
    make_tables(roomy)
    with pytest.raises(RequestError, match="amuont"):
        Builds(sequences).queue(definition("rows", ENRICHED.replace("amount", "amuont")), owner="me")
    assert before[2] == roomy.picture()[2]
