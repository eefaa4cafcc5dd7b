"""The leak panel: definitions that leak are shown with the right share, those that do not with zero."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nbplat.sequence.definition import AsOf, Definition, Enrichment, EventRule
from nbplat.sequence.preview import LeakPanel, SequencePreview, explain_preview, preview_of
from tests.sequence.seen import moments, ready, table

AWARE = pa.timestamp("us", tz="UTC")
EVENTS = pa.schema([("user", pa.string()), ("at", AWARE), ("seen", AWARE), ("kind", pa.string()), ("id", pa.int64())])
RIGHT = Definition(
    name="home",
    source="events",
    entity=("user",),
    time="at",
    events=(EventRule("click", 10),),
    arrival="seen",
    id=("id",),
    type="kind",
)
# The fourth is at the very instant of ann's example, the fifth after it; the second was written late.
ROWS = [("ann", 10, 10), ("ann", 20, 45), ("ann", 30, 31), ("ann", 40, 40), ("ann", 50, 50), ("bob", 5, 6)]
ITEMS = pa.table(
    {
        "id": pa.array([1, 1, 2, 3, 3, 4, 5, 6], pa.int64()),
        "price": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
        "since": moments([0, 40, 0, 0, 35, 0, 0, 0]),
    }
)


def seen(definition: Definition, folder: Path, **examples: Any) -> SequencePreview:
    rows = [
        {"user": user, "at": at, "seen": known, "kind": "click", "id": place + 1}
        for place, (user, at, known) in enumerate(ROWS)
    ]
    asked = {"user": ["ann", "bob"], "label_ts": moments([40, 40]), **examples}
    made = ready(definition, table(rows, EVENTS), pa.table(asked), folder, {"items": ITEMS})
    return preview_of(made.bound, made.index, made.examples, joined=made.joined)


def verdicts(leak: LeakPanel) -> dict[str, tuple[str, int]]:
    return {check.name: (check.verdict, check.count) for check in leak.checks}


def test_the_right_definition_shows_zero(tmp_path):
    """Strict, with an arrival clock: three tokens, none from the future, the tie left out, every check made."""
    leak = seen(RIGHT, tmp_path).leak

    assert ("ok", 0, 3, 2) == (leak.verdict, leak.future, leak.tokens, leak.examples)
    assert {
        "rule": ("ok", 0),
        "boundary": ("ok", 0),
        "arrival": ("ok", 0),
        "own_event": ("ok", 0),
        "enrichment_after_event": ("ok", 0),
        "enrichment_after_example": ("ok", 0),
    } == verdicts(leak)
    assert "1 event at the very instant, all of them left out" == leak.checks[1].text


def test_what_is_not_strict_lets_the_label_in(tmp_path):
    """`strict: false` shows the event at the very instant as leaking: one of four tokens, one of two examples."""
    preview = seen(replace(RIGHT, as_of=AsOf(strict=False)), tmp_path)
    leak = preview.leak

    assert ("leak", 1, 4, 1, 0.25) == (leak.verdict, leak.future, leak.tokens, leak.examples_touched, leak.share)
    assert ("leak", 1) == verdicts(leak)["rule"] == verdicts(leak)["boundary"] == verdicts(leak)["own_event"]
    assert "LEAK: 1 of 4 tokens (25 %) from the future" in explain_preview(preview)[0]


def test_a_gap_makes_up_for_what_is_not_strict(tmp_path):
    """Not strict but five seconds before the instant nothing of the present gets in."""
    leak = seen(replace(RIGHT, as_of=AsOf(strict=False, gap_us=5_000_000)), tmp_path).leak

    assert ("ok", 0) == (leak.verdict, leak.future)


def test_one_final_list_a_user_leaks_what_came_later(tmp_path):
    """`as_of.at: end` gives both examples the whole history: the tie, the later event and the late write leak."""
    leak = seen(replace(RIGHT, as_of=AsOf(at="end")), tmp_path).leak

    assert ("leak", 3, 6, 1, 0.5) == (leak.verdict, leak.future, leak.tokens, leak.examples_touched, leak.share)
    assert ("leak", 2) == verdicts(leak)["rule"]
    assert ("leak", 3) == verdicts(leak)["arrival"]


@pytest.mark.parametrize(
    ("at", "verdict", "future", "after_event"),
    [("event_time", "ok", 0, 0), ("request_time", "ok", 0, 1), ("latest", "leak", 1, 2)],
)
def test_the_time_of_an_enrichment_decides_whether_it_leaks(tmp_path, at, verdict, future, after_event):
    """@ event_time and @ request_time show zero; @ latest the token whose value began at the instant or later."""
    price = Enrichment("price", "items", "price", at, (("id", "id"),), "since")

    leak = seen(replace(RIGHT, enrich_read=(price,)), tmp_path).leak

    assert (verdict, future, 3) == (leak.verdict, leak.future, leak.tokens)
    assert after_event == verdicts(leak)["enrichment_after_event"][1]
    assert future == verdicts(leak)["enrichment_after_example"][1]


@pytest.mark.parametrize(("at", "verdict", "future"), [("event_time", "ok", 0), ("latest", "leak", 1)])
def test_an_enrichment_stored_with_the_index_is_held_against_the_instant_as_well(tmp_path, at, verdict, future):
    """From when a stored value held is stored beside it, so that a build @ latest shows what it lets in."""
    price = Enrichment("price", "items", "price", at, (("id", "id"),), "since")

    preview = seen(replace(RIGHT, enrich_index=(price,)), tmp_path)

    assert (verdict, future, 3) == (preview.leak.verdict, preview.leak.future, preview.leak.tokens)
    assert [("price", 3, 3)] == [(each.name, each.count, each.of) for each in preview.hits]
    first = next(token for strip in preview.strips for token in strip.tokens if token.time_us == 10_000_000)
    expected = ("1", 0) if at == "event_time" else ("2", 40_000_000)
    assert expected == (first.enriched[0].value, first.enriched[0].valid_from_us)
    assert (("enrichment",) if future else ()) == first.future


def test_latest_without_a_time_column_is_a_risk_that_cannot_be_counted(tmp_path):
    """A table without a time column cannot show from when its values hold: the panel says at risk and what to name."""
    keyed = pa.table({"id": pa.array(range(1, 7), pa.int64()), "price": [float(n) for n in range(6)]})
    price = Enrichment("price", "prices", "price", "latest", (("id", "id"),))
    rows = [
        {"user": user, "at": at, "seen": known, "kind": "click", "id": place + 1}
        for place, (user, at, known) in enumerate(ROWS)
    ]
    asked = pa.table({"user": ["ann"], "label_ts": moments([40])})
    made = ready(replace(RIGHT, enrich_read=(price,)), table(rows, EVENTS), asked, tmp_path, {"prices": keyed})

    leak = preview_of(made.bound, made.index, made.examples, joined=made.joined).leak

    assert ("risk", 0) == (leak.verdict, leak.future)
    assert "price" in leak.checks[-1].text
    assert "valid_from" in leak.checks[-1].text


def test_without_an_arrival_clock_late_writes_are_said_to_be_unknown(tmp_path):
    """The arrival check is not green but unchecked, and names the key to declare."""
    leak = seen(replace(RIGHT, arrival=None), tmp_path).leak

    assert ("unchecked", 0) == verdicts(leak)["arrival"]
    assert "arrival: column" in leak.checks[2].text
    assert "ok" == leak.verdict


def test_an_example_that_carries_an_id_knows_its_own_event(tmp_path):
    """The label's own event counts as leaked by its id, also where it lies before the instant."""
    leak = seen(RIGHT, tmp_path, id=pa.array([3, 99], pa.int64())).leak

    assert ("leak", 1) == verdicts(leak)["own_event"]
    assert ("leak", 1, 1) == (leak.verdict, leak.future, leak.examples_touched)
