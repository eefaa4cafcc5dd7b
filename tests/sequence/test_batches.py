"""Batches and lists as of every example, against plain Python."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbplat.adapters.torch.tensors import as_tensors
from nbplat.errors import RequestError, SetupError
from nbplat.remote.sequence.tokens import hash_ids
from nbplat.sequence.batches import Batches
from nbplat.sequence.definition import AsOf, Definition, Enrichment, EventRule, Feature, Nearest, Size
from nbplat.sequence.final_lists import final_lists
from nbplat.sequence.groups import groups_of
from nbplat.sequence.vocab import fit
from tests.sequence.oracle import Past
from tests.sequence.token_world import (
    EVENTS,
    ITEMS,
    WHERE,
    World,
    bucket_of,
    examples_of,
    expected_lists,
    pasts,
    value_at,
    vocab_of,
)

KINDS = ("view", "buy", "cart")


@dataclass(frozen=True)
class Case:
    """Events, enriching rows, examples and a definition, all of one seed; crowded, so that every rule bites."""

    chance: random.Random

    def events(self) -> list[Any]:
        pick, found = self.chance.choice, []
        for _ in range(pick([0, 3, 25, 50])):
            time = self.chance.randint(0, 9)
            found.append(
                (
                    pick(["ann", "bob"]),
                    time,
                    time + pick([0, 0, 1, 4]),
                    pick([None, *range(15)]),
                    pick(KINDS),
                    pick([None, *range(5)]),
                    pick([None, 0.0, 1.5, -2.0, 7.25]),
                    pick([None, "a", "b", ""]),
                    pick([None, [1.0, 2.0], [0.0, -1.0]]),
                )
            )
        return found

    def items(self) -> list[Any]:
        pick = self.chance.choice
        return [
            (
                pick([None, *range(5)]),
                pick([None, *range(10)]),
                pick([None, "toys", "books"]),
                pick([None, [1.0, 0.5], [2.0, 2.0]]),
            )
            for _ in range(pick([0, 15, 40]))
        ]

    def asked(self) -> list[tuple[str | None, int]]:
        users = ["ann", "bob", "ann", "bob", "zoe", None]
        return [(self.chance.choice(users), self.chance.randint(0, 12)) for _ in range(self.chance.choice([0, 5, 12]))]

    def definition(self) -> Definition:
        pick = self.chance.choice
        kinds = self.chance.sample(KINDS, pick([1, 2, 3]))
        rules = tuple(
            EventRule(kind, pick([1, 2, 4, 9]), pick([None, None, 0, 3]), pick([None, None, *WHERE])) for kind in kinds
        )
        layout, identified, at_index = pick(["mixed", "per_type"]), pick([True, False]), pick([True, False])
        enriched = Enrichment("category", "items", "category", "event_time", (("item", "item"),), "since")
        times = ["event_time", "request_time", "latest"]
        return Definition(
            name="home",
            source="events",
            entity=("user",),
            time="ts",
            time_unit="us",
            type="kind",
            events=rules,
            arrival=pick([None, "seen"]),
            early="clip",
            id=("number",) if identified else (),
            dedupe=pick(["first", "last"]) if identified else "none",
            layout=layout,
            size=Size(
                length=pick([None, None, 1, 3]),
                lengths={kinds[0]: 2} if layout == "per_type" and pick([True, False]) else {},
                order=pick(["newest_first", "oldest_first"]),
                pad=pick(["right", "left"]),
                truncate=pick(["oldest", "newest"]),
            ),
            enrich_index=(replace(enriched, at=pick(["event_time", "latest"])),) if at_index else (),
            enrich_read=(
                replace(enriched, name="emb", column="emb", at=pick(times)),
                *(() if at_index else (replace(enriched, at=pick(times)),)),
            ),
            features=FEATURES,
            show=("title", "category"),
            as_of=AsOf(
                "label_ts", strict=pick([True, False]), gap_us=pick([0, 1, 3]), at=pick(["example"] * 3 + ["end"])
            ),
        )


# Drawn by a generator of our own: hypothesis prefers small and equal values, which select nothing.
CASES = st.integers(0, 1 << 62).map(lambda seed: Case(random.Random(seed)))  # noqa: S311


FEATURES = (
    Feature("item_id", "vocab", "item", (("max_size", 3), ("min_count", 2))),
    Feature("kind", "vocab", "kind", (("max_size", None), ("min_count", 1))),
    Feature("titled", "hash", "title", (("buckets", 50),)),
    Feature("age_s", "age", "ts", (("unit", "s"),)),
    Feature("age", "age_log", "ts"),
    Feature("level", "bucket", "amount", (("edges", (0, 2)),)),
    Feature("part", "quantile", "amount", (("count", 3),)),
    Feature("amount", "number", "amount", (("fill", -1), ("type", "float32"))),
    Feature("vec", "embedding", "vec", (("size", 2),)),
    Feature("category", "vocab", "category", (("max_size", None), ("min_count", 1))),
    Feature("emb", "embedding", "emb", (("size", 2),)),
)


def _table(rows: Sequence[Any], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


def _token(world: World, definition: Definition, event: Past, moment: int, learned: dict[str, Any]) -> dict[str, Any]:
    """What every feature and shown column of one token is."""
    items = world.tables["items"].to_pylist()
    as_of = definition.as_of
    cutoff = math.inf if as_of.at == "end" else moment - as_of.gap_us
    enriched = {
        each.name: value_at(items, each, event, cutoff, as_of.strict)[0]
        for each in (*definition.enrich_index, *definition.enrich_read)
    }
    row, age = event.row, (moment - event.time) / 1e6
    hashed = hash_ids(pa.array([row["title"]], pa.string()), 50)
    return {
        "item_id": learned["item_id"].get(row["item"], 1),
        "kind": learned["kind"][event.type],
        "titled": int(hashed[0]),
        "age_s": age,
        "age": math.copysign(math.log1p(abs(age)), age),
        "level": bucket_of(row["amount"], (0, 2)),
        "part": bucket_of(row["amount"], learned["part"]),
        "amount": -1.0 if row["amount"] is None else row["amount"],
        "vec": row["vec"] or [0.0, 0.0],
        "category": learned["category"].get(enriched["category"], 1),
        "emb": enriched["emb"] or [0.0, 0.0],
        "raw": {"title": row["title"], "category__raw": enriched["category"]},
    }


def _learned(world: World, definition: Definition, users: Any) -> dict[str, Any]:
    """Learned over all events of the index; of what the example's moment decides the value at the event's time."""
    events = [event for history in users.values() for event in history]
    items = world.tables["items"].to_pylist()
    source = {each.name: each for each in (*definition.enrich_index, *definition.enrich_read)}["category"]
    if source.at == "request_time":
        source = replace(source, at="event_time")
    amounts = sorted(event.row["amount"] for event in events if event.row["amount"] is not None)
    return {
        "item_id": vocab_of([event.row["item"] for event in events], 2, 3),
        "kind": {kind: place + 2 for place, kind in enumerate(sorted(r.event_type for r in definition.events))},
        "part": sorted({amounts[j * len(amounts) // 3] for j in (1, 2)}) if amounts else [],
        "category": vocab_of([value_at(items, source, event, 0, False)[0] for event in events], 1, None),
    }


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=CASES)
def test_any_batch_equals_plain_python(tmp_path: Path, case: Case) -> None:
    """Every feature of every token, the mask, the lengths and the lists; in memory, from disk, and bucket by bucket."""
    events, items, asked, definition = case.events(), case.items(), case.asked(), case.definition()
    rows, pad_to = case.chance.randint(1, 5), case.chance.choice(["batch", "length"])
    keep_bytes = case.chance.choice([0, 1 << 30])
    world = World(tmp_path, _table(events, EVENTS), {"items": _table(items, ITEMS)})
    examples = examples_of(asked, row=list(range(len(asked))))
    index, joined = world.index(definition, types=KINDS), world.joined(definition)
    fitted = fit(definition, index, "v1", joined)
    users = pasts(world, definition, KINDS)
    learned = _learned(world, definition, users)
    expected = [
        {name: [_token(world, definition, event, moment, learned) for event in mine] for name, mine in groups.items()}
        for groups, moment in zip(
            expected_lists(world, definition, examples, KINDS), examples.as_of_us.tolist(), strict=True
        )
    ]
    options: dict[str, Any] = {"fitted": fitted, "joined": joined, "rows": rows, "folder": tmp_path}
    with Batches(
        index, definition, examples, pad_to=pad_to, keep_bytes=keep_bytes, format="numpy", **options
    ) as batches:
        found = list(batches)
        assert list(range(len(asked))) == [row for batch in found for row in batch["row"].tolist()]
        assert [rows] * (len(asked) // rows) == [len(batch["row"]) for batch in found][: len(asked) // rows]
        for batch in found:
            _check_padded(definition, batch, expected, pad_to)
    by_bucket = Batches(index, definition, examples, order="bucket", pad_to=pad_to, **options)
    seen = []
    for batch in by_bucket:
        _check_padded(definition, batch, expected, pad_to)
        seen += batch["row"].tolist()
    assert list(range(len(asked))) == sorted(seen)
    with Batches(index, definition, examples, format="arrow", keep_bytes=keep_bytes, **options) as listed:
        for batch in listed:
            _check_lists(definition, batch, expected)


def _check_padded(definition: Definition, batch: dict[str, Any], expected: list[Any], pad_to: str) -> None:
    for group in groups_of(definition):
        lists = [expected[row][group.event_type] for row in batch["row"].tolist()]
        mask, lengths = batch[f"{group.prefix}mask"], batch[f"{group.prefix}length"]
        assert [len(tokens) for tokens in lists] == lengths.tolist()
        longest = max((len(tokens) for tokens in lists), default=0)
        assert (len(lists), longest if pad_to == "batch" else group.most) == mask.shape
        left = definition.size.pad == "left"
        for at, tokens in enumerate(lists):
            places = range(mask.shape[1])[mask.shape[1] - len(tokens) :] if left else range(len(tokens))
            assert list(places) == np.flatnonzero(mask[at]).tolist()
            for feature in definition.features:
                values = batch[group.prefix + feature.name][at]
                assert 0 == np.abs(values[~mask[at]]).sum()
                wanted = np.array([token[feature.name] for token in tokens], values.dtype)
                got = values[mask[at]]
                assert np.allclose(wanted.reshape(got.shape), got, rtol=1e-6), feature
    assert ("int32", "float32", "bool") == tuple(
        str(batch[f"{groups_of(definition)[0].prefix}{name}"].dtype) for name in ("item_id", "amount", "mask")
    )


def _check_lists(definition: Definition, batch: pa.RecordBatch, expected: list[Any]) -> None:
    for group in groups_of(definition):
        lists = [expected[row][group.event_type] for row in batch["row"].to_pylist()]
        for feature in definition.features:
            column = batch[group.prefix + feature.name]
            assert pa.types.is_large_list(column.type)
            for wanted, got in zip(lists, column.to_pylist(), strict=True):
                assert np.allclose([token[feature.name] for token in wanted], got, rtol=1e-6) or wanted == got
        for name in ("title", "category__raw"):
            got = batch[group.prefix + name].to_pylist()
            assert [[token["raw"][name] for token in tokens] for tokens in lists] == got


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=CASES)
def test_final_lists_are_the_histories_of_all_entities(tmp_path: Path, case: Case) -> None:
    """Every entity of the index once; without a moment all its events count, with one the as-of rule holds."""
    events, definition = case.events(), case.definition()
    moment = case.chance.choice([None, 4, 11])
    world = World(tmp_path, _table(events, EVENTS), {"items": _table([], ITEMS)})
    index, joined = world.index(definition, types=KINDS), world.joined(definition)
    fitted = fit(definition, index, "v1", joined)
    histories = pasts(world, definition, KINDS)
    users = sorted(user for (user,) in histories)
    last = max((event.time for history in histories.values() for event in history), default=0)
    asked = replace(definition, as_of=replace(definition.as_of, at="end" if moment is None else "example"))
    expected = expected_lists(world, asked, examples_of([(user, moment or 0) for user in users]), KINDS)
    found = {}
    for batch in final_lists(index, definition, fitted=fitted, joined=joined, at_us=moment, rows=2):
        assert batch.num_rows <= 2
        for row in batch.to_pylist():
            assert row["user"] not in found
            found[row["user"]] = row
    assert users == sorted(found)
    for user, groups in zip(users, expected, strict=True):
        for group in groups_of(definition):
            mine = groups[group.event_type]
            assert [each.row["title"] for each in mine] == found[user][f"{group.prefix}title"]
            ages = [((last if moment is None else moment) - each.time) / 1e6 for each in mine]
            assert np.allclose(ages, found[user][f"{group.prefix}age_s"])


WORLD_EVENTS = [("ann", at, 0, None, "view", at % 5, float(at), "t", [float(at), 1.0]) for at in range(8)]
PLAIN = Definition(
    "home", "events", ("user",), "ts", (EventRule("view", 3),), time_unit="us", type="kind", features=FEATURES[:9]
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, _table(WORLD_EVENTS, EVENTS), {"items": _table([], ITEMS)})


def _batches(world: World, definition: Definition, asked: list[Any], **options: Any) -> Batches:
    index, joined = world.index(definition, types=KINDS), world.joined(definition)
    fitted = fit(definition, index, "v1", joined)
    carried = options.pop("carried", {"row": list(range(len(asked)))})
    return Batches(
        index, definition, examples_of(asked, **carried), fitted=fitted, joined=joined, folder=world.folder, **options
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "numpi"}, r"batches\.option.*did you mean numpy"),
        ({"order": "random"}, r"batches\.option"),
        ({"pad_to": "most"}, r"batches\.option"),
        ({"rows": 0}, r"batches\.option: rows 0 is below 1"),
        ({"columns": ["itemid"]}, r"batches\.column.*did you mean item_id"),
        ({"carried": {"age": [1]}}, r"batches\.clash.*'age'"),
        ({"carried": {"mask": [1]}}, r"batches\.clash.*'mask'"),
    ],
)
def test_what_cannot_be_batched_is_refused(world: World, options: dict[str, Any], message: str) -> None:
    """Unknown options and columns, and names that are there twice, before anything is read."""
    with pytest.raises(RequestError, match=message):
        _batches(world, PLAIN, [("ann", 5)], **options)


@pytest.mark.parametrize("format", ["numpy", "arrow"])
def test_examples_that_are_events_keep_their_columns(world: World, format: str) -> None:
    """Where a feature or list has the name of their time or entity, theirs is told apart; another name is refused."""
    features = (Feature("ts", "age", "ts", (("unit", "s"),)), Feature("user", "hash", "item", (("buckets", 5),)))
    definition = replace(PLAIN, features=features, as_of=AsOf("ts"))
    with _batches(world, definition, [("ann", 5), ("zoe", 6)], format=format, carried={"ts": [5, 6]}) as batches:
        batch = batches[0]
    names = set(batch) if format == "numpy" else set(batch.schema.names)
    assert {"ts", "ts__example", "user", "user__example"} == {name for name in names if name[:2] in ("ts", "us")} - {
        "ts__raw"
    }
    assert ["ann", "zoe"] == (
        batch["user__example"].tolist() if format == "numpy" else batch["user__example"].to_pylist()
    )
    with pytest.raises(RequestError, match=r"batches\.clash"):
        _batches(world, definition, [("ann", 5)], carried={"ts__example": [1]})


def test_torch_is_asked_for_when_batches_are_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be imported, the fix names the extra."""
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SetupError, match=r"batches\.torch.*nbplat\[torch\]"):
        _batches(world, PLAIN, [("ann", 5)], format="torch", tensors=as_tensors)


