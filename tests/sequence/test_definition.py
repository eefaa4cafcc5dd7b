"""What a definition's keys mean, and what is taken when they are left out."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbplat.sequence.definition import MAX_LAST, AsOf, Definition, Enrichment, EventRule, Feature, Nearest, Size, Zone
from nbplat.sequence.keys import KEYS, keys_under
from nbplat.sequence.parse import from_keys, parse_definition
from nbplat.sequence.write import to_keys, to_yaml

MINIMAL = "source: lake.events\nentity: user_id\ntime: event_ts\nevents:\n  click: {last: 100}\n  buy: {}\n"

# The example of the reference, section 5 A.
FULL = """\
source:  lake.events                 # Iceberg table, Parquet path, or a DataFrame in the notebook
entity:  user_id
time:    event_ts
arrival: ingest_ts                   # optional: also require arrival before the example
id:      event_id                    # dedupe key and tie-break
events:
  click:    {last: 100, within: 90d}
  repin:    {last: 50}
  purchase: {last: 10, where: "amount > 0"}
enrich:
  index: {category: items.category @ event_time}     # stored with the event
  read:  {emb: items.embedding_v7 @ latest}          # joined when read
layout:  mixed                       # or per_type
size:    {length: 200, order: newest_first, pad: right}
features: {item_id: vocab(min_count=5), event_type: vocab, event_ts: age_log, amount: float32}
as_of:   {time: label_ts, strict: true, gap: 5m}
variants:
  short:    {size.length: 50}
  no_click: {events.click: drop}
"""

DAY_US = 86_400_000_000


def vocab(name: str, column: str, min_count: int = 1) -> Feature:
    return Feature(name, "vocab", column, (("max_size", None), ("min_count", min_count)))


def test_four_keys_are_enough_and_every_default_is_named() -> None:
    """What was not written is in the definition and, as text, among its defaults."""
    made = parse_definition(MINIMAL, "home")
    rules = (EventRule("click", 100), EventRule("buy", MAX_LAST))
    token = (vocab("event_type", "event_type"),)
    assert Definition("home", "lake.events", ("user_id",), "event_ts", rules, features=token) == made
    told = dict(line.split(": ", 1) for line in made.defaults)
    assert "all (20100 = click 100 + buy 20000)" == told["size.length"]
    assert "vocab (tells the types of a mixed sequence apart)" == told["features.event_type"]
    assert "20000" == told["events.buy.last"]
    assert "none" == told["variants"]
    assert "events.click.last" not in told
    assert {"type": "event_type", "dedupe": "none", "as_of.strict": "true", "as_of.gap": "0s"}.items() <= told.items()


def test_every_key_with_a_default_tells_it_when_it_is_left_out() -> None:
    """The declaration of the keys and the defaults of the shortest definition have the same keys and words."""
    told = dict(line.split(": ", 1) for line in parse_definition(MINIMAL, "home").defaults)
    top = {name for name in keys_under("") if any(path.split(".")[0] == name for path in told)}
    assert set(keys_under("")) - {"name", "source", "entity", "time"} == top
    for key in KEYS:
        if key.path in told and key.path not in ("size.length", "dedupe"):
            assert key.default == told[key.path]


def test_every_key_of_the_reference_is_read() -> None:
    """The example of the reference gives this definition."""
    made = parse_definition(FULL, "home_v3")
    expected = Definition(
        name="home_v3",
        source="lake.events",
        entity=("user_id",),
        time="event_ts",
        arrival="ingest_ts",
        id=("event_id",),
        dedupe="first",
        events=(
            EventRule("click", 100, 90 * DAY_US),
            EventRule("repin", 50),
            EventRule("purchase", 10, None, "amount > 0"),
        ),
        enrich_index=(Enrichment("category", "lake.items", "category", "event_time"),),
        enrich_read=(Enrichment("emb", "lake.items", "embedding_v7", "latest"),),
        size=Size(200),
        features=(
            vocab("item_id", "item_id", 5),
            vocab("event_type", "event_type"),
            Feature("event_ts", "age_log", "event_ts"),
            Feature("amount", "number", "amount", (("fill", 0.0), ("type", "float32"))),
        ),
        as_of=AsOf(gap_us=300_000_000),
        variants={"short": {"size.length": 50}, "no_click": {"events.click": "drop"}},
    )
    assert expected == made


def test_python_keys_make_the_same_definition() -> None:
    """`from_keys` takes the same keys and values as YAML, and a timedelta where a duration stands."""
    made = from_keys(
        "home_v3",
        source="lake.events",
        entity=["user_id"],
        time="event_ts",
        arrival="ingest_ts",
        id="event_id",
        events={
            "click": {"last": np.int64(100), "within": dt.timedelta(days=90)},
            "repin": {"last": 50},
            "purchase": {"last": 10, "where": "amount > 0"},
        },
        enrich={
            "index": {"category": "items.category @ event_time"},
            "read": {"emb": {"from": "items", "column": "embedding_v7", "at": "latest"}},
        },
        size={"length": 200},
        features={
            "item_id": {"function": "vocab", "min_count": 5},
            "event_type": "vocab",
            "event_ts": "age_log",
            "amount": "float32",
        },
        as_of={"gap": "5m"},
        variants={"short": {"size.length": 50}, "no_click": {"events.click": "drop"}},
    )
    assert parse_definition(FULL, "home_v3") == made
    assert parse_definition(FULL, "other").version == made.version
    assert "events.click.last" == made.place("events", "click", "last")


def test_places_are_lines_of_values() -> None:
    """`place` gives the line of a key's value, and of the nearest key around one that was not written."""
    made = parse_definition(FULL, "home_v3")
    assert "line 7, column 20" == made.place("events", "click", "last")
    assert "line 7, column 3" == made.place("events", "click", "select")
    assert "line 2, column 10" == made.place("entity", "user_id")
    assert "" == made.place("show")


