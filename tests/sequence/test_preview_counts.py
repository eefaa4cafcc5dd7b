"""What a preview counts, held against an account of every event in plain Python."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nbplat.sequence.definition import AsOf, Definition, EventRule, Feature, Size
from nbplat.sequence.preview import REASONS, SequencePreview
from nbplat.sequence.preview.preview_of import preview_of, see
from nbplat.sequence.preview.reasons import ORDER, pairs_of
from nbplat.sequence.preview.staged import Budget
from tests.sequence.preview_oracle import SECOND, Told, copies_until, tell, totals
from tests.sequence.seen import Ready, moments, ready, table

AWARE = pa.timestamp("us", tz="UTC")
EVENTS = pa.schema(
    [
        ("user", pa.string()),
        ("at", AWARE),
        ("seen", AWARE),
        ("kind", pa.string()),
        ("id", pa.int64()),
        ("row", pa.int64()),
        ("amount", pa.float64()),
    ]
)
SPAN = 400


def declared(**changes: Any) -> Definition:
    """Two types, an arrival, an id; seconds are the unit of everything in these tests."""
    definition = Definition(
        name="home",
        source="events",
        entity=("user",),
        time="at",
        events=(EventRule("click", 8), EventRule("buy", 4)),
        arrival="seen",
        id=("id",),
        dedupe="last",
        type="kind",
        show=("row", "amount"),
        size=Size(length=9),
    )
    return replace(definition, **changes)


DEFINITIONS = {
    "plain": declared(),
    "windowed": declared(events=(EventRule("click", 8, within_us=60 * SECOND), EventRule("buy", 4))),
    "where": declared(events=(EventRule("click", 5), EventRule("buy", 4, within_us=90 * SECOND, where="amount > 0"))),
    "gap": declared(as_of=AsOf(gap_us=25 * SECOND)),
    "loose": declared(as_of=AsOf(strict=False), size=Size(length=6, truncate="newest")),
    "loose_gap": declared(as_of=AsOf(strict=False, gap_us=10 * SECOND), size=Size(order="oldest_first")),
    "end": declared(as_of=AsOf(at="end")),
    "per_type": declared(layout="per_type", size=Size(lengths={"click": 3, "buy": 2}, pad="left")),
    "no_arrival": declared(arrival=None, dedupe="none"),
}


def drawn_events(seed: int, copies: bool) -> list[dict[str, Any]]:
    """Ties, late rows, copies, types that nobody asked for; heavy and light users."""
    draw = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for number in range(260):
        at = int(draw.integers(0, SPAN))
        late = int(draw.integers(1, 60)) if draw.random() < 0.2 else 0
        rows.append(
            {
                "user": f"u{int(draw.integers(0, 6)) * int(draw.integers(0, 2))}",
                "at": at,
                "seen": at + late,
                "kind": str(draw.choice(["click", "click", "buy", "odd"])),
                "id": number,
                "row": number,
                "amount": float(draw.integers(-2, 5)),
                "order": 0,
            }
        )
    for number in range(40 if copies else 0):
        of = rows[int(draw.integers(0, 260))]
        # No two copies have the same time or become known at the same moment: only ids and clocks decide here.
        rows.append({**of, "at": of["at"] + 1 + number, "seen": of["seen"] + 1 + number, "row": 260 + number})
    return rows


def asked(seed: int, rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Examples, half of them at the very moment of an event."""
    draw = np.random.default_rng(seed + 100)
    found = []
    for _ in range(30):
        row = rows[int(draw.integers(0, len(rows)))]
        at = row["at"] if draw.random() < 0.5 else int(draw.integers(0, SPAN + 200))
        found.append((row["user"] if draw.random() < 0.9 else "nobody", at))
    return found


def looked_at(name: str, seed: int, folder: Path) -> tuple[Definition, Ready, list[Told], list[tuple[str, int]]]:
    definition = DEFINITIONS[name]
    rows = drawn_events(seed, copies=definition.dedupe == "last")
    examples = asked(seed, rows)
    made = ready(
        definition,
        table([{key: row[key] for key in EVENTS.names} for row in rows], EVENTS),
        pa.table({"user": [user for user, _ in examples], "label_ts": moments([at for _, at in examples])}),
        folder,
    )
    told_rows = copies_until(rows) if definition.dedupe == "last" else rows
    if definition.arrival is None:
        told_rows = [{**row, "seen": row["at"] - 1_000_000} for row in told_rows]
    return definition, made, [tell(definition, told_rows, user, at) for user, at in examples], examples


