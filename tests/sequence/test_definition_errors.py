"""Every mistake in a definition: its code, its line and column, and what would be right."""

from __future__ import annotations

from typing import Any

import pytest

from nbplat.errors import RequestError
from nbplat.sequence.parse import from_keys, parse_definition

BASE = """\
source: lake.events
entity: user_id
time: event_ts
events:
  click: {last: 100, within: 90d}
  buy: {last: 10}
"""

# Text before, text after, code, place, and a part of the fix.
IN_PLACE = [
    ("source: lake.events\n", "", "missing", "", "add source: retail.events"),
    ("time: event_ts\n", "", "missing", "", "add time: event_ts"),
    ("entity:", "entitty:", "key", "line 2, column 1", "did you mean entity?"),
    ("lake.events", "lake events", "source", "line 1, column 9", "write namespace.table"),
    ("lake.events", "[lake.events]", "value", "line 1, column 9", "without a list"),
    ("lake.events", "", "value", "line 1, column 8", "write a table"),
    ("user_id", "[]", "value", "line 2, column 9", "leave the key out"),
    ("user_id", "[a, a]", "twice", "line 2, column 13", "keep one"),
    ("user_id", "[a, [b]]", "value", "line 2, column 13", "write a column"),
    ("user_id", "{a: b}", "value", "line 2, column 9", "write a column"),
    ("user_id", "event_ts", "role", "line 3, column 7", "name another column"),
    ("event_ts", "[event_ts]", "value", "line 3, column 7", "without a list"),
    ("event_ts", "~", "value", "line 3, column 7", "write a column"),
    ("event_ts", '"a\\u00a0b"', "value", "line 3, column 7", "take it out"),
    ("last: 100", "last: 0", "last", "line 5, column 17", "a whole number from 1 to 20000"),
    ("last: 100", "last: 20001", "last", "line 5, column 17", "from 1 to 20000"),
    ("last: 100", "last: -1", "last", "line 5, column 17", "from 1 to 20000"),
    ("last: 100", "last: 1e2", "last", "line 5, column 17", "whole number"),
    ("last: 100", "last: 10.0", "last", "line 5, column 17", "whole number"),
    ("last: 100", "last: 0100", "last", "line 5, column 17", "whole number"),
    ("last: 100", "last: '100'", "last", "line 5, column 17", "without quotes"),
    ("last: 100", "last: true", "last", "line 5, column 17", "whole number"),
    ("last: 100", "last: [100]", "last", "line 5, column 17", "whole number"),
    ("last: 100", "last:", "last", "line 5, column 16", "whole number"),
    ("last: 100", "lst: 100", "key", "line 5, column 11", "did you mean last?"),
    ("90d", "90", "within", "line 5, column 30", "a duration such as 90d"),
    ("90d", "0s", "within", "line 5, column 30", "a duration"),
    ("90d", "1:30", "within", "line 5, column 30", "a duration"),
    ("90d", "5m1h", "within", "line 5, column 30", "the largest first"),
    ("90d", "1h1h", "within", "line 5, column 30", "each once"),
    ("90d", "100001d", "within", "line 5, column 30", "a duration"),
    ("90d", "9" * 500 + "d", "within", "line 5, column 30", "a duration"),
    ("90d", "-1d", "within", "line 5, column 30", "a duration"),
    ("90d", "1.5h", "within", "line 5, column 30", "a duration"),
    ("90d", "[90d]", "within", "line 5, column 30", "a duration"),
    ("{last: 10}", "10", "events", "line 6, column 8", "write buy: {last: 10}"),
    ("{last: 10}", "", "events", "line 6, column 7", "write buy: {last: 50}"),
    ("{last: 10}", "[10]", "events", "line 6, column 8", "write buy: {last: 50}"),
    ("buy:", "click:", "twice", "line 6, column 3", "the other is at line 5, column 3"),
]