def test_what_is_written_is_short_and_keeps_its_order() -> None:
    """`to_yaml` leaves defaults out."""
    expected = """\
source: lake.events
entity: user_id
time: event_ts
arrival: ingest_ts
id: event_id
events:
  click: {last: 100, within: 90d}
  repin: {last: 50}
  purchase: {last: 10, where: "amount > 0"}
enrich:
  index:
    category: lake.items.category @ event_time
  read:
    emb: lake.items.embedding_v7 @ latest
size: {length: 200}
features:
  item_id: vocab(min_count=5)
  event_type: vocab
  event_ts: age_log
  amount: float32
as_of: {gap: 5m}
variants:
  short: {size.length: 50}
  no_click: {events.click: drop}
"""
    made = parse_definition(FULL, "home_v3")
    assert expected == to_yaml(made)
    assert made.version == parse_definition(expected, "home_v3").version
    assert to_yaml(made, name=True).startswith("name: home_v3\n")


EXPLICIT = [
    ("layout: mixed", {}),
    ("dedupe: none", {}),
    ("type: event_type", {}),
    ("size: {}", {}),
    ("size: {length: all, order: newest_first, pad: right, truncate: oldest}", {}),
    ("as_of: {time: label_ts, strict: yes, gap: 0s, at: example}", {}),
    ("as_of: {strict: on}", {}),
    ("features: {event_type: vocab}", {}),
    ("features: {event_type: 'vocab(event_type, min_count=1, max_size=none)'}", {}),
    ("features: {event_type: {function: vocab, max_size: none}}", {}),
    ("features: {}", {}),
    ("enrich: {}", {}),
    ("enrich: {index: {}, read: {}}", {}),
    ("variants: {}", {}),
    ("name: home", {}),
]


@pytest.mark.parametrize(("line", "_"), EXPLICIT, ids=[line for line, _ in EXPLICIT])
def test_a_default_written_out_is_the_same_version(line: str, _: Any) -> None:
    """Writing what is taken anyway changes nothing."""
    made, other = parse_definition(MINIMAL, "home"), parse_definition(f"{MINIMAL}{line}\n", "home")
    assert made == other
    assert made.version == other.version


SAME = [
    ("events: {click: {last: 5, within: 36h}}", "events: {click: {within: 1d12h, last: 5}}"),
    ("timezone: UTC", "timezone: {zone: UTC, missing: refuse}"),
    ("arrival: a", "arrival: {column: a, early: refuse}"),
    ("id: a", "id: [a]\ndedupe: first"),
    ("features: {x: number}", "features: {x: 'float32(x, fill=-0.0)'}"),
    ("features: {x: 'bucket(edges=[0, 10])'}", "features: {x: {function: bucket, column: x, edges: [0.0, 1e1]}}"),
    (
        "enrich: {read: {e: 'i.e @ latest on b=c, a'}}",
        "enrich: {read: {e: {from: lake.i, column: e, at: latest, on: {a: a, b: c}}}}",
    ),
    (
        "enrich: {read: {e: i.e @ latest on a by t}}",
        "enrich: {read: {e: {time: t, on: [a], at: latest, column: e, from: i}}}",
    ),
]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_two_ways_to_write_one_thing_are_one_version(one: str, two: str) -> None:
    """Spelling does not show in the version."""
    versions = []
    for text in (one, two):
        base = MINIMAL.partition("events:")[0] if text.startswith("events") else MINIMAL
        versions.append(parse_definition(f"{base}{text}\n", "home").version)
    assert versions[0] == versions[1]