CASES = [(name, seed) for name in DEFINITIONS for seed in (1, 2)]


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_every_event_has_the_reason_that_plain_python_finds(name, seed, tmp_path):
    """Each event of each example is in, or out for the first rule that it fails."""
    definition, made, told, _ = looked_at(name, seed, tmp_path)

    sight = see(made.bound, made.index, made.examples, made.joined, Budget(None, None))
    found: list[dict[int, str]] = [{} for _ in told]
    tokens: list[list[list[int]]] = [[] for _ in told]
    for stage in sight.stages:
        ids = stage.events.rows["row"].to_numpy()
        for pairs in pairs_of(definition, stage, np.arange(len(stage.places))):
            for example, row, reason in zip(pairs.example, pairs.row, pairs.reason, strict=True):
                found[stage.places[example]][int(ids[row])] = ORDER[reason]
        for place, example in enumerate(stage.places):
            for ragged in stage.lists:
                at = ragged.positions[ragged.offsets[place] : ragged.offsets[place + 1]]
                tokens[example].append(ids[at].tolist())

    assert [each.reasons for each in told] == found
    assert [each.tokens for each in told] == tokens


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_the_funnel_and_the_panel_add_up_what_plain_python_finds(name, seed, tmp_path):
    """Steps, lengths, ties and leaks are the sums over all examples."""
    definition, made, told, examples = looked_at(name, seed, tmp_path)

    preview = preview_of(made.bound, made.index, made.examples, everything=True)

    counts = totals(told)
    steps = {step.name: step for step in preview.steps}
    said = {why: count for step in preview.steps for why, count in step.left_out}
    kept = sum(len(part) for each in told for part in each.tokens)
    assert {REASONS[why]: count for why, count in counts.items() if why != "selected"} == said
    assert sum(counts.values()) == steps["retrieve"].rows_in
    assert kept == steps["featurize"].rows_out == preview.leak.tokens
    assert 30 == preview.leak.examples == preview.looked.examples
    for place, rule in enumerate(definition.events):
        visible = [each.visible[rule.event_type] for each in told]
        assert sum(count >= rule.last for count in visible) == _at_cap(preview, place)
        assert sum(count > rule.last for count in visible) == preview.types[place].examples_cut
    rows = {row["row"]: row for row in drawn_events(seed, copies=definition.dedupe == "last")}
    flags = [
        (number, rows[token]["at"] >= at, definition.arrival is not None and rows[token]["seen"] >= at)
        for number, ((_, at), each) in enumerate(zip(examples, told, strict=True))
        for part in each.tokens
        for token in part
    ]
    checks = {check.name: check for check in preview.leak.checks}
    assert sum(late for _, late, _ in flags) == checks["rule"].count
    assert sum(unknown for *_, unknown in flags) == checks["arrival"].count
    assert sum(late or unknown for _, late, unknown in flags) == preview.leak.future
    assert len({number for number, late, unknown in flags if late or unknown}) == preview.leak.examples_touched
    ties = sum(rows[row]["at"] == at for (_, at), each in zip(examples, told, strict=True) for row in each.reasons)
    assert ties == (checks["boundary"].of or 0)


def _at_cap(preview: SequencePreview, place: int) -> int:
    chart = preview.types[place].lengths
    return 0 if chart.mark is None else sum(chart.counts[chart.mark :])


def test_strips_say_the_same_as_the_counts(tmp_path):
    """Strips hold every event of their examples with its reason, both ends, and as many tokens from the future."""
    _, made, told, examples = looked_at("loose", 1, tmp_path)

    preview = preview_of(made.bound, made.index, made.examples, everything=True, count=30)

    by_example = {(user, at * SECOND): each for (user, at), each in zip(examples, told, strict=True)}
    assert len(preview.strips) > 20
    for strip in preview.strips:
        mine = by_example[strip.entity, strip.as_of_us]
        shown = {int(token.values[0] or 0): token.reason for token in strip.tokens}
        assert mine.reasons == shown
        assert dict(totals([mine])) == dict(strip.counts)
        assert sorted(token.time_us for token in strip.tokens) == [token.time_us for token in strip.tokens]
    assert {"short", "median", "long", "heaviest"} == {strip.kind for strip in preview.strips}
    longest = max(len(each.reasons) for each in told if sum(each.visible.values()))
    assert longest >= len(preview.strips[-1].tokens)


def test_the_batch_is_what_the_lists_say(tmp_path):
    """The model's view holds the real array: order, pad side, mask and types."""
    definition, made, told, examples = looked_at("per_type", 2, tmp_path)
    definition = replace(
        definition, features=(Feature("amount", "number", "amount", (("fill", 0.0), ("type", "float32"))),)
    )
    made = replace(made, bound=replace(made.bound, definition=definition, feature_columns=("amount",)))

    preview = preview_of(made.bound, made.index, made.examples, everything=True)

    rows = {row["row"]: row for row in drawn_events(2, copies=True)}
    by_example = {(user, at * SECOND): each for (user, at), each in zip(examples, told, strict=True)}
    assert ["click", "buy"] == [view.event_type for view in preview.models]
    for number, view in enumerate(preview.models):
        assert "left" == view.pad
        assert (3, 2)[number] == view.length
        for place, strip in enumerate(preview.strips):
            tokens = by_example[strip.entity, strip.as_of_us].tokens[number]
            padding = view.length - len(tokens)
            assert (False,) * padding + (True,) * len(tokens) == view.mask[place]
            assert (-1,) * padding + (number,) * len(tokens) == view.types[place]
            assert (0.0,) * padding + tuple(rows[token]["amount"] for token in tokens) == view.grids[0].values[place]
