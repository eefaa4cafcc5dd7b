"""Questions to an index: whatever it lies in, each example sees what a slow reader of the definition says."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.errors import DataError, InternalError, NotFound, RequestError
from nbplat.remote.sequence.events import Selection
from nbplat.sequence import plan as plan_module
from nbplat.sequence.builds import Builds
from nbplat.sequence.definition import Definition, EventRule
from nbplat.sequence.examples import Examples
from nbplat.sequence.ports import Index, SourcePin
from nbplat.sequence.select import rules_of, selected
from nbplat.sequence.sequences import Sequences
from tests.fixtures.lakehouse import Lake
from tests.fixtures.sequences import CLICKS, START_US, clicks, definition
from tests.sequence.oracle import chosen, histories

_MOMENT = pa.timestamp("us", tz="UTC")


def questions(count: int, *, seed: int = 0, users: int = 40) -> pa.Table:
    """Examples of users of whom some have no events, one is null and one has no such number."""
    rng = np.random.default_rng(seed)
    user = [int(number) for number in rng.integers(0, users, count)]
    at = START_US + rng.integers(0, 1_500, count) * 60_000_000
    return pa.table(
        {
            "user_id": pa.array([None, *user[1:]], pa.int64()),
            "label_ts": pa.array(at, pa.int64()).cast(_MOMENT),
            "label": pa.array(rng.integers(0, 2, count)),
        }
    )


def random_text(rng: random.Random) -> str:
    within = rng.choice(["", ", within: 3h"])
    arrival = rng.choice(["", "arrival: {{column: ingest_ts, early: clip}}\n"])
    dedupe = rng.choice(["none", "exact", "first", "last"])
    ids = "id: event_id\n" if dedupe in ("first", "last") else rng.choice(["", "id: event_id\n"])
    gap = rng.choice(["0s", "30m"])
    strict = rng.choice(["true", "false"])
    return (
        "source: rows\nentity: user_id\ntime: event_ts\n"
        f"{ids}{arrival}dedupe: {dedupe}\n"
        f"events:\n  click: {{{{last: {rng.randint(1, 9)}{within}}}}}\n"
        f'  buy: {{{{last: {rng.randint(1, 30)}, where: "amount > 5"}}}}\n'
        f"show: [item]\nas_of: {{{{time: label_ts, gap: {gap}, strict: {strict}}}}}\n"
    )


def ours(index: Index, declared: Definition, examples: Examples) -> list[list[list[tuple[Any, ...]]]]:
    """What each rule takes for each example, oldest first: time, id, item."""
    found: list[Any] = [None] * len(examples)
    buckets = []
    for part in selected(index, declared, examples, ["event_id", "item"]):
        buckets.append(part.bucket)
        rows = part.events.rows.to_pylist()
        for at, example in enumerate(part.examples.tolist()):
            assert found[example] is None
            found[example] = [
                [(int(part.events.time_us[row]), rows[row]["event_id"], rows[row]["item"]) for row in taken(each, at)]
                for each in part.selections
            ]
    assert sorted(set(buckets)) == buckets
    return found


def taken(each: Selection, at: int) -> list[int]:
    """Rows of the events that a rule takes for one example."""
    skipped = set(each.skipped[each.skipped_at[at] : each.skipped_at[at + 1]].tolist())
    places = [place for place in range(each.lo[at], each.hi[at]) if place not in skipped]
    return places if each.among is None else [int(each.among[place]) for place in places]


def theirs(declared: Definition, rows: pa.Table, examples: Examples, hashed: list[str]) -> list[list[list[Any]]]:
    plain = rows.set_column(2, "event_ts", rows["event_ts"].cast(pa.int64()))
    if "ingest_ts" in plain.column_names:
        plain = plain.set_column(
            plain.column_names.index("ingest_ts"), "ingest_ts", plain["ingest_ts"].cast(pa.int64())
        )
    past = histories(
        plain.to_pylist(),
        entity=declared.entity,
        type=declared.type,
        types=[rule.event_type for rule in declared.events],
        time=declared.time,
        arrival=declared.arrival,
        id=declared.id,
        hashed=hashed,
        dedupe=declared.dedupe,
    )
    return [
        [
            [
                (event.time, event.row["event_id"], event.row["item"])
                for event in chosen(
                    past.get((user,), []),
                    type=rule.event_type,
                    last=rule.last,
                    within=rule.within_us,
                    where=None if rule.where is None else lambda row: row["amount"] is not None and row["amount"] > 5,
                    as_of=int(at),
                    strict=declared.as_of.strict,
                    gap=declared.as_of.gap_us,
                    end=False,
                ).events
            ]
            for rule in declared.events
        ]
        for user, at in zip(examples.entity["user_id"].to_pylist(), examples.as_of_us, strict=True)
    ]


@pytest.mark.parametrize("seed", range(6))
def test_every_example_sees_what_a_slow_reader_sees(
    tight: Lake, roomy: Lake, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Over random definitions and rows, stored in many buckets and in memory."""
    monkeypatch.setattr(plan_module, "_BUCKET_ROWS", 300)
    rng = random.Random(seed)  # noqa: S311
    rows = clicks(2_500, seed=seed)
    late = np.random.default_rng(seed).choice([-60, 0, 60, 7_200], rows.num_rows) * 1_000_000
    rows = rows.append_column(
        "ingest_ts", pa.array(rows["event_ts"].cast(pa.int64()).to_numpy() + late, pa.int64()).cast(_MOMENT)
    )
    declared = definition("rows", random_text(rng))
    asked = questions(300, seed=seed)
    expected = None
    for lake in (tight, roomy):
        sequences = lake.platform.sequences_of({"rows": rows, "asked": asked})
        bound = sequences.bind(declared, examples="asked")
        examples = sequences.examples(declared, "asked")
        hashed = sorted(bound.index_columns)
        expected = expected or theirs(declared, rows, examples, hashed)
        if lake is tight:
            Builds(sequences).queue(declared, owner="me")
            lake.work()
        found = ours(sequences.open(bound), declared, examples)
        assert expected == found
        assert [[], []] == found[0]


