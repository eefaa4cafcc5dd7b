"""Definitions held against schemas: what fits, what is filled in, and every misfit with its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.adapters.duckdb.conditions import DuckDBConditions
from nbplat.errors import RequestError
from nbplat.sequence.bind import bind, tables_of
from nbplat.sequence.bound import Bound
from nbplat.sequence.definition import Definition
from nbplat.sequence.index_record import index_columns
from nbplat.sequence.parse import from_keys, parse_definition
from tests.sequence.definitions import definition_keys

UTC = pa.timestamp("us", tz="UTC")
NAIVE = pa.timestamp("ns")

EVENTS = pa.schema(
    {
        "user_id": pa.int64(),
        "event_ts": UTC,
        "ingest_ts": UTC,
        "event_id": pa.string(),
        "event_type": pa.dictionary(pa.int32(), pa.string()),
        "item_id": pa.int64(),
        "amount": pa.float64(),
        "country": pa.string(),
        "vector": pa.list_(pa.float32(), 8),
        "loose": pa.list_(pa.float32()),
        "tags": pa.list_(pa.string()),
        "meta": pa.struct({"price": pa.float64()}),
        "local_ts": NAIVE,
        "day": pa.date32(),
        "epoch_ms": pa.int64(),
        "emptiness": pa.null(),
    }
)
EXAMPLES = pa.schema({"user_id": pa.int32(), "label_ts": UTC, "vector": pa.list_(pa.float32()), "label": pa.int8()})
ITEMS = pa.schema(
    {
        "item_id": pa.int64(),
        "category": pa.string(),
        "emb": pa.list_(pa.float32(), 16),
        "valid_from": UTC,
        "created": UTC,
    }
)
USERS = pa.schema({"user_id": pa.int64(), "country": pa.string(), "level": pa.int32(), "since": pa.timestamp("us")})
FLAT = pa.schema({"item_id": pa.int64(), "colour": pa.string()})
TABLES = {"lake.items": ITEMS, "lake.users": USERS, "lake.flat": FLAT}

BASE = """\
source: lake.events
entity: user_id
time: event_ts
arrival: ingest_ts
id: event_id
events:
  click: {last: 100}
  buy: {last: 10}
