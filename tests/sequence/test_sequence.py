"""Sequences against a plain oracle per user, on any events in any order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.adapters.iceberg.catalog import open_catalog
from nbplat.adapters.iceberg.sequence_source import IcebergRows
from nbplat.config import load_config
from nbplat.demo import EVENTS, TRAIN, load_demo
from nbplat.errors import DataError, RequestError
from nbplat.sequence import EventRule, SequenceSpec, explain_html, explain_preview, features, parse_spec, preview
from nbplat.terms import SnapshotPin

SPEC = SequenceSpec(
    "s",
    "a.events",
    "user",
    "at",
    (EventRule("view", 3), EventRule("buy", 2)),
    type="kind",
    as_of_time="label_at",
    show=("item",),
)
EVENT_SCHEMA = pa.schema(
    {"user": pa.string(), "at": pa.int64(), "kind": pa.string(), "item": pa.int64(), "id": pa.string()}
)
EXAMPLE_SCHEMA = pa.schema({"user": pa.string(), "label_at": pa.int64()})


@dataclass
class MemoryRows:
    rows: pa.Table
    name: str = "a.events"

    @property
    def pin(self) -> SnapshotPin:
        return SnapshotPin(self.name, "u", 1, 0)

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        return tuple((field.name, str(field.type)) for field in self.rows.schema)

    def read(self, columns: Sequence[str]) -> pa.Table:
        return self.rows.select(list(columns))


def _events(rows: Sequence[tuple[Any, ...]]) -> MemoryRows:
    named = [dict(zip(EVENT_SCHEMA.names, row, strict=False)) for row in rows]
    return MemoryRows(pa.Table.from_pylist(named, schema=EVENT_SCHEMA))


def _examples(rows: Sequence[tuple[Any, ...]]) -> MemoryRows:
    named = [dict(zip(EXAMPLE_SCHEMA.names, row, strict=True)) for row in rows]
    return MemoryRows(pa.Table.from_pylist(named, schema=EXAMPLE_SCHEMA), "a.train")


USERS = st.sampled_from(["ann", "bob", "cy", None])
EVENT = st.tuples(
    USERS, st.integers(0, 6) | st.none(), st.sampled_from(["view", "buy", "odd", None]), st.integers(0, 3)
)


@settings(max_examples=150, deadline=None)
@given(
    events=st.lists(EVENT, max_size=40),
    examples=st.lists(st.tuples(st.sampled_from(["ann", "bob", "zoe", None]), st.integers(0, 7)), max_size=8),
    last=st.integers(1, 6),
    strict=st.booleans(),
    with_id=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_any_events_equal_the_oracle_in_any_order(
    events: list[tuple[Any, ...]], examples: list[tuple[Any, ...]], last: int, strict: bool, with_id: bool, order: Any
) -> None:
    """Last N per type before the instant, newest first, ties by id; shuffled input gives the same output."""
    rows = [(*event, f"{number:04d}") for number, event in enumerate(events)]
    rules = (EventRule("view", last), EventRule("buy", 2))
    spec = replace(SPEC, events=rules, strict=strict, id="id" if with_id else None)
    source = _examples(examples)
    got = features(spec, _events(rows), source)
    assert [(row["user"], row["label_at"]) for row in got.to_pylist()] == examples
    for rule in rules:
        expected = []
        for user, instant in examples:
            mine = [
                row
                for row in rows
                if user is not None and row[0] == user and row[2] == rule.event_type and row[1] is not None
                if (row[1] < instant if strict else row[1] <= instant)
            ]
            mine.sort(key=lambda row: (row[1], row[4]), reverse=True)
            expected.append(mine[: rule.last] if with_id else mine)
        times = got[f"{rule.event_type}__at"].to_pylist()
        assert [[row[1] for row in mine][: rule.last] for mine in expected] == times
        items = got[f"{rule.event_type}__item"].to_pylist()
        if with_id:
            assert [[row[3] for row in mine] for mine in expected] == items
        else:
            for mine, ats, shown in zip(expected, times, items, strict=True):
                left = [(row[1], row[3]) for row in mine]
                for pair in zip(ats, shown, strict=True):
                    left.remove(pair)
    shuffled = list(rows)
    order.shuffle(shuffled)
    assert got.equals(features(spec, _events(shuffled), source))
    seen = preview(spec, _events(rows), source)
    ties = sum(1 for u, t in examples for row in rows if (row[0], row[1], row[2]) == (u, t, "view") and u is not None)
    assert not strict or seen.leak.at_or_after == 0
    assert strict or last < 6 or seen.leak.at_or_after >= min(ties, 1)
    assert replace(seen, seconds=0.0) == replace(preview(spec, _events(shuffled), source), seconds=0.0)


def test_an_instant_shows_ties_as_leaks_only_when_not_strict() -> None:
    """With strict false the tokens at the very instant are counted as leaked and drawn so."""
    events = _events([("ann", 1, "view", 1), ("ann", 2, "view", 2), ("ann", 2, "buy", 3), ("ann", 3, "view", 4)])
    examples = _examples([("ann", 2)])
    strict = preview(SPEC, events, examples)
    assert (0, 1, 3) == (strict.leak.at_or_after, strict.leak.tokens, strict.leak.hidden)
    loose = preview(replace(SPEC, strict=False), events, examples)
    assert (2, 3, 1) == (loose.leak.at_or_after, loose.leak.tokens, loose.leak.hidden)
    assert 2 == loose.strips[0].leaked
    assert any("strict is false" in warning for warning in loose.warnings)
    assert "2 LEAKED" in explain_preview(loose)[-1]
    assert "outline" in explain_html(loose)
    assert "outline" not in explain_html(strict)


def test_left_out_rows_are_counted_by_reason() -> None:
    """Null entity, time and type, and other types, are steps with rows in and out."""
    events = _events([("ann", 1, "view", 1), (None, 1, "view", 1), ("ann", None, "view", 1), ("ann", 1, "odd", 1)])
    seen = preview(SPEC, events, _examples([("ann", 5), (None, 5), ("zoe", 5)]))
    expected = [("read", 4, 4), ("entity known", 4, 3), ("time known", 3, 2), ("types", 2, 1)]
    assert expected == [(s.name, s.rows_in, s.rows_out) for s in seen.steps[:4]]
    assert ("examples", 3, 3, "2 with an empty history, kept") == tuple(
        getattr(seen.steps[-1], f) for f in ("name", "rows_in", "rows_out", "note")
    )
    assert 2 == seen.types[0].examples_empty


def test_a_type_that_never_occurs_is_a_warning_with_the_nearest_names() -> None:
    """A misspelled type gives empty sequences and says so."""
    spec = replace(SPEC, events=(EventRule("veiw", 3),))
    seen = preview(spec, _events([("ann", 1, "view", 1)]), _examples([("ann", 5)]))
    assert ["no event is of type 'veiw' (events): did you mean view?"] == list(seen.warnings)
    assert 0 == seen.leak.tokens


def test_shared_instants_without_an_id_and_repeated_ids_are_warned_of() -> None:
    """The reader learns when the order rests on a hash, or when the id is none."""
    events = _events([("ann", 1, "view", 1, "x"), ("ann", 1, "view", 2, "x")])
    examples = _examples([("ann", 5)])
    assert "2 of 2 events share" in preview(SPEC, events, examples).warnings[-1]
    assert "id is not unique: 1 rows" in preview(replace(SPEC, id="id"), events, examples).warnings[-1]


def test_unfit_tables_are_refused() -> None:
    """Unknown columns, an entity of another type, nulls as instants and texts as times are refused."""
    events, examples = _events([("ann", 1, "view", 1)]), _examples([("ann", 5)])
    with pytest.raises(RequestError, match=r"a\.events has no column 'itme'.*did you mean item"):
        preview(replace(SPEC, show=("itme",)), events, examples)
    with pytest.raises(RequestError, match=r"a\.train has no column 'label_ts'"):
        preview(replace(SPEC, as_of_time="label_ts"), events, examples)
    with pytest.raises(RequestError, match=r"sequence\.time"):
        preview(replace(SPEC, time="kind", type="id"), events, examples)
    numbers = pa.table({"user": pa.array([1], pa.int64()), "label_at": pa.array([1], pa.int64())})
    with pytest.raises(RequestError, match=r"sequence\.entity"):
        preview(SPEC, events, MemoryRows(numbers))
    with pytest.raises(DataError, match=r"sequence\.as_of_null"):
        preview(SPEC, events, _examples([("ann", None)]))


def test_entities_of_either_integer_width_meet() -> None:
    """An int column of the examples finds the long one of the events, the other way round too."""
    for ours, theirs in ((pa.int64(), pa.int32()), (pa.int32(), pa.int64())):
        events = pa.table({"user": pa.array([7], ours), "at": [1], "kind": ["view"], "item": [1]})
        examples = MemoryRows(pa.table({"user": pa.array([7, 8], theirs), "label_at": [2, 2]}))

        @dataclass
        class IcebergTyped(MemoryRows):
            @property
            def columns(self) -> tuple[tuple[str, str], ...]:
                names = {"int32": "int", "int64": "long"}
                return tuple((f.name, names.get(str(f.type), str(f.type))) for f in self.rows.schema)

        got = features(SPEC, IcebergTyped(events), IcebergTyped(examples.rows))
        assert [[1], []] == got["view__at"].to_pylist()


def test_strips_run_from_the_shortest_to_the_heaviest_history_of_different_entities() -> None:
    """The sample spans all lengths and takes each entity once while there are enough."""
    events = [(f"u{n:02d}", at, "view", 1) for n in range(30) for at in range(n)]
    seen = preview(SPEC, _events(events), _examples([(f"u{n:02d}", 100) for n in range(30)]), count=6)
    assert ["short", "short", "median", "median", "long", "heaviest"] == [strip.kind for strip in seen.strips]
    lengths = [len(strip.tokens) + strip.cut for strip in seen.strips]
    assert sorted(lengths) == lengths
    assert (0, 29) == (lengths[0], lengths[-1])
    assert 6 == len({strip.entity for strip in seen.strips})


def test_html_is_self_contained_small_and_escaped() -> None:
    """No script, no address, no unescaped value, under 80 KB for 20 heavy users."""
    item_schema = EVENT_SCHEMA.set(3, pa.field("item", pa.string()))
    rows = [
        {"user": f"<b>{n}</b>", "at": at, "kind": "view", "item": "<script>alert('x')</script>" * 3, "id": f"{n}-{at}"}
        for n in range(20)
        for at in range(120)
    ]
    events = MemoryRows(pa.Table.from_pylist(rows, schema=item_schema))
    spec = replace(SPEC, events=(EventRule("view", 100),), id="id")
    html = explain_html(preview(spec, events, _examples([(f"<b>{n}</b>", 110) for n in range(20)]), count=20))
    assert len(html.encode()) < 80_000
    assert not re.search(r"<script|<b>\d|http|url\(|@import", html)
    assert 20 * 48 == html.count("<i class=c0")


def test_the_demo_tables_show_their_sequences(tmp_path: Path) -> None:
    """On the real sample every example is kept, nothing leaks, and the features' lengths are the previewed ones."""
    config = load_config({"home": str(tmp_path)}, environ={}, cwd=tmp_path, user_file=tmp_path / "none")
    catalog = open_catalog(config)
    load_demo(catalog)
    text = (
        "source: retail.events\nentity: customer_id\ntime: event_ts\nid: event_id\nshow: [amount]\n"
        "events:\n  purchase: {last: 50}\n  cancel: {last: 10}\n"
    )
    spec = parse_spec(text, "buyer")
    events, examples = IcebergRows(catalog, EVENTS), IcebergRows(catalog, TRAIN)
    seen = preview(spec, events, examples)
    assert (0, 55_165, 1_943) == (seen.leak.at_or_after, seen.leak.tokens, seen.example_rows)
    made = features(spec, events, examples, keys=("example_id",))
    lists = [made[f"{kind}__amount"].combine_chunks() for kind in ("purchase", "cancel")]
    assert [t.tokens for t in seen.types] == [int(np.asarray(part.value_lengths()).sum()) for part in lists]
    text = "\n".join(explain_preview(seen))
    assert "no leak: 0 of 55,165 tokens" in text
    assert seen.version[:12] in text
    catalog.engine.dispose()  # type: ignore[attr-defined]
