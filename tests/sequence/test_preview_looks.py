"""How much a preview looks at, that its batch is the real one, and two variants held against each other."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nbplat.adapters.duckdb.conditions import DuckDBConditions
from nbplat.errors import RequestError
from nbplat.remote.sequence.events import Events
from nbplat.sequence.batches import Batches
from nbplat.sequence.bind import bind
from nbplat.sequence.definition import AsOf, Definition, Enrichment, EventRule, Feature, Nearest, Size
from nbplat.sequence.memory_index import MemoryIndex
from nbplat.sequence.preview import Budget, comparison_of, explain_preview, preview_of
from nbplat.sequence.preview.explain_html import explain_html
from nbplat.sequence.preview.figures import moment_text
from nbplat.sequence.vocab import fit
from nbplat.ui.widgets.packed_preview import packed_preview
from tests.sequence.seen import Ready, moments, ready, table

AWARE = pa.timestamp("us", tz="UTC")
EVENTS = pa.schema(
    [
        ("user", pa.int64()),
        ("at", AWARE),
        ("kind", pa.string()),
        ("id", pa.int64()),
        ("item", pa.int64()),
        ("amount", pa.float64()),
    ]
)
HOME = Definition(
    name="home",
    source="events",
    entity=("user",),
    time="at",
    events=(EventRule("buy", 4), EventRule("click", 8)),
    id=("id",),
    dedupe="first",
    type="kind",
    size=Size(length=9),
    features=(
        Feature("item", "vocab", "item", (("max_size", None), ("min_count", 2))),
        Feature("age", "age_log", "at", (("unit", "h"),)),
        Feature("amount", "number", "amount", (("fill", 0.0), ("type", "float32"))),
        Feature("price", "number", "price", (("fill", -1.0), ("type", "float32"))),
        Feature("kind", "vocab", "kind", (("max_size", None), ("min_count", 1))),
        Feature("emb", "embedding", "emb", (("size", 3),)),
    ),
    enrich_read=(
        Enrichment("emb", "lake.items", "emb", "latest", (("item", "item"),)),
        Enrichment("price", "lake.prices", "price", "request_time", (("item", "item"),), "since"),
    ),
)


def rows(users: int = 40, count: int = 900) -> pa.Table:
    draw = np.random.default_rng(3)
    return table(
        [
            {
                "user": int(draw.integers(0, users)),
                "at": int(draw.integers(0, 100_000)),
                "kind": str(draw.choice(["click", "buy"])),
                "id": number,
                "item": int(draw.integers(0, 30)),
                "amount": float(draw.integers(0, 9)),
            }
            for number in range(count)
        ],
        EVENTS,
    )


def asked(users: int = 40) -> pa.Table:
    draw = np.random.default_rng(4)
    vectors = [[float(value) for value in draw.normal(size=3)] for _ in range(2 * users)]
    return pa.table(
        {
            "user": pa.array([number % (users + 2) for number in range(2 * users)], pa.int64()),
            "label_ts": moments([int(value) for value in draw.integers(1, 100_000, 2 * users)]),
            "query": pa.array(vectors, pa.list_(pa.float64())),
        }
    )


def tables() -> dict[str, pa.Table]:
    draw = np.random.default_rng(5)
    vectors = [[float(value) for value in draw.normal(size=3)] for _ in range(28)]
    twice = [item for item in range(28) for _ in range(2)]
    return {
        "lake.items": pa.table(
            {"item": pa.array(range(28), pa.int64()), "emb": pa.array(vectors, pa.list_(pa.float64()))}
        ),
        "lake.prices": pa.table(
            {
                "item": pa.array(twice, pa.int64()),
                "price": [float(number) for number in range(56)],
                "since": moments([0 if number % 2 == 0 else 50_000 for number in range(56)]),
            }
        ),
    }


def made(definition: Definition, folder: Path, buckets: int = 16) -> Ready:
    return ready(definition, rows(), asked(), folder, tables(), buckets)


class Counting:
    """An index that remembers which buckets were read."""

    def __init__(self, index: MemoryIndex) -> None:
        self._index = index
        self.read: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def events(self, bucket: int, columns: Sequence[str], *, later: bool = False) -> Events:
        self.read.append(bucket)
        return self._index.events(bucket, columns)


def test_a_preview_reads_no_more_than_its_budget_and_says_so(tmp_path):
    """Buckets are read until the events are enough, once each; the counts name the share that they stand for."""
    have = made(HOME, tmp_path)
    index = Counting(have.index)

    preview = preview_of(have.bound, index, have.examples, joined=have.joined, budget=Budget(150, 10))

    looked = preview.looked
    assert len(set(index.read)) == len(index.read) == looked.buckets < looked.of_buckets
    assert 150 <= looked.events < 300
    assert 10 == looked.examples == preview.leak.examples < looked.of_examples == 80
    assert (
        f"{looked.buckets} of {looked.of_buckets} buckets, 12.5 % of the examples (10 of 80)"
        in explain_preview(preview)[0]
    )
    assert sum(preview.staleness.counts) <= 10
    again = preview_of(have.bound, have.index, have.examples, joined=have.joined, budget=Budget(150, 10))
    assert replace(preview, seconds=0) == replace(again, seconds=0)


def test_everything_is_looked_at_when_asked(tmp_path):
    """All buckets that hold examples, and all examples; 20 strips of 20 users at most one of them empty in ten."""
    have = made(HOME, tmp_path)
    index = Counting(have.index)

    preview = preview_of(have.bound, index, have.examples, joined=have.joined, everything=True)

    assert preview.looked.whole
    assert "all 80 examples" == preview.looked.text()
    assert preview.looked.of_buckets == len(index.read)
    assert 20 == len(preview.strips) == len({strip.entity for strip in preview.strips})
    assert 2 >= sum(not any(token.selected for token in strip.tokens) for strip in preview.strips)


def test_no_examples_and_no_events_are_previewed_as_well(tmp_path):
    """Empty inputs give an empty picture with its words, not a fault."""
    have = ready(HOME, rows(count=0), asked(), tmp_path, tables())
    nothing = preview_of(have.bound, have.index, have.examples, joined=have.joined)
    assert (0, 0, "risk") == (nothing.leak.tokens, nothing.leak.future, nothing.leak.verdict)
    assert any("occurs among the events" in text for text in nothing.warnings)

    have = ready(HOME, rows(), asked().slice(0, 0), tmp_path, tables())
    preview = preview_of(have.bound, have.index, have.examples, joined=have.joined)
    assert () == preview.strips
    assert 0 == preview.looked.of_examples
    assert "there are no examples: nothing was looked at" in preview.warnings
    assert explain_preview(preview)[0].startswith("sequence home ")
    strict = replace(preview, leak=replace(preview.leak, checks=()))
    assert "nothing to judge: no example has a token" in explain_preview(strict)[0]


def test_examples_without_an_entity_are_told(tmp_path):
    """They stay, with an empty history, and the preview counts them."""
    some = asked()
    users = pa.array([None, *some["user"].to_pylist()[1:]], pa.int64())
    have = ready(HOME, rows(), some.set_column(0, "user", users), tmp_path, tables())

    preview = preview_of(have.bound, have.index, have.examples, joined=have.joined)

    assert "1 of 80 examples have no user: their histories are empty" in preview.warnings


def test_final_histories_without_an_instant_say_so(tmp_path):
    """Examples that need no as-of time may have none: then the leak panel has nothing to hold tokens against."""
    end = replace(HOME, as_of=AsOf(time=HOME.as_of.time, at="end"))
    have = ready(end, rows(), asked(), tmp_path, tables())
    bare = replace(have.examples, as_of_us=np.zeros_like(have.examples.as_of_us))
    for examples, told in ((bare, True), (have.examples, False)):
        preview = preview_of(have.bound, have.index, examples, joined=have.joined)
        assert told == any("held against 1970" in text for text in preview.warnings)


def test_strips_without_an_instant_are_as_of_the_end(tmp_path):
    """Text, HTML and widget print no moment that the examples do not have; where they have one, it stands."""
    end = replace(HOME, as_of=AsOf(time=HOME.as_of.time, at="end"))
    have = ready(end, rows(), asked(), tmp_path, tables())
    bare = replace(have.examples, as_of_us=np.zeros_like(have.examples.as_of_us))
    for examples, timeless in ((bare, True), (have.examples, False)):
        preview = preview_of(have.bound, have.index, examples, joined=have.joined)
        text, html = "\n".join(explain_preview(preview)), explain_html(preview)
        assert {timeless} == {strip.timeless for strip in preview.strips}
        for strip in preview.strips:
            moment = moment_text(strip.as_of_us)
            shown = "end" if timeless else moment
            assert f" {strip.entity}  {shown}  " in text
            assert f"title={shown}>" in html
            assert timeless != (moment in html)
        assert f'"timeless":{str(timeless).lower()}'.encode() in zlib.decompress(packed_preview(preview)).replace(
            b" ", b""
        )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"layout": "per_type", "size": Size(lengths=MappingProxyType({"buy": 2, "click": 5}), pad="left")},
        {"size": Size(length=5, order="oldest_first", truncate="newest")},
        {"events": (EventRule("buy", 4), EventRule("click", 12, select=Nearest("emb", 3, "query")))},
    ],
)
def test_the_models_view_is_the_batch_that_training_gets(tmp_path, changes):
    """Numbers, order, padding and mask are those of the padded batches of the same examples."""
    definition = replace(HOME, **changes)
    have = made(definition, tmp_path)
    bound = have.bound.definition
    fitted = fit(bound, have.index, have.bound.index_version, have.joined)

    preview = preview_of(have.bound, have.index, have.examples, joined=have.joined, fitted=fitted, everything=True)

    batches = Batches(
        have.index, bound, have.examples, fitted=fitted, joined=have.joined, rows=1_000, pad_to="length", format="numpy"
    )
    (batch,) = list(batches)
    batches.close()
    where = {
        (str(user), int(at)): place
        for place, (user, at) in enumerate(
            zip(have.examples.entity["user"].to_pylist(), have.examples.as_of_us.tolist(), strict=True)
        )
    }
    places = [where[strip.entity, strip.as_of_us] for strip in preview.strips]
    prefixes = [""] if bound.layout == "mixed" else ["buy__", "click__"]
    assert len(prefixes) == len(preview.models)
    for prefix, view in zip(prefixes, preview.models, strict=True):
        mask = batch[f"{prefix}mask"][places]
        assert mask.tolist() == [list(row) for row in view.mask]
        assert mask.shape[1] == view.length
        for grid in view.grids:
            expected = batch[prefix + grid.name][places].astype(np.float64)
            if expected.ndim == 3:
                expected = np.sqrt((expected**2).sum(axis=2))
            assert expected.tolist() == [list(row) for row in grid.values]
            assert batch[prefix + grid.name].dtype.name == grid.dtype


def test_what_is_not_nearest_says_so(tmp_path):
    """Of a rule with `select: nearest` the retrieved events that are further away are out for that reason."""
    definition = replace(
        HOME, events=(EventRule("click", 12, select=Nearest("emb", 3, "query")),), size=Size(), features=()
    )
    have = made(definition, tmp_path)

    preview = preview_of(have.bound, have.index, have.examples, joined=have.joined, everything=True)

    left = {why: count for step in preview.steps for why, count in step.left_out}
    assert 0 < left["not among the nearest"]
    assert max(sum(token.selected for token in strip.tokens) for strip in preview.strips) == 3


def test_two_variants_are_held_against_each_other_on_the_same_examples(tmp_path):
    """Overlap, padding and bytes are those of the two token sets, counted here from the strips of all examples."""
    declared = replace(HOME, variants=MappingProxyType({"short": {"size.length": 3}, "no_buy": {"events.buy": "drop"}}))
    have = made(declared, tmp_path)
    schemas = {name: each.schema for name, each in tables().items()}
    bounds = [
        bind(declared, EVENTS, asked().schema, schemas, DuckDBConditions(), variant=variant)
        for variant in (None, "short", "no_buy")
    ]

    for other in bounds[1:]:
        found = comparison_of(
            (bounds[0], other),
            have.index,
            have.examples,
            joined=(have.joined, have.joined),
            count=200,
            everything=True,
        )

        sides = [
            {
                (strip.entity, strip.as_of_us, token.event_type, token.time_us)
                for strip in side.strips
                for token in strip.tokens
                if token.selected
            }
            for side in (found.left, found.right)
        ]
        assert len(sides[0] & sides[1]) == found.shared
        assert (len(sides[0] - sides[1]), len(sides[1] - sides[0])) == (found.left_only, found.right_only)
        assert [strip.entity for strip in found.left.strips] == [strip.entity for strip in found.right.strips]
        measures = {measure.name: measure for measure in found.measures}
        assert (len(sides[0]), len(sides[1])) == (measures["tokens kept"].left, measures["tokens kept"].right)
        assert found.right.padding == measures["padding"].right
        equal = found.left.looked.examples - sum(
            {token for token in sides[0] if token[:2] == (strip.entity, strip.as_of_us)}
            != {token for token in sides[1] if token[:2] == (strip.entity, strip.as_of_us)}
            for strip in found.left.strips
        )
        assert equal == found.examples_equal
    assert other.variant == found.right.variant == "no_buy"


def test_what_is_not_cut_from_one_index_cannot_be_compared(tmp_path):
    """Two definitions whose events differ are refused, naming what would have to agree."""
    have = made(HOME, tmp_path)
    other = replace(have.bound, index_version="0" * 64)

    with pytest.raises(RequestError, match="not cut from one index") as caught:
        comparison_of((have.bound, other), have.index, have.examples)

    assert "sequence.compare" == caught.value.code