def world(lake: Lake, asked: Any, **frames: Any) -> Sequences:
    return lake.platform.sequences_of({"rows": clicks(500), "asked": asked, **frames})


def test_examples_come_from_tables_files_and_frames(roomy: Lake, tmp_path: Path) -> None:
    """The same rows give the same examples, in their order, whatever they come in."""
    asked = questions(50)
    roomy.make("shop.asked", asked, partitioned=False)
    pq.write_table(asked, tmp_path / "asked.parquet")
    declared = definition("rows")
    frames = {"arrow": asked, "pandas_frame": asked.to_pandas(), "polars_frame": pl.from_arrow(asked)}
    sequences = world(roomy, asked, **frames)
    for name in ("shop.asked", str(tmp_path / "asked.parquet"), *frames):
        found = sequences.examples(declared, name, ["label"])
        assert asked["label_ts"].cast(pa.int64()).to_pylist() == found.as_of_us.tolist(), name
        assert asked["label"].to_pylist() == found.rows["label"].to_pylist()
        assert 1 == found.nameless
    few = sequences.examples(declared, "asked", ["label"], limit=7)
    assert asked["label"].slice(0, 7).to_pylist() == few.rows["label"].to_pylist()


def test_an_example_without_a_moment_is_refused_with_their_number(roomy: Lake) -> None:
    """Nobody can say what such an example may see."""
    asked = questions(9).set_column(1, "label_ts", pa.array([None, *[START_US] * 7, None]).cast(_MOMENT))
    with pytest.raises(DataError, match="2 of 9 examples of asked have no label_ts"):
        world(roomy, asked).examples(definition("rows"), "asked")