"""


def _bound(more: str = "", base: str = BASE, *, variant: str | None = None, events: pa.Schema = EVENTS) -> Bound:
    definition = parse_definition(f"{base}{more}\n", "home")
    return bind(definition, events, EXAMPLES, TABLES, DuckDBConditions(), variant=variant)


def test_a_bound_definition_says_what_the_index_stores() -> None:
    """Roles first, then every column that anything names, by name; enrichments at index beside them."""
    bound = _bound(
        "enrich:\n"
        "  index: {category: items.category @ event_time}\n"
        "  read: {level: users.level @ latest on user_id by since}\n"
        "timezone: UTC\n"
        "features: {amount: float32, category: vocab, level: number, vector: embedding}\n"
        "show: [country, category]\n"
    )
    columns = ("user_id", "event_type", "event_ts", "ingest_ts", "event_id", "amount", "country", "item_id", "vector")
    assert columns == bound.index_columns
    assert [*columns, "category"] == bound.index_schema.names
    assert pa.string() == bound.index_schema.field("event_type").type
    assert ("buy", "click") == bound.types
    assert ("amount", "category", "event_type", "level", "vector") == bound.feature_columns
    assert {"country": pa.string(), "level": pa.int32()}.items() <= dict(bound.column_types).items()
    assert (pa.int64(),) == bound.entity_types
    assert list(columns) == bound.index_record["columns"]
    assert ("home", None) == (bound.label, bound.variant)


def test_what_only_schemas_tell_is_filled_in_and_named() -> None:
    """The column both sides share, from when a row holds, how long a vector is."""
    bound = _bound(
        "enrich:\n"
        "  index: {category: items.category @ event_time}\n"
        "  read: {emb: items.emb @ latest, colour: flat.colour @ latest}\n"
        "features: {emb: embedding}\n"
    )
    found = {
        each.name: (each.on, each.time) for each in (*bound.definition.enrich_index, *bound.definition.enrich_read)
    }
    on = (("item_id", "item_id"),)
    assert {"category": (on, "valid_from"), "emb": (on, "valid_from"), "colour": (on, None)} == found
    assert 16 == bound.definition.features[0].option("size")
    assert {
        "enrich.index.category.on: item_id",
        "enrich.index.category.time: valid_from",
        "enrich.read.colour.time: none (one row a key)",
        "features.emb.size: 16",
    } <= set(bound.definition.defaults)
    assert bound.declared.version == bound.version


def test_conditions_have_numbers_that_variants_share() -> None:
    """The distinct conditions of all variants, sorted; each is prepared once."""
    more = (
        "variants:\n"
        "  dear: {events.click.where: amount > 9, events.add: {last: 3, where: country = 'FR'}}\n"
        "  same: {events.buy.where: amount > 9, events.click: drop}\n"
    )
    bounds = [_bound(more, variant=name) for name in (None, "dear", "same")]
    for bound in bounds:
        assert ("amount > 9", "country = 'FR'") == bound.conditions
        assert [["amount"], ["country"]] == [list(each["columns"]) for each in bound.prepared]
        assert ("add", "buy", "click") == bound.types
        assert {"amount", "country"} <= set(bound.index_columns)
    assert 1 == len({bound.index_version for bound in bounds})
    assert 3 == len({bound.version for bound in bounds})
    plain, dear, same = bounds
    assert (None, 0, 1, 0) == (plain.bit("click"), dear.bit("click"), dear.bit("add"), same.bit("buy"))
    assert "home.dear" == dear.label
    with pytest.raises(KeyError):
        same.bit("click")


NO_INDEX = [
    "events: {click: {last: 3}, buy: {within: 1d}}",
    "layout: per_type",
    "size: {length: 5}",
    "as_of: {gap: 5m, strict: false}",
    "features: {event_ts: age}",
    "features: {user_id: vocab(min_count=3)}",
    "show: [event_id]",
    "enrich: {read: {x: flat.colour @ latest on user_id=item_id}}",
]
NEW_INDEX = [
    "events: {click: {}, buy: {}, add: {}}",
    "events: {click: {where: amount > 0}, buy: {}}",
    "dedupe: last",
    "features: {amount: float32}",
    "show: [country]",
    "timezone: UTC",
    "arrival: {column: ingest_ts, early: clip}",
    "enrich: {index: {x: flat.colour @ latest on user_id=item_id}}",
    "enrich: {read: {x: flat.colour @ latest}}",
]


def test_what_does_not_decide_the_index_shares_it() -> None:
    """Numbers, windows, layout, size, features and the as-of rule are read over one index; all else makes another."""

    def version(line: str) -> str:
        name = line.partition(":")[0]
        kept = [
            part for part in BASE.splitlines() if not part.startswith((f"{name}:", "  " if name == "events" else "~"))
        ]
        return _bound(line, "\n".join(kept) + "\n").index_version

    own = _bound().index_version
    assert {own} == {version(line) for line in NO_INDEX}
    assert len(NEW_INDEX) + 1 == len({own, *(version(line) for line in NEW_INDEX)})


ENTITIES = [
    (pa.int32(), pa.int64()),
    (pa.uint16(), pa.int64()),
    (pa.string(), pa.large_string()),
    (pa.dictionary(pa.int8(), pa.string()), pa.string_view()),
    (pa.binary(4), pa.large_binary()),
    (pa.bool_(), pa.bool_()),
    (pa.date32(), pa.date64()),
    (pa.timestamp("ns", tz="Asia/Tokyo"), UTC),
    (pa.timestamp("s"), pa.timestamp("us")),
    (pa.decimal128(9, 2), pa.decimal128(20, 2)),
    (pa.float32(), pa.float64()),
    (pa.uuid(), pa.uuid()),
]


@pytest.mark.parametrize(("ours", "theirs"), ENTITIES, ids=lambda kind: str(kind))
def test_an_entity_is_of_any_type_that_has_an_order(ours: Any, theirs: Any) -> None:
    """Widths, units and encodings may differ between events and examples; two columns are one entity."""
    events = EVENTS.set(0, pa.field("user_id", ours))
    examples = EXAMPLES.set(0, pa.field("user_id", theirs)).append(pa.field("country", pa.string()))
    made = parse_definition(BASE.replace("entity: user_id", "entity: [user_id, country]"), "home")
    bound = bind(made, events, examples)
    assert "user_id" == bound.index_schema.names[0]
    assert 2 == len(bound.entity_types)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (pa.int64(), pa.string()),
        (pa.int64(), pa.float64()),
        (pa.int64(), pa.decimal128(9, 0)),
        (pa.string(), pa.binary()),
        (pa.date32(), UTC),
        (pa.timestamp("us"), UTC),
        (pa.bool_(), pa.int8()),
    ],
)
def test_entities_that_do_not_compare_are_refused(ours: Any, theirs: Any) -> None:
    """A value of one type never equals one of the other, so every history would be empty."""
    events = EVENTS.set(0, pa.field("user_id", ours))
    with pytest.raises(RequestError, match=r"sequence\.entity: user_id is .* do not compare \(line 2, column 9\)"):
        bind(parse_definition(BASE, "home"), events, EXAMPLES.set(0, pa.field("user_id", theirs)))


@pytest.mark.parametrize("column", ["tags", "meta", "emptiness", "vector"])
def test_nested_entities_and_ids_are_refused_by_name(column: str) -> None:
    """Lists, structs and columns of nothing but null have no order."""
    for key, place in (("entity", "line 2, column 9"), ("id", "line 5, column 5")):
        with pytest.raises(RequestError, match=rf"sequence\.{key}: {key}: {column} is of type .* \({place}\)"):
            _bound(base=BASE.replace(f"{key}: {'user_id' if key == 'entity' else 'event_id'}", f"{key}: {column}"))


# A line in place of one of the base, code, place, a part of message and fix together.
MISFITS = [
    ("entity: user", "column", "line 2, column 9", "did you mean user_id?"),
    ("entity: [user_id, contry]", "column", "line 2, column 19", "did you mean country?"),
    ("time: event_time", "column", "line 3, column 7", "or event_ts"),
    ("time: country", "time", "line 3, column 7", "of type string, which is no time"),
    ("time: amount", "time", "line 3, column 7", "of type double, which is no time"),
    ("time: meta", "time", "line 3, column 7", "which is no time"),
    ("time: local_ts", "time", "line 3, column 7", "without a zone. timezone: Europe/London"),
    ("time: day", "time", "line 3, column 7", "a date. timezone: Europe/London"),
    ("time: epoch_ms", "time", "line 3, column 7", "an integer. time_unit: ms"),
    ("arrival: local_ts", "time", "line 4, column 10", "arrival: local_ts is a time without a zone"),
    ("arrival: {column: tags}", "time", "line 4, column 19", "which is no time"),
    ("arrival: ingest", "column", "line 4, column 10", "did you mean ingest_ts?"),
    ("id: [event_id, itm]", "column", "line 5, column 16", "item_id"),
    ("type: amount", "type", "line 9, column 7", "texts, integers or booleans"),
    ("type: item_id", "type", "line 7, column 3", "write a whole number"),
    ("type: kind", "column", "line 9, column 7", "known:"),
    ("as_of: {time: lable_ts}", "column", "line 9, column 15", "did you mean label_ts"),
    ("as_of: {time: label}", "time", "line 9, column 15", "an integer. time_unit: ms"),
    ("as_of: {time: vector}", "time", "line 9, column 15", "which is no time"),
    ("show: [amont]", "column", "line 9, column 8", "did you mean amount?"),
    ("features: {amont: float32}", "column", "line 9, column 19", "did you mean amount?"),
    ("features: {x: float32(amont)}", "column", "line 9, column 15", "did you mean amount?"),
    ("features: {country: float32}", "feature", "line 9, column 21", "numbers or booleans"),
    ("features: {country: quantile}", "feature", "line 9, column 21", "numbers"),
    ("features: {country: age}", "feature", "line 9, column 21", "which is no time"),
    ("features: {local_ts: age}", "feature", "line 9, column 22", "timezone: Europe/London"),
    ("features: {vector: vocab}", "feature", "line 9, column 20", "texts, integers"),
    ("features: {tags: embedding}", "feature", "line 9, column 18", "lists of numbers"),
    ("features: {loose: embedding}", "feature", "line 9, column 19", "write embedding(size=64)"),
    ("features: {vector: embedding(size=9)}", "feature", "line 9, column 20", "write size=8"),
    ("enrich: {read: {country: users.country @ latest}}", "enrich", "line 9, column 26", "country_of_users"),
    (
        "enrich: {read: {e: items.emb @ latest, e__from: flat.colour @ latest}}",
        "enrich",
        "line 9, column 20",
        "from when",
    ),
    ("enrich: {read: {e: itms.category @ latest}}", "enrich", "line 9, column 20", "did you mean lake.items"),
    ("enrich: {read: {e: items.categry @ latest}}", "column", "line 9, column 20", "did you mean category?"),
    ("enrich: {read: {e: users.level @ latest}}", "time", "line 9, column 20", "since of lake.users is a time without"),
    ("enrich: {read: {e: flat.colour @ event_time}}", "enrich", "line 9, column 20", "from when a row holds"),
    ("enrich: {read: {e: items.category @ latest on itm=item_id}}", "column", "line 9, column 20", "item_id"),
    ("enrich: {read: {e: items.category @ latest on item_id=id}}", "column", "line 9, column 20", "item_id"),
    (
        "enrich: {read: {e: items.category @ latest on country=item_id}}",
        "enrich",
        "line 9, column 20",
        "do not compare",
    ),
    ("enrich: {read: {e: items.category @ latest by emb}}", "time", "line 9, column 20", "which is no time"),
    ("enrich: {read: {e: items.item_id @ latest}}", "enrich", "line 9, column 20", "share no column"),
    (
        "timezone: UTC\nenrich: {read: {e: users.level @ latest}}",
        "enrich",
        "line 10, column 20",
        "share user_id, country",
    ),
]


@pytest.mark.parametrize(("line", "code", "place", "said"), MISFITS, ids=[line for line, _, _, _ in MISFITS])
def test_what_does_not_fit_the_schemas_is_refused_where_it_stands(line: str, code: str, place: str, said: str) -> None:
    """Unknown columns with the near names, and columns of types that do not fit."""
    name = line.partition(":")[0]
    lines = BASE.splitlines()
    replaced = [line if part.startswith(f"{name}:") else part for part in lines]
    text = "\n".join(replaced if replaced != lines else [*lines, line]) + "\n"
    with pytest.raises(RequestError) as caught:
        _bound(base=text)
    error = caught.value
    assert (f"sequence.{code}", place) == (error.code, error.where)
    for part in said.split(". "):
        assert part in f"{error.message}. {error.fix}"


WHERES = [
    ("amount", "where_boolean"),
    ("amont > 0", "column"),
    ("amount > 'x' + 1", ""),
    ("levl > 1", "column"),
    ("level > 1", "column"),
    ("row_number() over (order by amount) = 1", ""),
    ("rand() > 0.5", ""),
]


@pytest.mark.parametrize(("where", "code"), WHERES)
def test_a_condition_that_does_not_hold_or_fail_is_refused(where: str, code: str) -> None:
    """Not boolean, unknown columns, columns added at reading, and what the subset does not have."""
    more = "timezone: UTC\nenrich: {read: {level: users.level @ latest on user_id}}\n"
    with pytest.raises(RequestError) as caught:
        _bound(more, BASE.replace("last: 10}", f'last: 10, where: "{where}"}}'))
    assert caught.value.where.startswith("line 8, column ")
    assert code in caught.value.code


def test_a_condition_may_name_an_enrichment_at_index() -> None:
    """It is there when the condition is evaluated, and is no column of the events."""
    bound = _bound(
        "enrich: {index: {category: items.category @ event_time}}\n",
        BASE.replace("last: 10}", "last: 10, where: category = 'x' and amount > 0}"),
    )
    assert [["amount", "category"]] == [list(each["columns"]) for each in bound.prepared]
    assert "category" not in bound.index_columns


SELECTS = [
    ("vector", "vector", ""),
    ("loose", "vector", ""),
    ("vector", "label", "sequence.select"),
    ("vector", "query", "sequence.column"),
    ("tags", "vector", "sequence.select"),
    ("vectr", "vector", "sequence.column"),
    ("emb", "vector", ""),
]


@pytest.mark.parametrize(("column", "to", "code"), SELECTS)
def test_a_selection_compares_lists_of_numbers(column: str, to: str, code: str) -> None:
    """The events' or an enrichment's vector and the examples' one."""
    text = BASE.replace("last: 10}", f"last: 10, select: 'nearest({column}, 3, to={to})'}}")
    more = "enrich: {read: {emb: items.emb @ latest}}\n"
    if not code:
        assert column in _bound(more, text).feature_columns
        return
    with pytest.raises(RequestError) as caught:
        _bound(more, text)
    assert (code, "line 8, column 27") == (caught.value.code, caught.value.where)


