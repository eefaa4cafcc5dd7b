"""Conditions of event rules: checked against the columns before any data is read, evaluated together as bits."""

from __future__ import annotations

import datetime as dt
import math
import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nbplat.adapters.duckdb.conditions import DuckDBConditions
from nbplat.errors import RequestError
from nbplat.remote.failure import KernelError
from nbplat.remote.sequence.conditions import MOST, passes

ROWS = pa.table(
    {
        "amount": pa.array([1.0, 0.0, None, math.nan, 5.0]),
        "country": ["France", "x", None, "", "fr"],
        "n": pa.array([0, 1, 2, 3, None], pa.int32()),
        "ts": pa.array([dt.datetime(2011, 1, day, tzinfo=dt.UTC) for day in range(1, 6)], pa.timestamp("us", "UTC")),
        "odd name": [1, 2, 3, 4, 5],
        "item": [{"a": 1}, {"a": 2}, None, {"a": None}, {"a": 5}],
        "ok": [True, False, None, True, True],
    }
)


def prepare(where: str, place: str = "", schema: pa.Schema = ROWS.schema) -> dict[str, Any]:
    return dict(DuckDBConditions().prepare(where, schema, place))


def which(*conditions: str) -> list[list[int]]:
    """Rows for which each condition holds."""
    mask = passes(ROWS, [prepare(where) for where in conditions])
    assert np.int64 == mask.dtype
    return [np.flatnonzero(mask >> bit & 1).tolist() for bit in range(len(conditions))]


@pytest.mark.parametrize(
    ("where", "rows", "columns"),
    [
        ("amount > 0", [0, 3, 4], ["amount"]),
        ("not (amount > 0)", [1], ["amount"]),
        ("amount > 0 or country = 'x'", [0, 1, 3, 4], ["amount", "country"]),
        ("Country LIKE 'F%'", [0], ["country"]),
        ("base.amount > 1", [3, 4], ["amount"]),
        ("`odd name` between 2 and 3", [1, 2], ["odd name"]),
        ("item.a >= 2", [1, 4], ["item"]),
        ("ok", [0, 3, 4], ["ok"]),
        ("not ok", [1], ["ok"]),
        ("amount in (1, 5)", [0, 4], ["amount"]),
        ("n is null", [4], ["n"]),
        ("ts >= timestamp '2011-01-04'", [3, 4], ["ts"]),
        ("date(ts) = date '2011-01-02'", [1], ["ts"]),
        ("n != 0 and 10 / n > 4", [1, 2], ["n"]),
        ("amount > 0 -- only sales", [0, 3, 4], ["amount"]),
        ("true", [0, 1, 2, 3, 4], []),
        ("1 = 2", [], []),
    ],
)
def test_a_row_passes_where_the_condition_is_true(where: str, rows: list[int], columns: list[str]) -> None:
    """Neither false nor null passes; the columns that are named are known beforehand."""
    assert [rows] == which(where)
    assert columns == prepare(where)["columns"]


def test_every_condition_has_its_bit() -> None:
    """All are evaluated in one query, and their order is that of the bits."""
    assert [[0, 3, 4], [], [1], [0, 1, 2, 3, 4]] == which("amount > 0", "1 = 2", "country = 'x'", "true")


def test_as_many_as_there_are_bits_can_be_told_apart() -> None:
    """The last bit is that below the sign."""
    conditions = [prepare(f"n = {number % 4}") for number in range(MOST)]
    expected = sum(1 << bit for bit in range(MOST) if bit % 4 == 2)
    assert expected == passes(ROWS, conditions)[2]


def test_rows_keep_their_order_in_any_number() -> None:
    """More rows than one batch of the engine has are answered in the order in which they came."""
    numbers = np.arange(400_000) * 7919 % 400_000
    rows = pa.table({"n": pa.chunked_array([numbers[:150_001], numbers[150_001:]])})
    mask = passes(rows, [prepare("n % 3 = 0", schema=rows.schema), prepare("n > 200000", schema=rows.schema)])
    assert np.array_equal((numbers % 3 == 0) + 2 * (numbers > 200_000), mask)


def test_without_rows_or_conditions_nothing_passes() -> None:
    """An empty bucket has no bits, and without conditions no bit is set."""
    assert 0 == len(passes(ROWS.slice(0, 0), [prepare("ok")]))
    assert [0] * 5 == passes(ROWS, []).tolist()


def test_a_prepared_condition_is_plain() -> None:
    """It travels to any process, with the text that a person wrote."""
    condition = prepare("amount > 0")
    assert condition == pickle.loads(pickle.dumps(condition))  # noqa: S301 - our own
    assert "amount > 0" == condition["where"]


