"""Traps of YAML: what looks like one thing and is another, and what could exhaust a parser."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.declared.yaml_tree import MAX_TEXT_BYTES
from nbplat.errors import RequestError
from nbplat.sequence.parse import parse_definition

BASE = "source: lake.events\nentity: u\ntime: t\n"


def _types(text: str) -> list[str]:
    return [rule.event_type for rule in parse_definition(BASE + text, "home").events]


@pytest.mark.parametrize(
    "name", ["no", "yes", "on", "off", "y", "404", "1e3", "0x1F", "010", "1:30", "2024-01-01", "true"]
)
def test_an_event_type_is_its_text_whatever_yaml_makes_of_it(name: str) -> None:
    """Booleans, numbers and dates of YAML are texts where a name stands, with and without quotes."""
    assert [name] == _types(f"events:\n  {name}: {{last: 5}}\n")
    assert [name] == _types(f"events:\n  '{name}': {{last: 5}}\n")


@pytest.mark.parametrize("name", ["null", "~", "Null", "''", "'  '"])
def test_a_key_that_is_nothing_is_refused(name: str) -> None:
    """Null and blank keys name nothing; null in quotes is a name."""
    with pytest.raises(RequestError, match=r"sequence\.key.*line 5, column 3.*quote it"):
        _types(f"events:\n  {name}: {{last: 5}}\n")
    assert ["null"] == _types("events:\n  'null': {last: 5}\n")


def test_quoted_keys_are_keys() -> None:
    """Quotes around a key change nothing."""
    assert ["click"] == _types("'events':\n  \"click\": {'last': 5}\n")


def test_every_shape_of_yaml_reads_alike() -> None:
    """Block and flow style, folded texts, comments, a document mark, tabs in values, CRLF and a byte-order mark."""
    flow = "{source: lake.events, entity: u, time: t, events: {a: {last: 5, where: x > 0}}}"
    block = f"---\n# events\n{BASE}events:\n  a:\n    last: 5\n    where: >-\n      x >\n      0\n...\n"
    crlf = "\ufeff" + block.replace("\n", "\r\n")
    assert parse_definition(flow, "home") == parse_definition(block, "home") == parse_definition(crlf, "home")


def test_a_condition_may_have_lines() -> None:
    """A literal block keeps its line breaks; the error points at its beginning."""
    text = "events:\n  a:\n    where: |\n      x > 0\n      and y{}\n"
    assert "x > 0\nand y = 1" == parse_definition(BASE + text.format(" = 1"), "home").events[0].where
    with pytest.raises(RequestError, match=r"sequence\.where.*line 6, column 12"):
        parse_definition(BASE + text.format(" ="), "home")


def test_aliases_and_merge_keys_are_understood() -> None:
    """An anchored mapping can be used again and added to; what is written wins over what is merged."""
    text = "events:\n  a: &x {last: 5, within: 1d}\n  b: *x\n  c: {<<: *x, last: 9}\n  d: {<<: [{last: 1}, *x]}\n"
    rules = {rule.event_type: (rule.last, rule.within_us) for rule in parse_definition(BASE + text, "home").events}
    day = 86_400_000_000
    assert {"a": (5, day), "b": (5, day), "c": (9, day), "d": (1, day)} == rules
    assert ["<<"] == _types("events:\n  '<<': {last: 5}\n")


REFUSED = [
    ("events: {a: {last: *none}}", "alias", "line 4, column 20"),
    ("events: &e {a: *e}", "alias", "line 4, column 16"),
    ("events: {a: {<<: 5}}", "merge", "line 4, column 18"),
    ("events: {a: !!int '5'}", "tag", "line 4, column 13"),
    ("events: {a: !rule {last: 5}}", "tag", "line 4, column 13"),
    ("events: !!python/object/apply:os.getcwd []", "tag", "line 4, column 9"),
    ("events: {[a]: {last: 5}}", "key", "line 4, column 10"),
    ("events: {{ types }}", "key", "line 4, column 10"),
    ("events: {a: {last: 5}", "yaml", "line 4, column 22"),
    ("events: {a: {last: 5}}}", "yaml", "line 4, column 23"),
    ("events:\n\ta: 5", "yaml", "line 5, column 1"),
    ("events: a: b", "yaml", "line 4, column 10"),
    ("events: 'a", "yaml", "line 4, column 11"),
    ("events: \x07", "yaml", "line 4, column 9"),
    ("--- \nevents: {}", "documents", "line 4, column 1"),
    ("events: {a: {last: 9, select: nearest(emb, 5)}}", "comma", "line 4, column 31"),
    ("events: {a: {last: 9}}\nfeatures: {i: vocab(j, min_count=5)}", "comma", "line 5, column 15"),
    ("events: {a: {last: 1,000}}", "comma", "line 4, column 20"),
    ("entity: v\nevents: {a: {last: 5}}", "twice", "line 4, column 1"),
    ("events: {a: {last: 5, last: 6}}", "twice", "line 4, column 23"),
    ("events: {a: {last: 5}, a: {last: 6}}", "twice", "line 4, column 24"),
]


@pytest.mark.parametrize(("text", "code", "place"), REFUSED)
def test_what_is_no_plain_yaml_is_refused_where_it_stands(text: str, code: str, place: str) -> None:
    """Broken YAML, tags, aliases to nothing, doubled keys and split texts are named with line and column."""
    with pytest.raises(RequestError) as caught:
        parse_definition(BASE + text, "home")
    assert (f"sequence.{code}", place) == (caught.value.code, caught.value.where)


def test_a_comma_in_braces_is_explained() -> None:
    """YAML ends a value at a comma in braces; the fix is the text in quotes."""
    with pytest.raises(RequestError) as caught:
        parse_definition(BASE + "events: {a: {select: nearest(emb, 5, to=q), last: 9}}", "home")
    assert caught.value.fix.endswith("select: 'nearest(emb, 5, to=q)'")


@pytest.mark.parametrize("text", ["", "   \n", "# nothing\n", "---\n", "~", "null"])
def test_a_text_without_a_value_is_empty(text: str) -> None:
    """Blanks, comments and null are an empty definition."""
    with pytest.raises(RequestError, match=r"sequence\.empty"):
        parse_definition(text, "home")


@pytest.mark.parametrize("text", ["- a\n- b", "just a text", "5", "[]"])
def test_a_text_that_is_no_mapping_is_refused(text: str) -> None:
    """Lists and single values are no definition."""
    with pytest.raises(RequestError, match=r"sequence\.shape.*line 1, column 1"):
        parse_definition(text, "home")


BOMB = "events: &a0 {a: {last: 5}}\n" + "".join(f"x{n}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(9))
HUGE = [
    ("[" * 200_000, "depth"),
    ("{a: " * 200_000, "depth"),
    ("- " * 5_000, "depth"),
    (BASE + BOMB, "depth"),
    ("a" * (MAX_TEXT_BYTES + 1), "long"),
    (BASE + "# " + "é" * 1_000_000, "long"),
    ("\udc80" * 10, "yaml"),
]


@pytest.mark.parametrize(
    ("text", "code"), HUGE, ids=["lists", "mappings", "dashes", "aliases", "long", "bytes", "half"]
)
def test_a_hostile_text_ends_in_an_error_at_once(text: str, code: str) -> None:
    """Nesting, chains of aliases and a megabyte of text are refused before they cost anything."""
    begun = time.monotonic()
    with pytest.raises(RequestError, match=rf"sequence\.{code}"):
        parse_definition(text[: MAX_TEXT_BYTES // 2] if code == "depth" else text, "home")
    assert time.monotonic() - begun < 20


def test_a_long_definition_is_read() -> None:
    """Two thousand types are no trouble."""
    text = "events:\n" + "".join(f"  type_{n}: {{last: {n + 1}}}\n" for n in range(2_000))
    assert [f"type_{n}" for n in range(2_000)] == _types(text)


_WHOLE = """\
source: lake.events
entity: [user_id, "shop id"]
time: event_ts
timezone: {zone: Europe/London, ambiguous: latest}
arrival: {column: ingest_ts, early: clip}
id: event_id
events:
  click: &c {last: 100, within: 90d, where: "amount > 0", select: 'nearest(emb, 5, to=q)'}
  buy: {<<: *c, last: 10}
