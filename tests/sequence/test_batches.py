"""Batches and lists as of every example, against plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbplat.remote.sequence.tokens import hash_ids
from nbplat.sequence.batches import Batches, groups_of
from nbplat.sequence.definition import AsOf, Definition, Enrichment, EventRule, Feature, Size
from nbplat.sequence.vocab import fit
from tests.sequence.oracle import Past
from tests.sequence.token_world import (
    EVENTS,
    ITEMS,
    World,
    bucket_of,
    examples_of,
    expected_lists,
    pasts,
    value_at,
    vocab_of,
)

KINDS = ("view", "buy", "cart")
EVENT = st.tuples(
    st.sampled_from(["ann", "bob", "cy"]),
    st.integers(0, 9),
    st.sampled_from(KINDS),
    st.integers(0, 4) | st.none(),
    st.sampled_from([0.0, 1.5, -2.0, 7.25]) | st.none(),
    st.sampled_from(["a", "b", ""]) | st.none(),
    st.sampled_from([[1.0, 2.0], [0.0, -1.0]]) | st.none(),
)
ITEM = st.tuples(
    st.integers(0, 4) | st.none(),
    st.integers(0, 9),
    st.sampled_from(["toys", "books"]) | st.none(),
    st.sampled_from([[1.0, 0.5], [2.0, 2.0]]) | st.none(),
)
EXAMPLE = st.tuples(st.sampled_from(["ann", "bob", "cy", "zoe", None]), st.integers(0, 11))
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


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, unique=True))
    rules = tuple(EventRule(kind, draw(st.integers(1, 4)), draw(st.sampled_from([None, 0, 3]))) for kind in kinds)
    layout = draw(st.sampled_from(["mixed", "per_type"]))
    enriched = Enrichment("category", "items", "category", "event_time", (("item", "item"),), "since")
    times = st.sampled_from(["event_time", "request_time", "latest"])
    at_index = draw(st.booleans())
    return Definition(
        name="home",
        source="events",
        entity=("user",),
        time="ts",
        time_unit="us",
        type="kind",
        events=rules,
        layout=layout,
        size=Size(
            length=draw(st.sampled_from([None, 1, 3])),
            lengths={kinds[0]: 2} if layout == "per_type" and draw(st.booleans()) else {},
            order=draw(st.sampled_from(["newest_first", "oldest_first"])),
            pad=draw(st.sampled_from(["right", "left"])),
            truncate=draw(st.sampled_from(["oldest", "newest"])),
        ),
        enrich_index=(replace(enriched, at=draw(st.sampled_from(["event_time", "latest"]))),) if at_index else (),
        enrich_read=(
            replace(enriched, name="emb", column="emb", at=draw(times)),
            *(() if at_index else (replace(enriched, at=draw(times)),)),
        ),
        features=FEATURES,
        show=("title", "category"),
        as_of=AsOf(
            "label_ts",
            strict=draw(st.booleans()),
            gap_us=draw(st.sampled_from([0, 2])),
            at=draw(st.sampled_from(["example", "example", "end"])),
        ),
    )


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


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(EVENT, max_size=25),
    items=st.lists(ITEM, max_size=10),
    asked=st.lists(EXAMPLE, max_size=9),
    definition=definitions(),
    rows=st.integers(1, 5),
    pad_to=st.sampled_from(["batch", "length"]),
    keep_bytes=st.sampled_from([0, 1 << 30]),
)
def test_any_batch_equals_plain_python(
    tmp_path: Path,
    events: list[Any],
    items: list[Any],
    asked: list[Any],
    definition: Definition,
    rows: int,
    pad_to: str,
    keep_bytes: int,
) -> None:
    """Every feature of every token, the mask, the lengths and the lists; in memory, from disk, and bucket by bucket."""
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
