"""Indexes of sequences are the same whatever engine builds them: content of every bucket, and every list read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from nbplat.demo.clean import SAMPLE
from nbplat.remote.sequence.content import content_digest
from nbplat.sequence import plan as plan_module
from nbplat.sequence.batches import Batches
from nbplat.sequence.builds import Builds
from nbplat.sequence.index_report import IndexReport
from nbplat.sequence.stored_index import StoredIndex
from nbplat.sequence.vocab import fit
from tests.fixtures.engines import ENGINES, EngineLab, SharedHost
from tests.fixtures.lakehouse import Lake
from tests.fixtures.sequences import START_US, clicks, definition, digests, sequence_lake

# The shop's clock is London's, and an invoice has a line of its own for each thing.
RETAIL = """
source: {source}
entity: customer_id
time: invoice_ts
timezone: {{zone: Europe/London, ambiguous: earliest, missing: latest}}
id: [invoice_no, stock_code]
dedupe: none
events:
  sale: {{last: 20, where: "unit_price * quantity > 10"}}
  return: {{last: 5, within: 90d}}
features:
  spent: float32(unit_price)
  item: hash(stock_code, buckets=1000)
show: [stock_code, quantity]
as_of: {{time: label_ts}}
"""

# Late rows, copies of which a later one is right, ties, nulls of every kind.
LATE = """
source: {source}
entity: user_id
time: event_ts
arrival: {{column: seen_ts, early: clip}}
id: event_id
dedupe: last
events:
  click: {{last: 7}}
  buy: {{last: 3, where: "amount > 5 and not (amount between 6 and 7)"}}
show: [item, amount]
as_of: {{time: label_ts, gap: 5m}}
"""


def late_rows(count: int) -> pa.Table:
    """Events of which some arrive late, some twice with other values."""
    rng = np.random.default_rng(11)
    rows = clicks(count, users=40, seed=11)
    late_us = np.where(rng.random(count) < 0.2, rng.integers(0, 6 * 3600, count), 0) * 1_000_000
    seen = pa.array(rows["event_ts"].cast(pa.int64()).to_numpy() + late_us - 30_000_000).cast(pa.timestamp("us", "UTC"))
    rows = rows.append_column("seen_ts", seen)
    again = rows.take(rng.integers(0, count, count // 20))
    later = pc.add(again["seen_ts"].cast(pa.int64()), 900_000_000).cast(pa.timestamp("us", "UTC"))
    changed = again.set_column(again.column_names.index("seen_ts"), "seen_ts", later)
    changed = changed.set_column(changed.column_names.index("amount"), "amount", pc.add(again["amount"], 1.0))
    whole = pa.concat_tables([rows, again, changed])
    return whole.take(rng.permutation(whole.num_rows))


def retail_rows() -> pa.Table:
    """Sales and returns of the sample."""
    rows = pq.read_table(SAMPLE)
    kind = pc.if_else(pc.less(rows["quantity"], 0), "return", "sale")
    return rows.append_column("event_type", kind)


def write_pieces(rows: pa.Table, folder: Path) -> str:
    """The rows in six files of several row groups."""
    folder.mkdir()
    for number in range(6):
        start, end = (rows.num_rows * at // 6 for at in (number, number + 1))
        pq.write_table(rows.slice(start, end - start), folder / f"{number}.parquet", row_group_size=1000)
    return str(folder)


class Built(NamedTuple):
    """An index: digests of each bucket, of the events of all entities, of all examples' lists; what building met."""

    buckets: list[str]
    content: str
    lists: str
    report: IndexReport


@dataclass
class Shop:
    """Events, the definition over them, and the examples that ask."""

    text: str
    source: str
    examples: pa.Table
    found: dict[str, Built] = field(default_factory=dict)


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shop]:
    folder = tmp_path_factory.mktemp("shops")
    retail, late = retail_rows(), late_rows(20_000)
    users = pa.array([*range(50), None], pa.int64())
    moments = pa.array(START_US + np.arange(51) * 90_000_000_000, pa.int64()).cast(pa.timestamp("us", "UTC"))
    return {
        "retail": Shop(
            RETAIL,
            write_pieces(retail, folder / "retail"),
            retail.select(["customer_id", "invoice_ts"]).rename_columns(["customer_id", "label_ts"]),
        ),
        "late": Shop(LATE, write_pieces(late, folder / "late"), pa.table({"user_id": users, "label_ts": moments})),
    }


