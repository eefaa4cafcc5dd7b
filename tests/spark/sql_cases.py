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


COLUMNS = dict(
    zip("ijbcdesupq", ["int"] * 2 + ["bigint"] * 2 + ["double"] * 2 + ["string"] * 2 + ["boolean"] * 2, strict=True)
)
COLUMNS |= {"rid": "int", "g": "int", "dt": "date", "dt2": "date", "at": "timestamp", "at2": "timestamp"}


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
    "array": cases(
        "array(d, e)",
        "array(i, b)",
        "array(i, d, null)",
        "array(s, 'x', u)",
        "array(p, q)",
        "array(dt, at)",
        "array(cast(d as float), cast(1.5D as float))",
        "cast(array(d, e, i) as array<float>)",
        "cast(array(i, 2) as array<double>)",
        "cast(array(i, b) as array<string>)",
    ),
    "size": cases("size(array(d, e))", "size(array(s, 'x', u))", "size(cast(array(i, b) as array<string>))"),
    "array_size": cases("array_size(array(d, e, null))"),
    "get": cases(
        "get(array(d, e), 0)",
        "get(array(d, e), j)",
        "get(array(s, 'x', u), i)",
        "get(array(dt, at), 1)",
        "get(array(p, q), -1)",
        "get(array(i, b), 2147483647)",
        "get(array(cast(d as float)), 0)",
    ),
    "named_struct": cases(
        "named_struct('a', i, 'b c', s)",
        "named_struct('a', d, 'n', named_struct('x', at, 'y', array(d, e)))",
    ),
    "struct": cases("struct(i as a, d as b)", "struct(s, cast(d as float) as f)"),
    "add_months": cases("add_months(dt, 1)", "add_months(dt, -13)", "add_months(at, 2)"),
    "atan": cases("atan(d)", "atan(i)", tolerance=ULP),
    "cbrt": cases("cbrt(d)", "cbrt(i)", tolerance=ULP),
    "date_diff": cases("date_diff(dt, dt2)"),
    "degrees": cases("degrees(d)", "degrees(i)", tolerance=ULP),
    "instr": cases("instr(s, 'b')", "instr(s, u)"),
    "isnotnull": cases("isnotnull(i)"),
    "isnull": cases("isnull(s)", "isnull(d)"),
    "last_day": cases("last_day(dt)", "last_day(at)"),
    "lcase": cases("lcase(s)"),
    "len": cases("len(s)"),
    "locate": cases("locate('b', s)"),
    "log": cases("log(d)", tolerance=ULP),
    "nvl2": cases("nvl2(i, d, 0)", "nvl2(s, 1, 2)", "nvl2(d, s, u)"),
    "pi": cases("pi()", "sqrt(2 * pi())", tolerance=ULP),
    "pmod": [*cases("pmod(i, 3)", "pmod(b, 7)", "pmod(i, -3)", "pmod(b, -1)"), *cases("pmod(i, j)", fails=(5,))],
    "position": cases("position('b' in s)"),
    "radians": cases("radians(d)", tolerance=ULP),
    "substr": cases("substr(s, 2, 1)"),
    "tanh": cases("tanh(d)", tolerance=ULP),
    "timestamp_millis": cases("timestamp_millis(i)"),
    "timestamp_seconds": cases("timestamp_seconds(i)"),
    "to_date": cases("to_date(at)", "to_date(dt)", "to_date('2011-03-31')", "to_date(case when rid = 13 then s end)"),
    "to_unix_timestamp": cases("to_unix_timestamp(at)"),
    "ucase": cases("ucase(s)"),
    "unix_millis": cases("unix_millis(at)"),
    "abs": [*cases("abs(d)"), *cases("abs(i)", "abs(b)", fails=(12,))],
    "case": cases(
        "case when i > 0 then 1 when i < 0 then 2 end",
        "case when i > 0 then i else d end",
        "case when i > 0 then i else b end",
        "case i when 7 then 'a' when 5 then null else 'b' end",
        "case when p then dt end",
    ),
    "ceil": cases("ceil(d)", "ceil(i)", "ceil(b)"),
    "ceiling": cases("ceiling(d)"),
    "char_length": cases("char_length(s)"),
    "character_length": cases("character_length(s)"),
    "coalesce": cases(
        "coalesce(i, 0)",
        "coalesce(i, d)",
        "coalesce(i, b, 1)",
        "coalesce(s, u, '')",
        "coalesce(d, 0)",
        "coalesce(d, 0.5)",
        "coalesce(dt, at)",
    ),
    "concat": cases("concat(s, u)", "concat(s, '-', u)", "concat(s, i)"),
    "contains": cases("contains(s, 'b')"),
    "date": cases("date(at)", "date(dt)"),
    "date_add": cases("date_add(dt, 30)", "date_add(at, -1)", "date_add(dt, case when rid < 4 then i end)"),
    "date_sub": cases("date_sub(dt, 30)"),
    "date_trunc": cases(
        *(
            f"date_trunc('{unit}', at)"
            for unit in ("year", "quarter", "month", "week", "day", "hour", "minute", "second")
        ),
        "date_trunc('month', dt)",
    ),
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
    "log2": cases("log2(d)", "log2(i)", tolerance=ULP),
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
    "round": cases(
        "round(d)",
        "round(d, 1)",
        "round(d, 2)",
        "round(e, 2)",
        "round(i)",
        "round(i, 2)",
        "round(d, -1)",
        "round(i / 3, 3)",
        "round(case when rid < 9 then i end, -1)",
    ),
    "rtrim": cases("rtrim(s)"),
    "second": cases("second(at)"),
    "sign": cases("sign(d)", "sign(i)", "sign(b)"),
    "signum": cases("signum(d)"),
    "sqrt": cases("sqrt(d)", "sqrt(i)"),
    "startswith": cases("startswith(s, 'a')"),
    "substring": cases("substring(s, 1, 2)", "substring(s, 0, 2)", "substring(s, 2)", "substring(s, 3, 0)"),
    "timestampdiff": cases(
        *(f"timestampdiff({unit}, at2, at)" for unit in ("WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MONTH", "YEAR")),
        "timestampdiff(DAY, dt2, dt)",
        "timestampdiff(HOUR, dt2, at)",
    ),
    "trim": cases("trim(s)"),
    "trunc": cases("trunc(dt, 'MM')", "trunc(dt, 'YEAR')", "trunc(dt, 'week')", "trunc(at, 'QUARTER')"),
    "unix_micros": cases("unix_micros(at)"),
    "unix_seconds": cases("unix_seconds(at)"),
    "unix_timestamp": cases("unix_timestamp(at)"),
    "upper": cases("upper(s)", "upper(u)"),
    "weekday": cases("weekday(dt)"),
    "weekofyear": cases("weekofyear(dt)"),
    "year": cases("year(dt)", "year(at)", "year(date '2011-03-31')"),
}