# A line behind the base, its code, its place, a part of the fix.
BEHIND = [
    ("last: 5", "key", "line 7, column 1", "it belongs at events.<type>.last"),
    ("zone: UTC", "key", "line 7, column 1", "it belongs at timezone.zone"),
    ("evnts: {}", "key", "line 7, column 1", "did you mean events"),
    ("name: Home", "name", "line 7, column 7", "lower-case letters"),
    ("name: other", "name", "line 7, column 7", "keep one of the two"),
    ("time_unit: min", "value", "line 7, column 12", "known: ms, s, us"),
    ("time_unit: msec", "value", "line 7, column 12", "did you mean ms?"),
    ("timezone: Europe/Londn", "timezone", "line 7, column 11", "did you mean Europe/London"),
    ("timezone: ../etc", "timezone", "line 7, column 11", ""),
    ("timezone: {ambiguous: latest}", "missing", "line 7, column 11", "add zone: Europe/London"),
    ("timezone: {zone: UTC, ambiguous: first}", "value", "line 7, column 34", "known: earliest, latest, refuse"),
    ("timezone: {zone: UTC, gap: latest}", "key", "line 7, column 23", "it belongs at as_of.gap"),
    ("timezone: [UTC]", "value", "line 7, column 11", "an IANA zone"),
    ("arrival: {early: clip}", "missing", "line 7, column 10", "add column: ingest_ts"),
    ("arrival: {column: a, early: keep}", "value", "line 7, column 29", "known: clip, refuse"),
    ("arrival: event_ts", "role", "line 7, column 10", "name another column"),
    ("arrival: [a]", "value", "line 7, column 10", "write a column"),
    ("type: user_id", "role", "line 7, column 7", "name another column"),
    ("id: []", "value", "line 7, column 5", "leave the key out"),
    ("dedupe: first", "dedupe", "line 7, column 9", "id: event_id"),
    ("dedupe: frist", "value", "line 7, column 9", "did you mean first?"),
    ("layout: mixd", "value", "line 7, column 9", "did you mean mixed?"),
    ("layout: [mixed]", "value", "line 7, column 9", "write one of mixed, per_type"),
    ("size: 50", "shape", "line 7, column 7", "the keys length, order, pad, truncate"),
    ("size: {lenght: 50}", "key", "line 7, column 8", "did you mean length?"),
    ("size: {length: 0}", "length", "line 7, column 16", "from 1 to 1000000"),
    ("size: {length: {click: 5}}", "size", "line 7, column 16", "layout: per_type"),
    ("size: {length: {clik: 5}}\nlayout: per_type", "size", "line 7, column 17", "did you mean click?"),
    ("size: {length: {click: 0}}\nlayout: per_type", "length", "line 7, column 24", "from 1 to 1000000"),
    ("size: {order: newest}", "value", "line 7, column 15", "did you mean newest_first?"),
    ("size: {pad: middle}", "value", "line 7, column 13", "known: left, right"),
    ("size: {truncate: old}", "value", "line 7, column 18", "did you mean oldest?"),
    ("show: amount", "shape", "line 7, column 7", "write a list: [amount]"),
    ("show: [a, a]", "twice", "line 7, column 11", "keep one"),
    ("show: []", "value", "line 7, column 7", "leave the key out"),
    ("as_of: label_ts", "shape", "line 7, column 8", "the keys time, strict, gap, at"),
    ("as_of: {stict: true}", "key", "line 7, column 9", "did you mean strict?"),
    ("as_of: {strict: 1}", "value", "line 7, column 17", "true or false"),
    ("as_of: {strict: 'true'}", "value", "line 7, column 17", "without quotes"),
    ("as_of: {gap: 5}", "gap", "line 7, column 14", "a duration"),
    ("as_of: {at: now}", "value", "line 7, column 13", "known: end, example"),
    ("features: [a]", "shape", "line 7, column 11", "a mapping of names"),
    ("features: {a: vocb}", "feature", "line 7, column 15", "did you mean vocab?"),
    ("features: {a: vocab(min_cont=5)}", "feature", "line 7, column 30", "did you mean min_count?"),
    ("features: {a: age_log(unit=h)}", "feature", "line 7, column 28", "write age_log without it"),
    ("features: {a: vocab(min_count=0)}", "feature", "line 7, column 31", "from 1 to"),
    ("features: {a: vocab(min_count=x)}", "feature", "line 7, column 31", "a whole number"),
    ("features: {a: vocab(5)}", "feature", "line 7, column 21", "a function such as"),
    ("features: {a: 'vocab(b, 5)'}", "feature", "line 7, column 25", "a function such as"),
    ("features: {a: 'vocab(min_count=5, b)'}", "feature", "line 7, column 35", "a function such as"),
    ("features: {a: 'vocab(min_count=5, min_count=6)'}", "feature", "line 7, column 35", "a function such as"),
    ("features: {a: vocab)}", "feature", "line 7, column 20", "a function such as"),
    ("features: {a: hash}", "feature", "line 7, column 15", "write hash(buckets=…)"),
    ("features: {a: hash(buckets=0)}", "feature", "line 7, column 28", "from 1 to"),
    ("features: {a: bucket}", "feature", "line 7, column 15", "write bucket(edges=…)"),
    ("features: {a: 'bucket(edges=[2, 1])'}", "feature", "line 7, column 29", "ascending"),
    ("features: {a: 'bucket(edges=[1, x])'}", "feature", "line 7, column 29", "ascending numbers"),
    ("features: {a: 'bucket(edges=[[1]])'}", "feature", "line 7, column 30", "a function such as"),
    ("features: {a: quantile(count=1)}", "feature", "line 7, column 30", "from 2 to 10000"),
    ("features: {a: age(unit=y)}", "feature", "line 7, column 24", "s, m, h or d"),
    ("features: {a: number(type=int)}", "feature", "line 7, column 27", "float32, float64"),
    ("features: {a: int32(fill=0.5)}", "feature", "line 7, column 26", "int32 can hold"),
    ("features: {a: int32(fill=3e9)}", "feature", "line 7, column 26", "int32 can hold"),
    ("features: {a: float32(fill=1e39)}", "feature", "line 7, column 28", "float32 can hold"),
    ("features: {a: float64(fill=1e999)}", "feature", "line 7, column 28", "a finite number"),
    ("features: {a: float32(type=int32)}", "feature", "line 7, column 28", "write number(type=int32)"),
    ("features: {a: {function: float32, type: int32}}", "feature", "line 7, column 41", "write number(type=int32)"),
    ("features: {a: embedding(size=0)}", "feature", "line 7, column 30", "from 1 to 65536"),
    ("features: {a: }", "value", "line 7, column 14", "write a function"),
    ("features: {a: [vocab]}", "value", "line 7, column 15", "a function such as"),
    ("features: {a: {min_count: 5}}", "missing", "line 7, column 15", "add function"),
    ("features: {a: {function: vocab, min_count: '5'}}", "feature", "line 7, column 44", "a whole number"),
    ("features: {event_type: vocab(b)}", "feature", "line 7, column 24", "event_type_token: vocab(event_type)"),
    ("enrich: {later: {}}", "key", "line 7, column 10", "known: index, read"),
    ("enrich: {read: {e: items.category}}", "enrich", "line 7, column 20", "there is no default"),
    ("enrich: {read: {e: category @ latest}}", "enrich", "line 7, column 20", "table.column @ event_time"),
    ("enrich: {read: {e: items.category @ lately}}", "enrich", "line 7, column 37", "did you mean latest?"),
    ("enrich: {read: {e: items.category @ latest on}}", "enrich", "line 7, column 46", "table.column"),
    ("enrich: {read: {e: items.category @ latest at a}}", "enrich", "line 7, column 44", "table.column"),
    ("enrich: {read: {e: 'i.c @ latest on a=b, a=c'}}", "enrich", "line 7, column 21", "each column once"),
    ("enrich: {read: {e: `i x`.c @ latest}}", "yaml", "line 7, column 20", "needs quotes"),
    ("enrich: {read: {e: '`i x`.c @ latest'}}", "enrich", "line 7, column 21", "namespace.table"),
    ("enrich: {index: {e: items.category @ request_time}}", "enrich", "line 7, column 38", "put it under enrich.read"),
    ("enrich: {index: {e: i.c @ latest}, read: {e: i.d @ latest}}", "twice", "line 7, column 43", "line 7, column 18"),
    ("enrich: {read: {e: {from: i, column: c}}}", "missing", "line 7, column 20", "there is no default"),
    ("enrich: {read: {e: {from: i, column: c, at: x}}}", "enrich", "line 7, column 45", "known: event_time"),
    ("enrich: {read: {e: {from: i, column: c, at: latest, on: []}}}", "value", "line 7, column 57", "columns such as"),
    ("enrich: {read: {e: {from: i, colum: c}}}", "key", "line 7, column 30", "did you mean column?"),
    ("enrich: {read: {e: }}", "value", "line 7, column 19", "write table.column"),
]


