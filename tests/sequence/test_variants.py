"""Variants: what a path may set, what it becomes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.errors import RequestError
from nbplat.sequence.definition import Definition, EventRule
from nbplat.sequence.index_record import index_record
from nbplat.sequence.parse import from_keys, parse_definition
from nbplat.sequence.variants import variant
from nbplat.sequence.write import to_yaml
from tests.sequence.definitions import definition_keys

BASE = """\
source: lake.events
entity: user_id
time: event_ts
arrival: ingest_ts
id: event_id
events:
  click: {last: 100, within: 90d}
  buy: {last: 10, where: amount > 0}
  page.view: {}
enrich:
  index: {category: items.category @ event_time}
  read: {emb: items.emb @ latest}
features:
  item_id: vocab(min_count=5)
  amount: float32
as_of: {gap: 5m}
"""


def _made(paths: str, base: str = BASE) -> Definition:
    return variant(parse_definition(f"{base}variants:\n  v: {{{paths}}}\n", "home"), "v")


def test_a_variant_is_the_definition_with_these_keys_replaced() -> None:
    """It is called home.v, has no variants, and differs only where it says so."""
    made = _made("size.length: 50, events.click: drop, as_of.gap: 1h")
    expected = parse_definition(
        BASE.replace("  click: {last: 100, within: 90d}\n", "").replace("5m", "1h") + "size: {length: 50}\n", "home"
    )
    assert "home.v" == made.name
    assert {} == dict(made.variants)
    assert expected.version == made.version


SETS: list[tuple[str, str, Any]] = [
    ("events.click.last: 5", "events", EventRule("click", 5, 90 * 86_400_000_000)),
    ("events.click: {last: 5}", "events", EventRule("click", 5)),
    ("events.click.within: drop", "events", EventRule("click", 100)),
    ("events.buy.where: drop", "events", EventRule("buy", 10)),
    ("events.add: {last: 5, where: x > 1}", "events", EventRule("add", 5, None, "x > 1")),
    ('events."page.view".last: 5', "events", EventRule("page.view", 5)),
    ("layout: per_type", "layout", "per_type"),
    ("show: [amount]", "show", ("amount",)),
    ("as_of.strict: false", "as_of.strict", False),
    ("as_of: {at: end}", "as_of.gap_us", 0),
    ("as_of.gap: drop", "as_of.gap_us", 0),
    ("size.order: oldest_first", "size.order", "oldest_first"),
    ("features.item_id.min_count: 9", "features.item_id", {"max_size": None, "min_count": 9}),
    ("features.item_id: 'hash(buckets=9)'", "features.item_id", {"buckets": 9}),
    ("features.amount: drop", "names", ("item_id", "event_type")),
    ("features: {item_id: vocab}", "names", ("item_id", "event_type")),
    ("features: drop", "names", ("event_type",)),
    ("features.item_id: drop, features.amount: drop", "names", ("event_type",)),
    ("features.event_type: drop, layout: per_type", "names", ("item_id", "amount")),
    ("features.event_type.min_count: 9", "features.event_type", {"max_size": None, "min_count": 9}),
    ("enrich.index.category: drop", "enrich_index", ()),
    ("enrich.read: drop", "enrich_read", ()),
    ("enrich.read.emb.at: event_time", "moment", "event_time"),
]


@pytest.mark.parametrize(("paths", "what", "expected"), SETS, ids=[paths for paths, _, _ in SETS])
def test_a_path_sets_one_key(paths: str, what: str, expected: Any) -> None:
    """Each kind of path, dropped, replaced and added."""
    made = _made(paths)
    found: Any = {
        "events": next((rule for rule in made.events if rule == expected), None),
        "names": tuple(each.name for each in made.features),
        "features.item_id": dict(made.features[0].options),
        "features.event_type": dict(made.features[-1].options),
        "moment": made.enrich_read[0].at if made.enrich_read else "",
        "as_of.strict": made.as_of.strict,
        "as_of.gap_us": made.as_of.gap_us,
        "size.order": made.size.order,
    }
    assert expected == (found[what] if what in found else getattr(made, what))


def test_a_type_that_is_dropped_takes_its_length_with_it() -> None:
    """Lengths a type follow the types that are left."""
    base = BASE + "layout: per_type\nsize: {length: {click: 5, buy: 6}}\n"
    assert {"buy": 6} == dict(_made("events.click: drop", base).size.lengths)
    assert {} == dict(_made("events.click: drop, events.buy: drop", base).size.lengths)
    with pytest.raises(RequestError, match=r"variant v: size\.length names 'click'.*line 20"):
        _made("events.click: drop, size.length: {click: 7}", base)


def test_defaults_of_a_variant_are_its_own() -> None:
    """What the definition wrote is no default of the variant; what the variant takes away is one."""
    made = _made("as_of.gap: drop, events.click: {last: 5}")
    assert "events.click.within: any age" in made.defaults
    assert "size.length: all (20015 = click 5 + buy 10 + page.view 20000)" in made.defaults
    assert not [
        line for line in made.defaults if line.startswith(("features.amount.type", "arrival:", "events.click.last"))
    ]


def test_values_are_kept_in_one_form() -> None:
    """However a variant is written, equal ones have one version."""
    ways = [
        "events.click.within: 36h, features.amount: number, as_of: {strict: yes, gap: 0s}",
        "as_of: {}, features.amount: {function: float32}, events.click.within: 1d12h",
    ]
    texts = [f"{BASE}variants:\n  v: {{{paths}}}\n  w: {{size.length: 5}}\n" for paths in ways]
    one, two = (parse_definition(text.replace("amount: float32", "amount: quantile"), "home") for text in texts)
    assert one.version == two.version
    assert {"events.click.within": "1d12h", "features.amount": "float32"}.items() <= one.variants["v"].items()


# What decides the index that all variants share, and what a variant does not have.
FIXED = [
    "source: other.events",
    "entity: x",
    "arrival.early: clip",
    "dedupe: last",
    "timezone: UTC",
    "name: x",
    "variants.w: {}",
]
REFUSED = [
    ("v: {}", "variant", "line 18, column 6", "give it a path"),
    ("v: [a]", "shape", "line 18, column 6", "a mapping"),
    ("V-1: {size.length: 5}", "name", "line 18, column 3", "lower-case"),
    ("v: {size.lenght: 5}", "path", "line 18, column 7", "did you mean size.length"),
    ("v: {sise: {length: 5}}", "path", "line 18, column 7", "did you mean size?"),
    ("v: {size..length: 5}", "path", "line 18, column 7", "in quotes"),
    ("v: {events.clik: drop}", "variant", "line 18, column 20", "did you mean click?"),
    ("v: {events.clik.last: 5}", "path", "line 18, column 7", "did you mean click?"),
    ("v: {events.page.view: drop}", "path", "line 18, column 7", 'events."page.view"'),
    ("v: {events.click.lst: 5}", "path", "line 18, column 7", "did you mean events.click.last"),
    ("v: {events.click.last: 0}", "last", "line 18, column 26", "a whole number"),
    ("v: {events.click: {lst: 5}}", "key", "line 18, column 22", "did you mean last?"),
    ("v: {events.click.select: 'nearest(emb, 500)'}", "select", "line 18, column 42", "from 1 to 100"),
    ("v: {features.amount: floot32}", "feature", "line 18, column 24", "did you mean float32"),
    ("v: {features.item_id.buckets: 5}", "feature", "line 18, column 33", "known: max_size, min_count"),
    ("v: {features.colour: drop}", "variant", "line 18, column 24", "known: amount, item_id"),
    ("v: {features.event_type: drop}", "variant", "line 18, column 28", "or set layout: per_type"),
    (
        "v: {features.item_id: drop, features.amount: drop, features.event_type: drop}",
        "variant",
        "line 18, column 75",
        "or set layout: per_type",
    ),
    ("v: {enrich.read.emc.at: latest}", "path", "line 18, column 7", "did you mean emb?"),
    ("v: {enrich.read.emb.at: drop}", "missing", "line 12, column 15", "there is no default"),
    ("v: {size.length.click: 5}", "size", "line 18, column 26", "layout: per_type"),
    (
        'v: {events.click: drop, events.buy: drop, events."page.view": drop}',
        "events",
        "line 6, column 1",
        "write events",
    ),
    *((f"v: {{{path}}}", "variant", "line 18, column 7", "a definition of its own") for path in FIXED),
    ("v: {enrich.index.category: items.other @ latest}", "variant", "line 18, column 3", "under enrich.read"),
    ("v: {size.length: 5, size: {pad: left}}", "variant", "line 18, column 23", "one of the two"),
    ("v: {events.click: {last: 5}, events.click.last: 6}", "variant", "line 18, column 32", "one of the two"),
    ("v: {size.length: 5, size.length: 6}", "twice", "line 18, column 23", "one of the two"),
    ("v: {as_of.gap: 300s}", "variant", "line 18, column 3", "take one of the two away"),
    ("v: {size.length: 5}\n  w: {size: {length: 5}}", "variant", "line 19, column 3", "take one of the two away"),
    ("v: {size.length: 5}\n  v: {size.length: 6}", "twice", "line 19, column 3", "keep one of the two"),
    (
        "v: {enrich.index.c2: items.c @ latest}\n  w: {enrich.index.c2: items.d @ latest}",
        "variant",
        "line 19, column 3",
        "another name",
    ),
]


@pytest.mark.parametrize(("text", "code", "place", "fix"), REFUSED, ids=[text for text, _, _, _ in REFUSED])
def test_a_variant_that_cannot_be_is_refused_where_it_stands(text: str, code: str, place: str, fix: str) -> None:
    """Unknown and overlapping paths, what decides the index, wrong values, and variants that are the same."""
    with pytest.raises(RequestError) as caught:
        parse_definition(f"{BASE}variants:\n  {text}\n", "home")
    assert (f"sequence.{code}", place) == (caught.value.code, caught.value.where)
    assert fix in caught.value.fix


def test_an_unknown_variant_is_refused() -> None:
    """The nearest name is said, or that there is none at all."""
    made = parse_definition(f"{BASE}variants: {{short: {{size.length: 5}}}}\n", "home")
    with pytest.raises(RequestError, match=r"home has no variant 'shrt'.*did you mean short\?"):
        variant(made, "shrt")
    with pytest.raises(RequestError, match="add one under variants:"):
        variant(parse_definition(BASE, "home"), "short")


PATHS = [
    ("size.length", [7, "all", "drop"]),
    ("size.order", ["oldest_first", "newest_first", "drop"]),
    ("size", [{"pad": "left"}, {"truncate": "newest", "length": 3}, {}]),
    ("as_of.strict", [False, True, "drop"]),
    ("as_of", [{"gap": "90s"}, {"at": "end"}, "drop"]),
    ("show", [["amount"], "drop"]),
    ("features", [{"x": "vocab(min_count=2)", "y": {"function": "bucket", "edges": [1, 2.5]}}, "drop"]),
    ("enrich.read", [{"r": "lake.items.x @ latest on a=b by t"}, "drop"]),
    ("events.added", [{"last": 5}, {"where": "x > 1", "within": "36h"}]),
]


@st.composite
def _overrides(draw: st.DrawFn) -> dict[str, Any]:
    chosen = draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=4, unique_by=lambda path: path[0]))
    found = {path: draw(st.sampled_from(values)) for path, values in chosen}
    return {path: value for path, value in found.items() if not any(path.startswith(f"{other}.") for other in found)}


@settings(max_examples=60, deadline=None)
@given(keys=definition_keys(), overrides=_overrides())
def test_variants_read_back_from_yaml_as_they_are(keys: dict[str, Any], overrides: dict[str, Any]) -> None:
    """A definition with a variant survives YAML, and its variant is the same one afterwards."""
    try:
        made = from_keys("s", **keys, variants={"v": overrides})
    except RequestError as error:
        if error.code not in ("sequence.variant", "sequence.size", "sequence.feature"):
            raise
        return
    again = parse_definition(to_yaml(made), "s")
    assert (made, made.version) == (again, again.version)
    assert variant(made, "v").version == variant(again, "v").version
    parts = (made, variant(made, "v"))
    assert index_record(parts)["types"] == sorted({rule.event_type for part in parts for rule in part.events})