enrich:
  read: {emb: 'items.emb @ latest on item_id, a=b by valid_from'}
features: {item_id: vocab(min_count=5), price: 'bucket(amount, edges=[0, 1.5])'}
size: {length: 50}
variants:
  v: {size.length: 5, events.buy: drop, features.item_id.min_count: 2}
"""
_PIECES = [
    "",
    " ",
    "\n",
    ":",
    ": ",
    ",",
    "{",
    "}",
    "[",
    "]",
    "'",
    '"',
    "&c ",
    "*c",
    "!x ",
    "(",
    ")",
    "@",
    "`",
    "0",
    "-",
    "#",
    "\\",
    "~",
    "é",
]


@settings(max_examples=150, deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(_WHOLE)), st.integers(0, 9), st.sampled_from(_PIECES)), min_size=1, max_size=4
    )
)
def test_a_damaged_text_is_read_or_refused(edits: list[tuple[int, int, str]]) -> None:
    """Whatever is cut out or put in, the answer is a definition or an error of ours with a fix."""
    text = _WHOLE
    for at, length, piece in edits:
        text = text[:at] + piece + text[at + length :]
    try:
        made = parse_definition(text, "home")
    except RequestError as error:
        read = (error.code.partition(".")[0], bool(error.fix))
    else:
        read = ("sequence", made.name == "home")
    assert ("sequence", True) == read