# The ordering is total in each of them: rid has no ties.
WINDOWS: dict[str, list[Case]] = {
    "dense_rank": cases("dense_rank() over (partition by g order by p)"),
    "lag": cases(
        "lag(i) over (partition by g order by rid)",
        "lag(d, 2, 0) over (order by rid desc)",
        "lag(at) over (partition by g order by at, rid)",
    ),
    "lead": cases("lead(i) over (partition by g order by rid)", "lead(s, 1, 'none') over (order by s, rid)"),
    "ntile": cases("ntile(3) over (order by rid)"),
    "percent_rank": cases("percent_rank() over (order by i)", tolerance=ULP),
    "rank": cases("rank() over (order by d)", "rank() over (partition by g order by i desc)"),
    "row_number": cases("row_number() over (partition by g order by d, rid)", "row_number() over (order by at, rid)"),
    "sum": cases(
        "sum(i) over (partition by g)",
        "sum(case when abs(d) < 1e10 then d end) over (order by rid)",
        "sum(i) over (partition by g order by rid rows between 1 preceding and current row)",
        "sum(case when p then 1 else 0 end) over (order by rid) + 1",
        tolerance=SUM,
    ),
    "count": cases(
        "count(*) over (partition by g order by rid)",
        "count(i) over (order by i)",
    ),
    "count_if": cases("count_if(p) over (partition by g order by rid)"),
    "avg": cases("avg(i) over (partition by g)", "avg(i) over (order by rid rows between 2 preceding and 1 following)"),
    "max": cases("max(d) over (order by rid)", "max(at) over (partition by g)"),
    "min": cases("min(i) over (order by rid rows between unbounded preceding and 1 preceding)"),
}

