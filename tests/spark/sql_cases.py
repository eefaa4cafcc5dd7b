"""The cases of the SQL-subset conformance suite: expressions over the columns of its table of hard values.

Columns: i j int, b c bigint, d e double, s u string, p q boolean, dt dt2 date, at at2 timestamp. Row 5 has
j = c = 0; rows 2 and 3 have e = ±0.0; row 8 is all null; rows 6, 7 and 13 hold NaN, 9 and 10 infinities; rows
11 and 12 the largest and smallest integers.
"""

from __future__ import annotations

from dataclasses import dataclass

# Spark's JVM and DuckDB's libm may differ in the last bit of these.
ULP = 4e-15
SUM = 1e-12


@dataclass(frozen=True)
class Case:
    """An expression.

    Attributes:
        fails: Rows (by rid) on which both engines must raise.
        tolerance: Relative, for doubles.
    """

    sql: str
    fails: frozenset[int] = frozenset()
    tolerance: float = 0.0


def cases(*texts: str, fails: tuple[int, ...] = (), tolerance: float = 0.0) -> list[Case]:
    return [Case(text, frozenset(fails), tolerance) for text in texts]


SCALARS: dict[str, list[Case]] = {
    "abs": [*cases("abs(d)"), *cases("abs(i)", "abs(b)", fails=(12,))],
    "case": cases(
        "case when i > 0 then 1 when i < 0 then 2 end",
        "case when i > 0 then i else d end",
        "case when i > 0 then i else b end",
        "case i when 7 then 'a' when 5 then null else 'b' end",
        "case when p then dt end",
    ),
    "ceil": cases("ceil(d)", "ceil(i)", "ceil(b)"),
    "char_length": cases("char_length(s)"),
    "coalesce": cases("coalesce(i, 0)", "coalesce(i, d)", "coalesce(i, b, 1)", "coalesce(s, u, '')", "coalesce(d, 0)"),
    "concat": cases("concat(s, u)", "concat(s, '-', u)", "concat(s, i)"),
    "contains": cases("contains(s, 'b')"),
    "date": cases("date(at)", "date(dt)"),
    "date_add": cases("date_add(dt, 30)", "date_add(at, -1)"),
    "date_sub": cases("date_sub(dt, 30)"),
    "date_trunc": cases(*(f"date_trunc('{unit}', at)" for unit in ("year", "month", "week", "day", "hour"))),
    "datediff": cases("datediff(dt, dt2)", "datediff(at, at2)", "datediff(at, dt)"),
    "day": cases("day(dt)", "day(at)"),
    "dayofmonth": cases("dayofmonth(dt)"),
    "dayofweek": cases("dayofweek(dt)", "dayofweek(at)"),
    "dayofyear": cases("dayofyear(dt)"),
    "endswith": cases("endswith(s, 'c')"),
    "exp": cases("exp(e)", "exp(i)", tolerance=ULP),
    "floor": cases("floor(d)", "floor(i)", "floor(b)", "floor(i / 2)"),
    "greatest": cases("greatest(i, j)", "greatest(d, e)", "greatest(i, d)", "greatest(dt, dt2)", "greatest(s, u)"),
    "hour": cases("hour(at)"),
    "if": cases("if(i > 0, 1, 2)", "if(p, i, d)", "if(p, null, s)"),
    "ifnull": cases("ifnull(i, 0)"),
    "isnan": cases("isnan(d)"),
    "least": cases("least(i, j)", "least(d, e)", "least(i, b)", "least(at, at2)"),
    "left": cases("left(s, 2)", "left(s, 0)"),
    "length": cases("length(s)", "length(u)"),
    "ln": cases("ln(d)", "ln(i)", tolerance=ULP),
    "log10": cases("log10(d)", "log10(i)", tolerance=ULP),
    "log2": cases("log2(d)", tolerance=ULP),
    "lower": cases("lower(s)", "lower(u)"),
    "ltrim": cases("ltrim(s)"),
    "minute": cases("minute(at)"),
    "month": cases("month(dt)", "month(at)"),
    "nanvl": cases("nanvl(d, 0)"),
    "nullif": cases("nullif(i, 7)", "nullif(d, e)", "nullif(s, '')", "1 / nullif(j, 0)"),
    "nvl": cases("nvl(i, 0)", "nvl(d, 0)", "nvl(s, 'z')"),
    "pow": cases("pow(i, 2)", "pow(d, 2)", tolerance=ULP),
    "power": cases("power(d, e)", "power(e, d)", "power(i, d)", tolerance=ULP),
    "quarter": cases("quarter(dt)"),
    "replace": cases("replace(s, 'a', 'z')"),
    "right": cases("right(s, 2)"),
    "round": cases("round(d)", "round(d, 1)", "round(d, 2)", "round(e, 2)", "round(i)", "round(i, -1)", "round(d, -1)"),
    "rtrim": cases("rtrim(s)"),
    "second": cases("second(at)"),
    "sign": cases("sign(d)", "sign(i)", "sign(b)"),
    "signum": cases("signum(d)"),
    "sqrt": cases("sqrt(d)", "sqrt(i)"),
    "startswith": cases("startswith(s, 'a')"),
    "substring": cases("substring(s, 1, 2)", "substring(s, 0, 2)", "substring(s, -2, 1)", "substring(s, 2)"),
    "timestampdiff": cases(
        *(f"timestampdiff({unit}, at2, at)" for unit in ("DAY", "HOUR", "MINUTE", "SECOND", "MONTH"))
    ),
    "trim": cases("trim(s)"),
    "trunc": cases("trunc(dt, 'MM')", "trunc(dt, 'YEAR')"),
    "unix_micros": cases("unix_micros(at)"),
    "unix_seconds": cases("unix_seconds(at)"),
    "unix_timestamp": cases("unix_timestamp(at)"),
    "upper": cases("upper(s)", "upper(u)"),
    "weekday": cases("weekday(dt)"),
    "weekofyear": cases("weekofyear(dt)"),
    "year": cases("year(dt)", "year(at)"),
}

