"""The declared SQL subset without Spark: what is refused, by which name, and that each table line has a proof.

That what is allowed equals Spark is proved in tests/spark/test_sql_subset.py.
"""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp

from nbplat.backfill.body import BASE, bind_body, parse_body
from nbplat.backfill.dialect import FUNCTIONS, SUBSET, to_duckdb
from nbplat.backfill.dialect.rewrite import DECLARED
from nbplat.errors import RequestError
from tests.spark.sql_cases import AGGREGATES, COLUMNS, SCALARS, WINDOWS
from tests.spark.sql_refused import NONDETERMINISTIC, REFUSED

TYPES = {BASE: {**COLUMNS, "price": "decimal(10, 2)", "f": "float", "local": "timestamp_ntz"}}


def local(select: str) -> str:
    """DuckDB SQL of one expression over base."""
    bound = bind_body(parse_body(f"select rid, {select} as r from base"), TYPES, ())
    return to_duckdb(bound.sql, TYPES)


def refused(select: str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        local(select)
    return caught.value


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_allowed_function_has_a_case_against_spark(name: str) -> None:
    """A function may stand on the allow-list only with cases in the conformance suite."""
    assert name in SCALARS or name in AGGREGATES or name in WINDOWS


def test_every_case_is_of_an_allowed_function() -> None:
    """The suite holds no case that proves nothing."""
    assert set() == (SCALARS.keys() | AGGREGATES.keys() | WINDOWS.keys()) - FUNCTIONS


@pytest.mark.parametrize("sql", REFUSED)
def test_what_differs_is_refused(sql: str) -> None:
    """An expression known to differ is refused before anything runs, with a way to mend it."""
    error = refused(sql)
    assert error.code.startswith("sql.")
    assert error.code != "sql.nondeterministic"
    assert error.fix


@pytest.mark.parametrize("sql", NONDETERMINISTIC)
def test_what_changes_from_run_to_run_is_refused_as_such(sql: str) -> None:
    """Random values, the clock and physical places have a code of their own."""
    assert "sql.nondeterministic" == refused(sql).code


@pytest.mark.parametrize(
    ("sql", "code", "word"),
    [
        ("my_udf(i)", "sql.function", "'my_udf'"),
        ("lenght(s)", "sql.function", "'lenght'"),
        ("i * 1.5", "sql.decimal", "1.5"),
        ("price * 2", "sql.decimal", "price"),
        ("avg(price)", "sql.decimal", "price"),
        ("f + 1", "sql.types", "float"),
        ("max(local)", "sql.types", "timestamp_ntz"),
        ("cast(s as int)", "sql.cast", "string to int"),
        ("at + interval 1.5 days", "sql.interval", "1.5"),
        ("i & 3", "sql.operator", "i & 3"),
        ("row_number() over (partition by g)", "sql.query", "ORDER BY"),
        ("rand()", "sql.nondeterministic", "'rand'"),
    ],
)
def test_a_refusal_names_what_is_outside(sql: str, code: str, word: str) -> None:
    """The message names the function, operator or type, and the code says which rule it breaks."""
    error = refused(sql)
    assert (code, True) == (error.code, word in error.message), error.message


def test_a_tower_of_divisions_is_refused_and_not_unfolded() -> None:
    """Nesting that would unfold to megabytes of SQL is refused quickly, naming the way out."""
    error = refused(" / ".join(["d"] * 40))
    assert "sql.size" == error.code
    assert "subquery" in error.fix


def test_a_near_name_is_offered() -> None:
    """A typo in a function's name gets the right one."""
    assert "did you mean length" in refused("lenght(s)").fix


@pytest.mark.parametrize("sql", ["price", "price > 2.5", "price is null", "count(f)", "cast(f as double)", "local"])
def test_other_types_may_be_handed_on_compared_and_counted(sql: str) -> None:
    """Decimal, float and zoneless columns are not computed with, but may be read."""
    assert "base." in local(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "select base.rid, i as r from base limit 5",
        "select g, grouping(g) as r from base group by cube (g)",
        "select base.rid, x.r from base lateral view explode(array(1)) x as r",
        "select base.rid, x.r from base join (select i as r from base union all select s from base) x on true",
        "select base.rid from base where i",
    ],
)
def test_shapes_outside_the_subset_are_refused(sql: str) -> None:
    """A clause that changes from run to run, or that differs, is refused."""
    with pytest.raises(RequestError):
        to_duckdb(bind_body(parse_body(sql), TYPES, ()).sql, TYPES)


def test_a_sample_is_refused() -> None:
    """TABLESAMPLE draws other rows at each run."""
    with pytest.raises(RequestError):
        to_duckdb("SELECT base.rid AS rid FROM base TABLESAMPLE (10 PERCENT) AS base")


@pytest.mark.parametrize("types", [TYPES | {"retail.events": {"amount": "double"}}, None])
def test_a_feature_of_sums_needs_no_types(types: dict[str, dict[str, str]] | None) -> None:
    """A body of joins, sums and intervals becomes DuckDB SQL with and without the tables' types."""
    query = to_duckdb(
        "SELECT base.rid AS rid, COALESCE(SUM(e.amount), 0) AS r FROM base AS base LEFT JOIN retail__events AS e "
        "ON e.at < base.at AND e.at >= base.at - INTERVAL '90' DAYS GROUP BY base.rid",
        types,
    )
    assert "COALESCE(SUM(e.amount), 0)" in query
    assert "INTERVAL '90' DAYS" in query


def test_a_function_that_needs_a_type_says_so() -> None:
    """Without types, what follows from the type alone is refused and not guessed."""
    with pytest.raises(RequestError) as caught:
        to_duckdb("SELECT ROUND(base.d) AS r FROM base AS base")
    assert "round(cast(x as double))" in caught.value.message


@pytest.mark.parametrize("declared", [d for d in DECLARED if d.group == "aggregate"], ids=lambda d: d.names[0])
def test_every_aggregate_is_one_to_the_row_wise_proof(declared: object) -> None:
    """The proof that a body is row-wise looks for sqlglot's aggregates: none may look like a plain call."""
    assert issubclass(getattr(exp, declared.node), exp.AggFunc)  # type: ignore[attr-defined]


def test_the_documented_subset_is_complete() -> None:
    """Each allowed name stands in the entries the documentation is made from; each entry says how it is written."""
    documented = {name for entry in SUBSET for name in entry.name.split(", ")}
    assert set() == FUNCTIONS - documented
    assert [] == [entry for entry in SUBSET if not entry.signature or entry.tolerance < 0]
    assert {"function", "aggregate", "window", "operator", "cast", "query"} == {entry.group for entry in SUBSET}


@pytest.mark.parametrize("sql", [case.sql for found in SCALARS.values() for case in found])
def test_every_rewrite_is_sql_that_stands_anywhere(sql: str) -> None:
    """A rewritten expression keeps its meaning beside other operators: it needs no parentheses of its own."""
    tree = sqlglot.parse_one(local(f"(({sql}) is null) and (({sql}) is null)"), read="duckdb")
    assert 2 == len(tree.named_selects)