def test_examples_without_a_needed_column_are_refused(roomy: Lake) -> None:
    """The as-of column and the entity are named with the nearest that are there; so is a source that is not."""
    asked = questions(3).rename_columns(["user_id", "label_tz", "label"])
    with pytest.raises(RequestError) as raised:
        world(roomy, asked).examples(definition("rows"), "asked")
    assert "label_tz" in raised.value.fix
    assert "line 10" in raised.value.where
    with pytest.raises(RequestError, match="have no column 'user_id'") as raised:
        world(roomy, questions(3).drop_columns(["user_id"])).examples(definition("rows"), "asked")
    assert "user_id" in raised.value.fix
    with pytest.raises(NotFound, match="no DataFrame 'askd'") as raised:
        world(roomy, questions(3)).examples(definition("rows"), "askd")
    assert "asked" in raised.value.fix


def test_the_final_history_needs_no_moment(roomy: Lake) -> None:
    """With `at: end` examples may have the entity alone, and see everything."""
    declared = definition("rows", CLICKS.replace("time: label_ts", "at: end"))
    asked = pa.table({"user_id": [1, 2]})
    sequences = world(roomy, asked)
    bound = sequences.bind(declared, examples="asked")
    examples = sequences.examples(declared, "asked")
    [part] = list(selected(sequences.open(bound), declared, examples, ["event_id"]))
    assert [0, 0] == part.selections[0].after.tolist()
    assert [5, 5] == (part.selections[0].hi - part.selections[0].lo).tolist()


def test_the_entity_of_an_example_may_be_of_another_width(roomy: Lake) -> None:
    """An int32 finds an int64; a number that the index cannot hold finds nothing and stays."""
    asked = questions(30)
    wide = asked.set_column(0, "user_id", asked["user_id"].cast(pa.int16()))
    declared = definition("rows")
    sequences = world(roomy, asked, wide=wide)
    index = sequences.open(sequences.bind(declared))
    assert ours(index, declared, sequences.examples(declared, "asked")) == ours(
        index, declared, sequences.examples(declared, "wide")
    )
    huge = Examples(
        pa.table({"user_id": pa.array([1 << 63, 3], pa.uint64())}),
        np.full(2, START_US + 10**12),
        pa.table({"n": [0, 1]}),
        SourcePin("frame", "huge", ""),
    )
    [first, second] = ours(index, declared, huge)
    assert [[], []] == first
    assert second[0]


def test_only_some_examples_can_be_asked_for(roomy: Lake) -> None:
    """`places` leaves the others out; what is found is found under the place in all examples."""
    declared = definition("rows")
    sequences = world(roomy, questions(60))
    index = sequences.open(sequences.bind(declared))
    examples = sequences.examples(declared, "asked")
    every = ours(index, declared, examples)
    found = {
        int(example): (each.hi - each.lo)[at]
        for part in selected(index, declared, examples, [], places=[40, 3, 17])
        for each in part.selections[:1]
        for at, example in enumerate(part.examples)
    }
    assert {place: len(every[place][0]) for place in (3, 17, 40)} == found
    assert [] == list(selected(index, declared, examples.take(np.array([], np.int64)), []))


def test_times_of_examples_are_read_like_those_of_events(roomy: Lake) -> None:
    """Naive moments need the declared zone; pandas' nanoseconds are cut to microseconds."""
    naive = pd.DataFrame({"user_id": [1], "label_ts": [pd.Timestamp("2024-07-01 12:00")]})
    with pytest.raises(RequestError, match="label_ts is a timestamp without a time zone"):
        world(roomy, naive).examples(definition("rows"), "asked")
    zoned = definition("rows", CLICKS + "timezone: Europe/London\n")
    [at] = world(roomy, naive).examples(zoned, "asked").as_of_us.tolist()
    assert dt.datetime(2024, 7, 1, 11, tzinfo=dt.UTC).timestamp() * 1_000_000 == at


def test_an_index_that_lacks_a_rule_is_our_mistake() -> None:
    """A rule that the index was not built for is never answered with nothing."""
    declared = Definition("home", "rows", ("u",), "t", (EventRule("click", where="x > 1"),))
    with pytest.raises(InternalError, match="not built for 'click'"):
        rules_of(declared, {"types": ["click"], "conditions": []})