def test_types_are_those_of_the_index() -> None:
    """A condition may be checked against the source's schema, whose narrow and wide types the index evens out."""
    schema = pa.schema(
        [
            ("ts", pa.timestamp("ns", "Asia/Tokyo")),
            ("n", pa.uint8()),
            ("s", pa.dictionary(pa.int8(), pa.large_string())),
        ]
    )
    condition = prepare("n > 1 and s = 'x' and ts > timestamp '2011-01-01'", schema=schema)
    assert ["n", "s", "ts"] == condition["columns"]


@pytest.mark.parametrize(
    ("where", "code", "said", "fix", "at"),
    [
        ("amount", "sequence.where_boolean", "gives DOUBLE, not true or false", "amount > 0", ""),
        ("null", "sequence.where_boolean", "not true or false", "compare it", ""),
        ("case when ok then 1 else 0 end", "sequence.where_boolean", "gives INTEGER", "compare it", ""),
        ("ok and amuont > 3", "sequence.where_column", "'amuont'", "did you mean amount?", "character 8"),
        ("order.total > 3", "sequence.where_column", "'order'", "known: amount, country", "character 1"),
        ("item.b = 1", "sequence.where_types", 'Could not find key "b"', "types", ""),
        ("country > 3", "sql.types", "compares int with string", "rewrite it", ""),
        ("floof(amount) > 1", "sql.function", "'floof'", "did you mean floor?", "character 1"),
        ("ok and rand() > 1", "sql.nondeterministic", "'rand'", "column", "character 8"),
        ("sum(amount) > 1", "sequence.where_form", "an aggregate, and a condition is about one event", "enrich", ""),
        ("row_number() over (order by n) = 1", "sequence.where_form", "a window function", "", ""),
        ("n in (select 1)", "sequence.where_form", "a subquery", "enrich", ""),
        ("exists (select 1)", "sequence.where_form", "a subquery", "enrich", ""),
        ("count(*) > 0", "sequence.where_form", "", "", "character 1"),
        ("amount >", "sequence.where_syntax", "something is missing beside >", "boolean expression", "character 8"),
        ("amount > 0; drop table t", "sequence.where_syntax", "Unexpected token", "", "character 13"),
        ("amount > 0 order by n", "sequence.where_syntax", "Unexpected token", "", "character 12"),
        ("ok, ok", "sequence.where_syntax", "Unexpected token", "", "character 3"),
        ("ok\n  and amuont > 3", "sequence.where_column", "'amuont'", "amount", "character 10"),
        ("  ", "sequence.where_syntax", "is empty", "leave the key out", ""),
        ("? > 1", "sql.operator", "PLACEHOLDER", "", "character 1"),
    ],
)
def test_what_is_no_condition_is_refused_before_data_is_read(
    where: str, code: str, said: str, fix: str, at: str
) -> None:
    """The error names what is wrong, what is near it, and where in the text it stands."""
    with pytest.raises(RequestError) as found:
        prepare(where, "line 3, column 20")
    error = found.value
    assert code == error.code
    assert said in error.message
    assert fix in error.fix
    assert error.where.startswith("line 3, column 20")
    assert at in error.where


def test_without_a_place_only_the_character_is_told() -> None:
    """A definition that was made in Python has no lines."""
    with pytest.raises(RequestError) as found:
        prepare("nope = 1")
    assert "character 1 of the condition" == found.value.where


def test_what_the_data_makes_impossible_names_the_condition() -> None:
    """One of several conditions divides by zero: it is the one that is told."""
    with pytest.raises(KernelError) as found:
        passes(ROWS, [prepare("ok"), prepare("10 / n > 4")])
    assert "sequence.where_values" == found.value.code
    assert "`10 / n > 4` fails on this data: DIVIDE_BY_ZERO" in found.value.message


def test_a_condition_is_computed_for_the_types_that_it_is_for() -> None:
    """What would fail on an event of another type does not fail the build, and sets no bit there."""
    rows = pa.table({"kind": ["it's", "view", None, "it's"], "text": ["3", "no number", "7", "1"]})
    condition = prepare("cast(text as double) > 2", schema=rows.schema)
    with pytest.raises(KernelError, match=r"sequence\.where_values"):
        passes(rows, [condition])
    always = {**prepare("true", schema=rows.schema), "types": ["view"]}
    mask = passes(rows, [{**condition, "types": ["it's", "sale"]}, always], type="kind")
    assert [1, 2, 0, 0] == mask.tolist()
    # A type column may hold numbers: types are their texts.
    numbered = rows.set_column(0, "kind", pa.array([1, 2, 3, 1]))
    assert [1, 0, 0, 0] == passes(numbered, [{**condition, "types": ["1"]}], type="kind").tolist()
    with pytest.raises(KernelError, match=r"sequence\.where_values"):
        passes(rows, [{**condition, "types": ["view"]}], type="kind")
