"""The YAML of a sequence: what it means, and where it is wrong."""

from __future__ import annotations

import pytest

from nbplat.errors import RequestError
from nbplat.sequence import EventRule, SequenceSpec, parse_spec

TEXT = """\
source: retail.events
entity: customer_id
time: event_ts
events:
  purchase: {last: 50}
  cancel: {last: 10}
"""


def test_the_shortest_definition_takes_named_defaults() -> None:
    """Four keys are enough; what was not written is listed with its value."""
    spec = parse_spec(TEXT, "buyer")
    rules = (EventRule("purchase", 50), EventRule("cancel", 10))
    assert SequenceSpec("buyer", "retail.events", "customer_id", "event_ts", rules) == spec
    assert (None, "event_type", "label_ts", True, ()) == (spec.id, spec.type, spec.as_of_time, spec.strict, spec.show)
    assert 5 == len(spec.defaults)
    assert "as_of.strict: true" in spec.defaults


def test_every_key_is_read_and_none_is_a_default() -> None:
    """A fully written definition has no defaults."""
    more = "id: event_id\ntype: kind\nas_of: {time: at, strict: false}\nshow: [stock_code, amount]\n"
    spec = parse_spec(TEXT + more, "buyer")
    assert () == spec.defaults
    expected = ("event_id", "kind", "at", False, ("stock_code", "amount"))
    assert expected == (spec.id, spec.type, spec.as_of_time, spec.strict, spec.show)


def test_the_version_names_the_content() -> None:
    """Spelling, order and name do not change the version; a number does."""
    version = parse_spec(TEXT, "buyer").version
    flow = "events: {cancel: {last: 10}, purchase: {last: 50}}\ntype: event_type\n" + "\n".join(TEXT.split("\n")[:3])
    assert version == parse_spec(flow, "other").version
    assert version != parse_spec(TEXT.replace("50", "51"), "buyer").version


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("entity:", "entitty:", r"no key 'entitty' \(line 2, column 1\).*did you mean entity"),
        ("time: event_ts\n", "", "key 'time' is missing"),
        ("{last: 50}", "50", r"'purchase' has no number \(line 5, column 13\)"),
        ("{last: 50}", "{within: 90d}", r"no key 'within' \(line 5, column 14\)"),
        ("{last: 50}", "{}", "'purchase' has no number"),
        ("last: 50", "last: 0", r"last: 0 is not possible \(line 5, column 20\)"),
        ("last: 50", "last: -1", "not possible"),
        ("last: 50", "last: many", "last: many"),
        ("last: 50", "last: true", "not possible"),
        ("cancel:", "purchase:", r"'purchase' is written twice \(line 6, column 3\)"),
        ("retail.events", "events", r"'events' is not a table name \(line 1, column 9\)"),
        ("customer_id", "[a, b]", r"entity is not a name \(line 2"),
        ("customer_id", "", r"entity is not a name \(line 2"),
        ("event_ts", "event_ts\nshow: amount", r"show is not a list \(line 4"),
        ("event_ts", "event_ts\nshow: [a, a]", "show names 'a' twice"),
        ("event_ts", "event_ts\nas_of: {strict: 1}", "neither true nor false"),
        ("event_ts", "event_ts\nas_of: {stict: true}", "did you mean strict"),
        ("{last: 50}", "{last: 50", r"not YAML.*\(line"),
    ],
)
def test_mistakes_are_named_with_their_line(before: str, after: str, message: str) -> None:
    """Every mistake says what is wrong, where, and what would be right."""
    with pytest.raises(RequestError, match=message):
        parse_spec(TEXT.replace(before, after, 1), "buyer")


@pytest.mark.parametrize("text", ["", "# nothing", "- a\n- b", "just text", "\x00"])
def test_other_texts_are_refused(text: str) -> None:
    """Empty cells, lists and control characters are no definition."""
    with pytest.raises(RequestError, match="sequence"):
        parse_spec(text, "buyer")


def test_a_name_that_cannot_name_a_run_is_refused() -> None:
    """Names follow the same rule everywhere."""
    with pytest.raises(RequestError, match="Home V3"):
        parse_spec(TEXT, "Home V3")