def test_vectors_of_two_sizes_are_refused() -> None:
    """A dot product needs the same length on both sides."""
    examples = EXAMPLES.set(2, pa.field("vector", pa.list_(pa.float32(), 9)))
    made = parse_definition(BASE.replace("last: 10}", "last: 10, select: 'nearest(vector, 3)'}"), "home")
    with pytest.raises(RequestError, match=r"sequence\.select"):
        bind(made, EVENTS, examples)


TIMES = [
    ("local_ts", "timezone: Europe/London"),
    ("day", "timezone: Europe/London"),
    ("epoch_ms", "time_unit: ms"),
]


@pytest.mark.parametrize(("time", "line"), TIMES)
def test_times_of_every_kind_are_read_once_it_is_said_how(time: str, line: str) -> None:
    """A zone for naive times and dates, a unit for integers; an arrival with a zone of its own may stand beside."""
    bound = _bound(line, BASE.replace("time: event_ts", f"time: {time}"))
    assert EVENTS.field(time).type == bound.index_schema.field(time).type


def test_naive_examples_beside_events_with_a_zone_need_one_too() -> None:
    """Mixed times with and without a zone are refused until the zone is named."""
    examples = EXAMPLES.set(1, pa.field("label_ts", pa.timestamp("us")))
    with pytest.raises(RequestError, match=r"as_of\.time: label_ts of the examples is a time without a zone"):
        bind(parse_definition(BASE, "home"), EVENTS, examples)
    bound = bind(parse_definition(BASE + "timezone: UTC\n", "home"), EVENTS, examples)
    assert any("timezone UTC is not needed for the events" in line for line in bound.warnings)