AGGREGATES: dict[str, list[Case]] = {
    "avg": cases("avg(i)", "avg(b)", "avg(d)", "avg(case when p then 1 end)", tolerance=SUM),
    "bool_and": cases("bool_and(p)"),
    "bool_or": cases("bool_or(p)", "bool_or(i > 0)"),
    "count": cases("count(*)", "count(1)", "count(i)", "count(distinct i)", "count(distinct d)", "count(distinct s)"),
    "count_if": cases("count_if(p)", "count_if(i > 0)"),
    "max": cases("max(i)", "max(b)", "max(d)", "max(s)", "max(dt)", "max(at)", "max(p)", "max(d) - min(d)"),
    "median": cases("median(i)", "median(d)", tolerance=SUM),
    "min": cases("min(i)", "min(b)", "min(d)", "min(s)", "min(dt)", "min(at)", "min(p)"),
    "stddev": cases("stddev(i)", "stddev(d)", tolerance=SUM),
    "sum": cases(
        "sum(i)",
        "sum(b)",
        "sum(d)",
        "sum(i * d)",
        "sum(distinct i)",
        "sum(1)",
        "sum(case when p then 1 else 0 end)",
        "sum(case when p then d end)",
        "coalesce(sum(i), 0)",
        "coalesce(sum(d), 0)",
        "sum(d) / nullif(count(d), 0)",
        "sum(i) * 2",
        tolerance=SUM,
    ),
    "variance": cases("variance(i)", "variance(d)", tolerance=SUM),
}
OPERATORS: dict[str, list[Case]] = {
    "add": [*cases("d + e", "i + d", "b + e", "i + c", fails=()), *cases("i + 1", "b + 1", fails=(11,))],
    "subtract": [*cases("d - e", "i - d", "b - d"), *cases("i - 1", "b - 1", fails=(12,))],
    "multiply": [*cases("d * e", "i * d", "b * e"), *cases("i * 3", "b * 3", fails=(11, 12))],
    "divide": [
        *cases("i / 2", "d / 2", "b / 4", "1 / 3", "i / 2 + 1", "(i + 0) / 4"),
        *cases("i / j", "b / c", "d / j", fails=(5,)),
        *cases("d / e", "i / e", fails=(2, 3)),
        *cases("case when j = 0 then 0 else i / j end"),
    ],
    "negate": [*cases("-d", "-(d + e)"), *cases("-i", "-b", fails=(12,))],
    "compare": cases(
        *(
            f"{left} {operator} {right}"
            for operator in ("=", "<>", "<", "<=", ">", ">=")
            for left, right in (("i", "j"), ("d", "e"), ("s", "u"), ("dt", "dt2"), ("at", "at2"), ("i", "d"))
        ),
        "p = q",
        "i <=> j",
        "d <=> e",
        "s <=> u",
        "d > 2.5",
        "i >= 2.5",
        "i == 7",
        "i != 7",
    ),
    "logic": cases("p and q", "p or q", "not p", "not (p and q) or p", "i is null", "d is not null"),
    "membership": cases(
        "i in (7, 2)",
        "i in (7, null)",
        "i not in (7, 2, null)",
        "s in ('abc', '')",
        "d in (2.5, 3.5)",
        "i between 0 and 7",
        "d not between 0 and 3",
        "i between j and 10",
    ),
    "cast": [
        *cases("cast(i as bigint)", "cast(i as double)", "cast(b as double)", "cast(p as int)", "cast(i as int)"),
        *cases("cast(d as int)", "int(d)", fails=(6, 9, 10, 11, 13, 15)),
        *cases("cast(d as bigint)", fails=(6, 9, 10, 11, 13)),
        *cases("cast(b as int)", fails=(11, 12)),
        *cases("cast(b as bigint)"),
        *cases(
            "cast(2.5 as int)", "cast(-2.5 as int)", "cast(3.5 as bigint)", "cast(0.1 as double)", "1L", "1.5D", "1e3"
        ),
    ],
    "interval": cases(
        *(
            f"at {sign} interval {n}"
            for sign in "+-"
            for n in ("90 days", "3 hours", "5 minutes", "30 seconds", "1 week")
        ),
        "at - interval '90' day",
        "at > at2 - interval 90 days",
        "at2 >= at - interval 90 days and at2 < at",
    ),
}