@pytest.mark.parametrize(("before", "after", "code", "place", "fix"), IN_PLACE)
def test_a_wrong_value_is_refused_where_it_stands(before: str, after: str, code: str, place: str, fix: str) -> None:
    """Required keys and event rules: code, line and column, and the mend."""
    _refused(BASE.replace(before, after, 1), code, place, fix)


@pytest.mark.parametrize(("line", "code", "place", "fix"), BEHIND)
def test_a_wrong_key_is_refused_where_it_stands(line: str, code: str, place: str, fix: str) -> None:
    """Every other key: code, line and column, and the mend."""
    _refused(f"{BASE}{line}\n", code, place, fix)


def _refused(text: str, code: str, place: str, fix: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_definition(text, "home")
    error = caught.value
    assert f"sequence.{code}" == error.code
    assert not place or place == error.where
    assert fix in error.fix


WHERES = [
    ("amount >", "where", 8),
    ("amount b", "where", 8),
    ("amount > 0; drop table x", "where", 13),
    ("(amount > 0", "where", 11),
    ("select 1", "where", 1),
    ("amount > 0 order by 1", "where", 12),
    ("(" * 900 + "1" + ")" * 900, "where", 1),
]


@pytest.mark.parametrize(("where", "code", "column"), WHERES, ids=[text[:30] for text, _, _ in WHERES])
def test_a_condition_that_is_no_sql_is_refused_at_its_character(where: str, code: str, column: int) -> None:
    """The column is that of the word which does not fit, inside the quotes."""
    _refused(BASE.replace("last: 10}", f'where: "{where}"}}'), code, f"line 6, column {column + 16}", "Spark SQL")


SELECTS = [
    ("nearest(emb, 11)", "give a number from 1 to 10"),
    ("nearest(emb, 0)", "give a number from 1 to 10"),
    ("nearest(emb)", "nearest(column, count)"),
    ("nearest(5, emb)", "nearest(column, count)"),
    ("nearest(emb, 2.5)", "nearest(column, count)"),
    ("nearest(emb, 5, too=q)", "nearest(column, count)"),
    ("nearest(emb, 5, to=3)", "nearest(column, count)"),
    ("nearst(emb, 5)", "did you mean nearest?"),
    ("nearest(emb, 5", "nearest(column, count)"),
]


@pytest.mark.parametrize(("select", "fix"), SELECTS)
def test_a_selection_that_does_not_read_is_refused(select: str, fix: str) -> None:
    """Column, number and the examples' column of `nearest` are checked, the number against `last`."""
    _refused(BASE.replace("last: 10}", f'last: 10, select: "{select}"}}'), "select", "", fix)


@pytest.mark.parametrize("layout", ["mixed", "per_type"])
def test_a_name_that_names_nothing_is_refused(layout: str) -> None:
    """Sequences are named like everything else that becomes part of a table's name."""
    for name in ("Home V3", "", "9a", "a" * 64, "a.b"):
        with pytest.raises(RequestError, match=r"sequence\.name"):
            parse_definition(f"{BASE}layout: {layout}\n", name)
    with pytest.raises(RequestError, match="the key 'name' is missing"):
        parse_definition(BASE)
    assert "home" == parse_definition(f"{BASE}name: home\n").name


GOOD: dict[str, Any] = {"source": "lake.events", "entity": "u", "time": "t", "events": {"click": {"last": 5}}}
PYTHON = [
    ({"events": {"click": {"last": 0}}}, "last", "events.click.last"),
    ({"events": {"click": {"last": "5"}}}, "last", "events.click.last"),
    ({"events": {"click": {"last": 5.0}}}, "last", "events.click.last"),
    ({"events": {"click": {"last": True}}}, "last", "events.click.last"),
    ({"events": {"page.view": {"lst": 1}}}, "key", 'events."page.view".lst'),
    ({"events": {"click": {"within": 90}}}, "within", "events.click.within"),
    ({"events": {True: {}}}, "key", "events"),
    ({"events": {"": {}}}, "key", "events"),
    ({"events": {1: {}, "1": {}}}, "twice", "events.1"),
    ({"events": {}}, "events", "events"),
    ({"events": [{"click": {}}]}, "shape", "events"),
    ({"entity": 5}, "value", "entity"),
    ({"entity": ("a", 5)}, "value", "entity[1]"),
    ({"entity": {"a"}}, "value", "entity"),
    ({"entity": None}, "value", "entity"),
    ({"time": object()}, "value", "time"),
    ({"as_of": {"strict": "true"}}, "value", "as_of.strict"),
    ({"as_of": {"gap": -5}}, "gap", "as_of.gap"),
    ({"features": {"a": {"function": "bucket", "edges": [2, 1]}}}, "feature", "features.a.edges"),
    ({"features": {"a": {"function": "number", "fill": float("nan")}}}, "feature", "features.a.fill"),
    ({"features": {"a": {"function": "number", "fill": True}}}, "feature", "features.a.fill"),
    ({"features": {"a": {"function": "number", "fill": 10**400}}}, "feature", "features.a.fill"),
    ({"lst": 5}, "key", "lst"),
    ({"events": {"click\n": {}}}, "value", "events"),
    ({"entity": "a\udc80"}, "value", "entity"),
    ({"variants": {"v": {"size.length": 0}}}, "length", "variants.v"),
]


@pytest.mark.parametrize(("keys", "code", "where"), PYTHON)
def test_python_keys_are_refused_with_their_path(keys: dict[str, Any], code: str, where: str) -> None:
    """The same mistakes in a Python call; the place is the path of the key."""
    with pytest.raises(RequestError) as caught:
        from_keys("home", **{**GOOD, **keys})
    assert f"sequence.{code}" == caught.value.code
    assert caught.value.where.startswith(where)


def test_a_value_inside_itself_is_refused() -> None:
    """A dict that holds itself ends in an error, not in a full stack."""
    loop: dict[str, Any] = {}
    loop["click"] = loop
    with pytest.raises(RequestError, match=r"sequence\.depth"):
        from_keys("home", **{**GOOD, "events": loop})