WARNINGS = [
    ("as_of: {strict: false}", "as_of.strict is false"),
    ("as_of: {at: end}", "as_of.at is end"),
    ("enrich: {read: {c: flat.colour @ latest}}", "enrichment c is @ latest"),
    ("size: {length: 500}", "size.length is 500, but the rules give 110 events at most"),
]


@pytest.mark.parametrize(("line", "said"), WARNINGS)
def test_what_leaks_by_design_is_said(line: str, said: str) -> None:
    """A reader learns of it before anything is read; a plain definition has no warnings."""
    assert any(warning.startswith(said) for warning in _bound(line).warnings)
    assert () == _bound().warnings


def test_at_the_end_examples_need_no_time() -> None:
    """A final history has no moment."""
    made = parse_definition(BASE + "as_of: {at: end}\n", "home")
    assert "end" == bind(made, EVENTS, pa.schema({"user_id": pa.int64()})).definition.as_of.at


def test_mistakes_in_a_variant_are_found_with_the_definition() -> None:
    """Whatever is bound, all variants are checked, and the message names the variant."""
    with pytest.raises(
        RequestError, match=r"variant v: .* has no column 'amont' \(features\.x\) \(line 9, column 28\)"
    ):
        _bound("variants: {v: {features.x: float32(amont)}}\n")
    with pytest.raises(RequestError, match=r"variant v: the examples have no column 'at'"):
        _bound("variants: {v: {as_of.time: at}}\n", variant="v")
    assert _bound("variants: {v: {as_of.time: at}}\n").warnings == ()
    with pytest.raises(RequestError, match="home has no variant 'w'"):
        _bound("variants: {v: {as_of.time: at}}\n", variant="w")