def test_torch_gets_tensors(world: World) -> None:
    """Numbers and the mask are tensors of the same types and values, times microseconds, texts lists."""
    torch = pytest.importorskip("torch", reason="torch is not in the lock: make test-torch makes a venv of its own")
    asked = [("ann", 5), ("bob", 5)]
    arrays = next(iter(_batches(world, PLAIN, asked)))
    for name, tensor in next(iter(_batches(world, PLAIN, asked, format="torch", tensors=as_tensors))).items():
        if arrays[name].dtype.kind in "biuf":
            assert torch.equal(torch.from_numpy(arrays[name].copy()), tensor)
        elif arrays[name].dtype.kind == "M":
            assert arrays[name].astype("M8[us]").astype("i8").tolist() == tensor.tolist()
        else:
            assert arrays[name].tolist() == tensor
    loader = torch.utils.data.DataLoader(
        _batches(world, PLAIN, asked, format="torch", tensors=as_tensors), batch_size=None
    )
    assert 1 == len(list(loader))


def test_a_seed_shuffles_and_an_epoch_shuffles_again(world: World) -> None:
    """The same seed gives the same order, another epoch another one; every example is there once."""
    asked = [("ann", at % 9) for at in range(40)]

    def order(batches: Batches, epoch: int = 0) -> list[int]:
        batches.set_epoch(epoch)
        return [row for batch in batches for row in batch["row"].tolist()]

    for how in ("examples", "bucket"):
        first = _batches(world, PLAIN, asked, rows=7, order=how, seed=3)
        assert order(first) == order(_batches(world, PLAIN, asked, rows=7, order=how, seed=3))
        assert order(first) != order(first, epoch=1)
        assert list(range(40)) == sorted(order(first, epoch=1)) != order(first)