QUERIES: dict[str, str] = {
    "range join": (
        "select a.rid, sum(b.e) as r, count(*) as n, max(b.at) as last from base a join base b "
        "on b.at < a.at and b.at >= a.at - interval 900 days and b.rid <> 11 group by a.rid"
    ),
    "left join": "select a.rid, count(b.rid) as n from base a left join base b on a.i = b.j group by a.rid",
    "join on doubles": "select a.rid, count(*) as n from base a join base b on a.d = b.e group by a.rid",
    "exists": "select a.rid, a.i from base a where exists (select 1 from base b where b.j = a.i)",
    "in": "select rid, i from base where i in (select j from base)",
    "common table expression": "with x as (select rid, i from base where p) select rid, i + 0 as r from x",
    "subquery": "select x.rid, x.r from (select rid, d * 2 as r from base where d > 0) x",
    "having": "select g, count(*) as n from base group by g having count(*) > 1",
    "group by a double": "select d, count(*) as n from base where d is not null group by d",
    "distinct": "select distinct p from base where p is not null",
}

REFUSED: list[str] = [
    "i * 1.5",
    "i / 2.5",
    "0.1 + 0.2",
    "cast(s as int)",
    "cast(d as string)",
    "cast(d as float)",
    "cast(i as decimal(10, 2))",
    "concat_ws('-', s, d)",
    "initcap(s)",
    "hash(i)",
    "xxhash64(i)",
    "levenshtein(s, u)",
    "bround(d)",
    "rand()",
    "uuid()",
    "current_timestamp()",
    "months_between(at, at2)",
    "date_format(at, 'yyyy')",
    "from_unixtime(b)",
    "at - interval '1 02:03:04' day to second",
    "at + interval 1 month",
    "first(i)",
    "any_value(i)",
    "max_by(s, at)",
    "percentile_approx(d, 0.5)",
    "collect_list(i)",
    "skewness(i)",
    "row_number() over (order by rid)",
    "explode(array(1, 2))",
    "named_struct('a', 1)",
    "i & 3",
    "my_udf(i)",
]