def test_tables_are_named_before_they_are_opened() -> None:
    """`tables_of` lists what `bind` needs, the variants' tables as well."""
    text = BASE + "enrich: {read: {c: flat.colour @ latest}}\nvariants: {v: {enrich.read.d: items.category @ latest}}\n"
    assert ("lake.flat", "lake.items") == tables_of(parse_definition(text, "home"))


def test_too_many_conditions_are_refused() -> None:
    """Each takes one of 63 bits."""
    types = "".join(f"  t{n}: {{where: amount > {n}}}\n" for n in range(64))
    made: Definition = parse_definition(BASE.partition("events:")[0] + f"events:\n{types}", "home")
    with pytest.raises(RequestError, match="64 different conditions"):
        bind(made, EVENTS)


def test_two_columns_of_one_name_are_refused() -> None:
    """Nobody can tell which is meant."""
    with pytest.raises(RequestError, match="more than one column 'amount'"):
        bind(
            parse_definition(BASE.replace("event_id", "amount"), "home"),
            EVENTS.append(pa.field("amount", pa.int64())),
        )


def test_types_of_integers_and_booleans_are_written_as_their_text() -> None:
    """The type column may be of numbers or booleans; a type is spelled as a cast to text spells it."""
    for kind, types in ((pa.int16(), ("404", "-1", "0")), (pa.bool_(), ("true", "false"))):
        events = EVENTS.set(4, pa.field("event_type", kind))
        text = BASE.partition("events:")[0] + "events: {" + ", ".join(f"{name}: {{}}" for name in types) + "}\n"
        assert tuple(sorted(types)) == bind(parse_definition(text, "home"), events).types
        with pytest.raises(RequestError, match=r"sequence\.type.*line 7, column 3"):
            bind(parse_definition(BASE, "home"), events)