def test_chosen_columns_are_all_that_is_made(world: World) -> None:
    """A batch of one feature holds it, the mask, the length and the columns of the examples."""
    batch = next(iter(_batches(world, PLAIN, [("ann", 5)], columns=["amount"])))
    assert ["amount", "mask", "length", "user", "label_ts", "row"] == list(batch)
    assert [[4.0, 3.0, 2.0]] == batch["amount"].tolist()
    shown = next(iter(_batches(world, PLAIN, [("ann", 5)], columns=["ts"], format="arrow")))
    assert ["user", "label_ts", "row", "ts"] == shown.schema.names
    assert [4, 3, 2] == shown["ts"].cast(pa.large_list(pa.int64())).to_pylist()[0]


def test_the_pandas_form_holds_an_array_a_row(world: World) -> None:
    """One row an example, lists without padding."""
    frame = next(iter(_batches(world, PLAIN, [("ann", 2), ("bob", 5)], format="pandas")))
    assert [[1.0, 0.0], []] == [list(row) for row in frame["amount"]]
    assert [2, 0] == [len(row) for row in frame["ts"]]


def test_batches_are_asked_for_by_number(world: World) -> None:
    """A batch is the same by number as in turn; scratch files are gone when they are closed."""
    batches = _batches(world, PLAIN, [("ann", at) for at in range(7)], rows=3, keep_bytes=0)
    assert 3 == len(batches)
    for number, batch in enumerate(batches):
        assert batch["amount"].tolist() == batches[number]["amount"].tolist()
    with pytest.raises(IndexError):
        batches[3]
    assert list(world.folder.glob("nbplat-tokens-*"))
    batches.close()
    assert not list(world.folder.glob("nbplat-tokens-*"))