DIFFERENT = [
    "dedupe: exact",
    "time_unit: ms",
    "timezone: UTC",
    "timezone: {zone: UTC, ambiguous: latest}",
    "arrival: a",
    "arrival: {column: a, early: clip}",
    "id: a",
    "id: [a, b]",
    "id: [b, a]",
    "id: a\ndedupe: last",
    "type: kind",
    "layout: per_type",
    "layout: per_type\nsize: {length: {click: 5}}",
    "size: {length: 20100}",
    "size: {order: oldest_first}",
    "size: {pad: left}",
    "size: {truncate: newest}",
    "features: {event_type: vocab(min_count=2)}",
    "features: {x: age}",
    "features: {x: age(unit=h)}",
    "features: {x: age_log}",
    "features: {x: quantile}",
    "features: {x: embedding}",
    "features: {x: int64}",
    "show: [x]",
    "as_of: {time: t}",
    "as_of: {strict: false}",
    "as_of: {gap: 1us}",
    "as_of: {at: end}",
    "enrich: {index: {e: i.e @ latest}}",
    "enrich: {read: {e: i.e @ latest}}",
    "enrich: {read: {e: i.e @ event_time}}",
    "variants: {v: {size.length: 5}}",
]


def test_what_means_something_else_is_another_version() -> None:
    """Every key shows in the version."""
    versions = {parse_definition(f"{MINIMAL}{line}\n", "home").version for line in ["", *DIFFERENT]}
    assert len(DIFFERENT) + 1 == len(versions)


def test_a_mixed_sequence_gets_a_type_token_only_when_it_has_none() -> None:
    """Any feature over the type column tells the types apart; one list a type needs none."""
    hashed = parse_definition(f"{MINIMAL}features: {{kind: 'hash(event_type, buckets=8)'}}\n", "home")
    assert ["kind"] == [each.name for each in hashed.features]
    assert () == parse_definition(f"{MINIMAL}layout: per_type\n", "home").features
    own = parse_definition(f"{MINIMAL}type: kind\nfeatures: {{amount: float32}}\n", "home")
    assert [("amount", "amount"), ("kind", "kind")] == [(each.name, each.column) for each in own.features]
    assert "kind" not in to_keys(own)["features"]


def test_a_selection_counts_towards_the_length() -> None:
    """A rule gives what it keeps, not what it retrieves."""
    made = parse_definition(MINIMAL.replace("{}", "{last: 500, select: 'nearest(emb, 20)'}"), "home")
    assert Nearest("emb", 20, "emb") == made.events[1].select
    assert "size.length: all (120 = click 100 + buy 20)" in made.defaults
    assert "events.buy.select.to: emb of the examples" in made.defaults


def test_a_time_zone_says_what_a_doubled_hour_is() -> None:
    """The zone, and the two hours that it may decide."""
    made = parse_definition(f"{MINIMAL}timezone: {{zone: Europe/London, ambiguous: earliest}}\n", "home")
    assert Zone("Europe/London", "earliest", "refuse") == made.zone
    assert "timezone.missing: refuse" in made.defaults


@pytest.mark.parametrize(
    "source", ["lake.events", "lake.raw.events", "data/events/*.parquet", "events.parquet", "s3://b/e/", "events", "a*"]
)
def test_tables_paths_and_frames_are_sources(source: str) -> None:
    """A table has a dot, a path a slash, a wildcard or Parquet's ending, a frame is one name."""
    text = MINIMAL.replace("lake.events", f"'{source}'")
    assert source == parse_definition(text, "home").source


PAGE = Path(__file__).resolve().parents[2] / "docs" / "sequence-definition.md"
BLOCKS = re.findall(r"^```(yaml|python)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("language", "text"), BLOCKS)
def test_every_example_of_the_page_is_a_definition(language: str, text: str) -> None:
    """What docs/sequence-definition.md shows can be typed."""
    if language == "yaml":
        made = parse_definition(text, "home_v3")
    else:
        scope: dict[str, Any] = {}
        exec(text, scope)  # noqa: S102
        made = scope["home"].definition
    assert "lake.events" == made.source


def test_every_error_code_stands_on_the_page() -> None:
    """The table of codes has each one that reading and binding raise, and no other."""
    table = PAGE.read_text(encoding="utf-8").partition("## Mistakes")[2]
    named = {code.rpartition(".")[2] for code in re.findall(r"`((?:sequence)?\.\w+)`", table)}
    folder = PAGE.parents[1] / "nbplat"
    texts = [(folder / f"{name}.py").read_text(encoding="utf-8") for name in TREES]
    texts += [(folder / "sequence" / f"{name}.py").read_text(encoding="utf-8") for name in READERS]
    raised = {code for text in texts for code in re.findall(r'(?:\b[fF]ault\(\s*"|code="|"sequence\.)(\w+)"', text)}
    # Of durations, entities and ids the code is the name of the key.
    assert raised | {"within", "gap", "entity", "id"} == named


TREES = ("declared/yaml_tree", "declared/python_tree", "declared/reading")
READERS = (
    *("nodes parse read read_value read_events read_shape read_times feature_text feature_options".split()),
    *("select_text enrich_text variants bind bind_columns bind_enrich bind_features index_record".split()),
    *("definition_file definition_json".split()),
)