_KINDS = st.sampled_from([*(kind for pair in ENTITIES for kind in pair), UTC, NAIVE, *(field.type for field in EVENTS)])


@settings(max_examples=60, deadline=None)
@given(keys=definition_keys(), data=st.data())
def test_any_definition_is_bound_to_any_schema_or_refused(keys: dict[str, Any], data: st.DataObject) -> None:
    """Whatever the types are, the answer is what to store and read, or an error of ours with a fix."""
    made = from_keys("s", **keys)
    enriched = {each.name for each in (*made.enrich_index, *made.enrich_read)}
    fitting = _fitting(made)
    odd = data.draw(st.dictionaries(st.sampled_from(sorted(fitting)), _KINDS, max_size=2))
    events = pa.schema([(name, odd.get(name, kind)) for name, kind in fitting.items() if name not in enriched])
    tables = {}
    for table in tables_of(made):
        columns = {name: data.draw(_KINDS) if data.draw(st.booleans()) else UTC for name in _columns_of(made, table)}
        tables[table] = pa.schema(columns)
    try:
        bound = bind(made, events, events, tables)
    except RequestError as error:
        assert error.fix  # noqa: PT017 - either answer is right
        return
    assert set(bound.index_schema.names) == {*bound.index_columns, *(each.name for each in made.enrich_index)}
    assert set(bound.feature_columns) <= {*bound.index_columns, *enriched}


def _fitting(made: Definition) -> dict[str, pa.DataType]:
    """A type that fits each column of the events and examples, as far as one column can."""
    kinds = {"age": UTC, "age_log": UTC, "embedding": pa.list_(pa.float32(), 4)}
    numbers = dict.fromkeys(("bucket", "quantile", "number"), pa.float64())
    found = {name: pa.string() for name in (*index_columns((made,)), "amount", "q", "country", "ok", "x", "a b")}
    found |= {each.column: (kinds | numbers).get(each.function, pa.string()) for each in made.features}
    found |= {rule.select.column: pa.list_(pa.float64()) for rule in made.events if rule.select is not None}
    found |= {rule.select.to: pa.list_(pa.float64()) for rule in made.events if rule.select is not None}
    return found | {made.type: pa.string(), made.as_of.time: UTC, made.time: UTC, made.arrival or made.time: UTC}


def _columns_of(made: Definition, table: str) -> list[str]:
    found = [each for each in (*made.enrich_index, *made.enrich_read) if each.table == table]
    pairs = [theirs for each in found for _, theirs in each.on]
    return [*(each.column for each in found), *(each.time for each in found if each.time), *pairs, made.entity[0]]


def test_an_error_inside_a_variant_names_it_once() -> None:
    """A variant that cannot be made, or does not fit the schemas, is named in front of the message, one time."""
    keys: dict[str, Any] = {
        "source": "e",
        "entity": "u",
        "time": "t",
        "events": {"click": {}},
        "variants": {"short": {"show": ["x"]}},
    }
    definition = from_keys("home", **keys)
    events = pa.schema({"u": pa.string(), "t": pa.timestamp("us", "UTC"), "event_type": pa.string()})
    for broken in (definition, replace(definition, variants={"short": {"size.length": 0}})):
        with pytest.raises(RequestError) as caught:
            bind(broken, events)
        assert 1 == caught.value.message.count("variant short"), caught.value.message