AGGREGATES: dict[str, list[Case]] = {
    "avg": cases("avg(i)", "avg(b)", "avg(d)", "avg(case when p then 1 end)", tolerance=SUM),
    "bool_and": cases("bool_and(p)"),
    "bool_or": cases("bool_or(p)", "bool_or(i > 0)"),
    "stddev_pop": cases("stddev_pop(i)", "stddev_pop(nullif(d, 1e300))", tolerance=SUM),
    "stddev_samp": cases("stddev_samp(i)", tolerance=SUM),
    "var_pop": cases("var_pop(i)", "var_pop(nullif(d, 1e300))", tolerance=SUM),
    "var_samp": cases("var_samp(i)", tolerance=SUM),
    "count": cases(
        "count(*)",
        "count(1)",
        "count(i)",
        "count(distinct i)",
        "count(distinct d)",
        "count(distinct s)",
        "count(distinct i, j)",
        "count(*) filter (where p)",
    ),
    "count_if": cases("count_if(p)", "count_if(i > 0)"),
    "max": cases(
        "max(cast(c as decimal(9, 2)))",
        "max(i)",
        "max(b)",
        "max(d)",
        "max(s)",
        "max(dt)",
        "max(at)",
        "max(p)",
        "max(d) - min(d)",
    ),
    "median": cases("median(i)", "median(d)", tolerance=SUM),
    "min": cases(
        "min(cast(b as decimal(30, 2)))", "min(i)", "min(b)", "min(d)", "min(s)", "min(dt)", "min(at)", "min(p)"
    ),
    "stddev": cases("stddev(i)", "stddev(d)", tolerance=SUM),
    "sum": cases(
        "sum(cast(i as decimal(12, 2)))",
        "sum(cast(j as decimal(36, 2)))",
        "sum(distinct cast(c as decimal(9, 2)))",
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
        "sum(i) / count(*)",
        "sum(i) > 0",
        "sum(i) filter (where p)",
        "sum(b) % 7",
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
    "compare floats": cases(
        *(
            f"cast(e as float) {operator} {right}"
            for operator in ("=", "<>", "<", "<=", ">", ">=", "<=>", "is distinct from")
            for right in ("0.1", "0.1D", "cast(0.1D as float)", "e", "i", "b", "-1.5")
        ),
        "0.1 < cast(e as float)",
        "cast(cast(b as double) as float) = b",
        "cast(cast(i as double) as float) = i",
        "cast(cast(b as double) as float) <= 9223372036854775807",
        "cast(e as float) between 0.1 and 2",
        "i between cast(e as float) and 10",
        "b not between 5 and cast(d as float)",
        "cast(e as float) in (0.1, 1, 2.5D)",
        "cast(e as float) not in (0.1D, 2)",
        "not (cast(e as float) > 0.1)",
    ),
    "compare decimals": cases(
        *(
            f"cast(c as decimal(12, 2)) {operator} {right}"
            for operator in ("=", "<>", "<", "<=", ">", ">=", "<=>")
            for right in ("2.5", "3", "e", "cast(e as float)", "i", "3.00D")
        ),
        "e = 2.675",
        "d <= 1.005",
        "cast(c as decimal(12, 2)) between 2.5 and e",
        "cast(c as decimal(12, 2)) in (3, 7.0D)",
    ),
    "logic": cases("p and q", "p or q", "not p", "not (p and q) or p", "i is null", "d is not null"),
    "remainder": [
        *cases("d % 3", "i % 3", "b % 7", "i % -1", "b % -1", "d % 2.5D", "mod(i, 2)", "(g + j) % 2"),
        *cases("i % j", "b % c", fails=(5,)),
        *cases("d % e", fails=(2, 3)),
    ],
    "whole division": [
        *cases("i div 2", "b div 3", "i div -1"),
        *cases("i div j", "b div c", fails=(5,)),
        *cases("b div -1", fails=(12,)),
    ],
    "decimal literal": cases(
        "d * 1.5", "d + 0.5", "d - 0.5", "d / 2.5", "case when i > 2.5 then 1 else 0 end", "i in (7, 2.5)"
    ),
    "text": cases("s || u", "s || '-' || i", "s like 'a%'", "s like '_b_'", "s not like '%b%'", "s ilike 'A%'"),
    "distinct from": cases("i is distinct from j", "d is not distinct from e", "p is true", "p is not false"),
    "time and text": cases(
        "dt >= '2011-01-01'",
        "at < '2012-01-01 00:00:00'",
        "dt between '2011-01-01' and '2011-12-31'",
        "dt = at",
        "at > date '2011-01-01'",
        "at > timestamp '2011-03-31 01:02:03'",
        "timestamp '2011-03-31 01:02:03+02:00'",
        "date '2011-03-31'",
        "dt in (date '2011-01-31', date '1970-01-01')",
    ),
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
        *cases("cast(g as decimal(9, 2))", "cast(b as decimal(38, 4))", "cast(i as decimal(10, 0))"),
        *cases("cast(i as decimal(3, 0))", fails=(11, 12)),
        *cases("cast(b as decimal(4, 1))", fails=(11, 12, 13)),
        *cases("cast(cast(c as decimal(12, 3)) as decimal(9, 1))", "cast(cast(c as decimal(9, 3)) as double)"),
        *cases("cast(cast(j as decimal(9, 2)) as int)", "cast(cast(b as decimal(38, 4)) as string)"),
        *cases("cast(cast(b as decimal(30, 4)) as double)", "cast(cast(c as decimal(9, 2)) as bigint)"),
        *cases("cast(d as float)", "cast(i as float)", "cast(b as float)", "cast(cast(d as float) as double)"),
        *cases(
            "cast(b as bigint)", "cast(i as string)", "cast(b as string)", "cast(p as string)", "cast(dt as string)"
        ),
        *cases(
            "cast(p as bigint)", "cast(p as double)", "cast(i as boolean)", "cast(d as boolean)", "cast(null as double)"
        ),
        *cases("cast(dt as timestamp)", "cast(at as date)", "cast(at as bigint)", "cast(i as timestamp)"),
        *cases("cast(case when rid < 11 then b end as timestamp)"),
        *cases("cast(s as double)", fails=(0, 1, 2, 3, 4, 7, 9, 11, 12, 13, 14)),
        *cases(
            "cast(case when rid = 13 then s end as date)", "cast(case when rid in (13, 14) then s end as timestamp)"
        ),
        *cases("cast('1.5' as double)", "cast('NaN' as double)", "to_timestamp('2011-03-31 12:00:00.25')"),
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
        *(
            f"{time} {sign} interval {n}"
            for time in ("at", "dt")
            for sign in "+-"
            for n in ("1 month", "10 months", "1 year", "2 days", "3 hours")
        ),
        "dt + 1",
        "dt - 30",
        "interval 2 days + at",
        "at + interval 1 day 2 hours",
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
    "semi join": "select a.rid from base a left semi join base b on a.i = b.j",
    "anti join": "select a.rid from base a left anti join base b on a.i = b.j",
    "full join": "select a.rid, b.i as r from base a full join base b on a.rid = b.rid + 1 where a.rid is not null",
    "not exists": "select a.rid from base a where not exists (select 1 from base b where b.j = a.i)",
    "scalar subquery": "select a.rid, (select sum(b.i) from base b where b.g = a.g and b.rid < a.rid) as r from base a",
    "union all": (
        "select x.rid, x.r from (select rid, i as r from base union all select rid + 100, b from base where p) x"
    ),
    "union": "select x.r from (select i as r from base union select j from base) x where x.r is not null",
    "intersect": "select x.r from (select i as r from base intersect select j from base) x where x.r is not null",
    "except": "select x.r from (select i as r from base except select j from base) x where x.r is not null",
    "types through subqueries": (
        "with x as (select g, sum(i) as t, max(dt) as last from base where i between -1000 and 1000 group by g) "
        "select a.rid, x.t + 1 as r, round(x.t / 3, 2) as s, x.last + interval 1 day as u "
        "from base a left join x on x.g = a.g"
    ),
    "window in a subquery": (
        "select x.rid, x.d as r "
        "from (select rid, d, row_number() over (partition by g order by rid desc) as n from base) x where x.n = 1"
    ),
    "order and limit": "select x.rid, x.i as r from (select rid, i from base order by i desc, rid limit 5) x",
    "empty": "select g, sum(i) as s, avg(d) as a, count(d) as n, count_if(p) as c from base where rid < 0 group by g",
    "all null group": "select g, sum(i) as t, avg(d) as a, stddev(d) as v, max(s) as m from base where g=1 group by g",
}