@pytest.fixture
def ready(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    shared_host: Callable[[], SharedHost],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[str], Lake]]:
    """A fresh state folder whose builds spill, on the shared session or cluster of an engine."""
    monkeypatch.setattr(plan_module, "_BUCKET_ROWS", 4000)
    lake = sequence_lake(tmp_path / "home", **{"limits.memory_bytes": 8 << 20})
    lab = EngineLab(lake, shared_host, lambda: request.getfixturevalue("ray_cluster"))

    def on(engine: str) -> Lake:
        lab.ready(engine)
        return lake

    yield on
    lake.close()


def built(lake: Lake, shop: Shop, engine: str, source: str = "") -> Built:
    """The index of a shop, built or brought up to date; kept with the shop when it is of its own source."""
    if not source and engine in shop.found:
        return shop.found[engine]
    sequences = lake.platform.sequences_of({"asked": shop.examples})
    declared = definition(source or shop.source, shop.text)
    _, job = Builds(sequences).queue(declared, owner="me", engine=engine)
    assert job is not None
    lake.work()
    bound = sequences.bind(declared)
    index = sequences.find_index(bound)
    assert isinstance(index, StoredIndex)
    examples = sequences.examples(bound.definition, "asked")
    fitted = fit(bound.definition, index, bound.index_version)
    with Batches(index, bound.definition, examples, fitted=fitted, format="arrow") as batches:
        lists = content_digest(pa.Table.from_batches(list(batches)))
    found = Built(digests(index), _content(index, declared.entity[0]), lists, index.report)
    return found if source else shop.found.setdefault(engine, found)


def _content(index: StoredIndex, entity: str) -> str:
    """Every event in the total order, whatever buckets the entities are in."""
    tables = []
    for bucket in range(index.buckets):
        events = index.events(bucket, index.schema.names)
        own = {"type": events.type, "time": events.time_us, "until": events.until_us, "passes": events.passes}
        rows = events.rows
        for name, values in own.items():
            rows = rows if values is None else rows.append_column(f"own {name}", pa.array(values))
        tables.append(rows)
    # Arrow's sort keeps the order of equal entities.
    return content_digest(pa.concat_tables(tables).sort_by(entity))


@pytest.mark.parametrize("name", ["retail", "late"])
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_builds_the_same_index(
    shops: dict[str, Shop], ready: Callable[[str], Lake], name: str, engine: str
) -> None:
    """Out of core in many units: equal digests of every bucket, equal lists of every example, equal counts."""
    shop = shops[name]
    ours = built(ready("local"), shop, "local")
    assert 8 <= len(set(ours.buckets))
    assert ours.report.rows > 10_000
    theirs = built(ready(engine), shop, engine)
    assert ours[:3] == theirs[:3]
    for what in ("steps", "by_type", "warnings"):
        assert getattr(ours.report, what) == getattr(theirs.report, what)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_brings_an_index_up_to_date(
    shops: dict[str, Shop], ready: Callable[[str], Lake], tmp_path: Path, engine: str
) -> None:
    """Files that come later, with late rows and copies among them, make what a build of all files makes."""
    shop, folder = shops["late"], tmp_path / "days"
    whole = built(ready("local"), shop, "local")
    lake = ready(engine)
    folder.mkdir()
    files = sorted(Path(shop.source).iterdir())
    for day, file in enumerate(files):
        os.utime(shutil.copy(file, folder), (1000 * day, 1000 * day))
        if day == 3:
            assert whole.content != built(lake, shop, engine, str(folder)).content
    now = built(lake, shop, engine, str(folder))
    assert (whole.content, whole.lists) == (now.content, now.lists)
    assert whole.report.steps[1:] == now.report.steps[1:]
