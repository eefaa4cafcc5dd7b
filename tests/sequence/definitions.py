"""Random definitions, as the keys a person could write; every key and every odd name among them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["definition_keys"]

# What some reader of YAML, SQL or our small texts takes for something else.
_TRAPS = (
    *("no yes on null ~ 1e3 0x10 010 1:30 2024-01-01 true drop none all = << *a &a !x [a] page.view ` a`b ü".split()),
    *("日本 😀 {a} \\n %x @x | > ? , by at index size.length".split()),
    *("a b", " a ", "- a", "a: b", "a #b", "it's", 'say "x"'),
)
names = st.sampled_from(["user_id", "item_id", "amount", "ts", "a1", "_x", "Emb", *_TRAPS]) | st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=6
)
durations = st.sampled_from(["90d", "5m", "1h30m", "2w", "1ms", "10us", "1d12h", "36h", "100000d"])
wheres = st.sampled_from(["amount > 0", "`a b` = 'it''s' and x is null", "country in ('FR', \"DE\")\n  or not ok"])


@st.composite
def _features(draw: st.DrawFn) -> Any:
    column = draw(st.none() | names)
    function, options = draw(
        st.one_of(
            st.tuples(st.just("vocab"), st.fixed_dictionaries({}, optional=_VOCAB)),
            st.tuples(st.just("hash"), st.fixed_dictionaries({"buckets": st.integers(1, 2**31 - 3)})),
            st.tuples(st.just("age"), st.fixed_dictionaries({}, optional={"unit": st.sampled_from("smhd")})),
            st.tuples(st.just("age_log"), st.just({})),
            st.tuples(st.just("bucket"), st.fixed_dictionaries({"edges": _EDGES})),
            st.tuples(st.just("quantile"), st.fixed_dictionaries({}, optional={"count": st.integers(2, 10_000)})),
            st.tuples(st.just("number"), st.fixed_dictionaries({}, optional={"type": _FLOATS, "fill": _NUMBERS})),
            st.tuples(st.just("number"), st.fixed_dictionaries({"type": _INTS}, optional={"fill": st.integers(-9, 9)})),
            st.tuples(st.just("embedding"), st.fixed_dictionaries({}, optional={"size": st.integers(1, 65_536)})),
        )
    )
    return {"function": function, **({} if column is None else {"column": column}), **options}


_VOCAB = {"min_count": st.integers(1, 99), "max_size": st.none() | st.integers(1, 10**6)}
_NUMBERS = st.integers(-(10**6), 10**6) | st.floats(-1e30, 1e30, allow_nan=False)
_EDGES = st.lists(_NUMBERS, min_size=1, max_size=5, unique_by=lambda n: float(n) + 0.0).map(sorted)
_FLOATS, _INTS = st.sampled_from(["float32", "float64"]), st.sampled_from(["int32", "int64"])


@st.composite
def _enrichment(draw: st.DrawFn, moments: tuple[str, ...]) -> dict[str, Any]:
    keys: dict[str, Any] = {"from": draw(st.sampled_from(["items", "lake.items", "lake.raw.items"]))}
    keys |= {"column": draw(names), "at": draw(st.sampled_from(moments))}
    pairs = draw(st.lists(st.tuples(names, names), max_size=2, unique_by=(lambda p: p[0], lambda p: p[1])))
    if pairs:
        keys["on"] = dict(pairs)
    if draw(st.booleans()):
        keys["time"] = draw(names)
    return keys


@st.composite
def _rule(draw: st.DrawFn) -> dict[str, Any]:
    last = draw(st.integers(1, 20_000))
    optional = {
        "last": st.just(last),
        "within": durations,
        "where": wheres,
        "select": st.integers(1, last).map(lambda count: f"nearest(emb, {count})") | st.just("nearest(`a b`, 1, to=q)"),
    }
    return draw(st.fixed_dictionaries({}, optional=optional))


@st.composite
def definition_keys(draw: st.DrawFn) -> dict[str, Any]:
    """Keys that `from_keys` takes, without variants."""
    time, kind, arrival, *entity = draw(st.lists(names, min_size=4, max_size=5, unique=True))
    keys: dict[str, Any] = {
        "source": "lake.events",
        "entity": entity if len(entity) > 1 or draw(st.booleans()) else entity[0],
        "time": time,
        "type": kind,
        "events": draw(st.dictionaries(names, _rule(), min_size=1, max_size=3)),
    }
    columns = st.lists(names, min_size=1, max_size=3, unique=True)
    layout = draw(st.sampled_from(["mixed", "per_type"]))
    lengths: st.SearchStrategy[Any] = st.just("all") | st.integers(1, 1000)
    if layout == "per_type":
        lengths |= st.dictionaries(st.sampled_from(list(keys["events"])), st.integers(1, 99), min_size=1)
    enriched = draw(st.lists(names, max_size=4, unique=True))
    optional: dict[str, st.SearchStrategy[Any]] = {
        "time_unit": st.sampled_from(["s", "ms", "us"]),
        "timezone": st.just("Europe/London")
        | st.fixed_dictionaries({"zone": st.just("Asia/Tokyo")}, optional={"ambiguous": _SIDES, "missing": _SIDES}),
        "arrival": st.just(arrival)
        | st.fixed_dictionaries({"column": st.just(arrival)}, optional={"early": st.sampled_from(["refuse", "clip"])}),
        "id": columns,
        "layout": st.just(layout),
        "size": st.fixed_dictionaries(
            {},
            optional={
                "length": lengths,
                "order": st.sampled_from(["newest_first", "oldest_first"]),
                "pad": st.sampled_from(["left", "right"]),
                "truncate": st.sampled_from(["oldest", "newest"]),
            },
        ),
        "features": st.dictionaries(names, _features(), max_size=4),
        "show": columns,
        "as_of": st.fixed_dictionaries(
            {},
            optional={
                "time": names,
                "strict": st.booleans(),
                "gap": durations | st.just("0s"),
                "at": st.sampled_from(["example", "end"]),
            },
        ),
        "enrich": st.fixed_dictionaries(
            {
                "index": st.fixed_dictionaries({n: _enrichment(("event_time", "latest")) for n in enriched[:2]}),
                "read": st.fixed_dictionaries({n: _enrichment(_MOMENTS) for n in enriched[2:]}),
            }
        ),
    }
    keys |= draw(st.fixed_dictionaries({}, optional=optional))
    # A feature of the type column's name over another column leaves no name for the type token.
    keys.get("features", {}).pop(kind, None)
    if layout == "per_type":
        keys["layout"] = layout
    if "id" in keys and draw(st.booleans()):
        keys["dedupe"] = draw(st.sampled_from(["none", "exact", "first", "last"]))
    return keys


_SIDES = st.sampled_from(["refuse", "earliest", "latest"])
_MOMENTS = ("event_time", "request_time", "latest")