@pytest.mark.parametrize("source", ["events", "event_time", "request_time"])
def test_nearest_keeps_the_largest_products(tmp_path: Path, source: str) -> None:
    """Of the last five the two whose vectors point most the example's way, oldest first as told."""
    items = [(at, 0, None, [float(at % 3), float(at)]) for at in range(5)] + [(4, 6, None, [-9.0, -9.0])]
    world = World(tmp_path, _table(WORLD_EVENTS, EVENTS), {"items": _table(items, ITEMS)})
    column = "vec" if source == "events" else "emb"
    enrich = () if source == "events" else (Enrichment("emb", "items", "emb", source, (("item", "item"),), "since"),)
    definition = replace(
        PLAIN,
        events=(EventRule("view", 5, select=Nearest(column, 2, "query")),),
        features=(FEATURES[7],),
        enrich_read=enrich,
        size=Size(order="oldest_first"),
    )
    query = [[0.0, 1.0], [0.0, -1.0], None, [1.0, 0.0]]
    asked = [("ann", 7)] * 4
    batch = next(iter(_batches(world, definition, asked, carried={"query": query})))
    # Events 2 to 6 are retrieved; as of 7 item 4 has another vector, but not yet when event 4 happened.
    by_second = {"events": [5.0, 6.0], "event_time": [3.0, 4.0], "request_time": [2.0, 3.0]}[source]
    by_less = {"events": [5.0, 6.0], "event_time": [5.0, 6.0], "request_time": [4.0, 5.0]}[source]
    by_first = {"events": [5.0, 6.0], "event_time": [2.0, 6.0], "request_time": [2.0, 6.0]}[source]
    expected = [by_second, by_less, [], by_first]
    got = [row[mask].tolist() for row, mask in zip(batch["amount"], batch["mask"], strict=True)]
    assert expected == got
