"""What a body is, and whether its rows are computed by themselves."""

from __future__ import annotations

import pytest

from nbplat.backfill.body import BASE, BoundBody, bind_body, parse_body
from nbplat.errors import RequestError
from nbplat.terms import TableName

COLUMNS = {
    BASE: {"id": "bigint", "customer": "bigint", "x": "double", "ts": "timestamp"},
    "shop.events": {"customer": "bigint", "amount": "double", "at": "timestamp"},
}


def bound(sql: str, keys: tuple[str, ...] = ("id",)) -> BoundBody:
    body = parse_body(sql)
    return bind_body(body, {BASE: COLUMNS[BASE], **{str(s): COLUMNS[str(s)] for s in body.sources}}, keys)


JOINED = "from base b left join shop.events e on e.customer = b.customer"

ROW_WISE = [
    "select id, x * 2 as f from base",
    "select b.id, b.x + b.customer as f from base as b",
    "select id, case when x > 1 then x else 0 end as f from base where x is not null",
    f"select b.id, sum(e.amount) as f {JOINED} group by b.id",
    f"select b.id, sum(e.amount) as f {JOINED} group by 1",
    f"select b.id, max(e.at) as f {JOINED} and e.at < b.ts group by b.id, b.ts",
    f"select b.id, count(*) as f {JOINED} group by b.id having count(*) > 0",
    "select b.id, e.amount as f from base b join shop.events e on e.customer = b.customer",
    "select b.id, (select sum(amount) from shop.events e where e.customer = b.customer) as f from base b",
    "select b.id, s.total as f from base b left join"
    " (select customer, sum(amount) as total from shop.events group by customer) s on s.customer = b.customer",
    "with s as (select customer, max(amount) as top from shop.events group by customer)"
    " select b.id, s.top as f from base b left join s on s.customer = b.customer",
    "select b.id, exists (select 1 from shop.events e where e.customer = b.customer) as f from base b",
    "select b.id, r.n as f from base b left join (select customer, row_number() over (order by at) as n"
    " from shop.events) r on r.customer = b.customer",
]

WHOLE = [
    ("select id, row_number() over (order by ts) as f from base", "window function"),
    ("select id, sum(x) over (partition by customer) as f from base", "window function"),
    ("select distinct id, x as f from base", "DISTINCT"),
    ("select id, x as f from base limit 5", "LIMIT"),
    ("select max(id) as id, sum(x) as f from base", "aggregate"),
    ("select customer as id, sum(x) as f from base group by customer", "less than its key"),
    ("select a.id, b.x as f from base a join base b on a.customer = b.customer", "2 times"),
    ("select id, x - (select avg(x) from base) as f from base", "2 times"),
    ("select id, x as f from base b where exists (select 1 from base c where c.id > b.id)", "2 times"),
    ("select s.id, s.f from (select id, x as f from base) s", "first table"),
    ("with s as (select id, x from base) select id, x as f from s", "first table"),
    ("select b.id, e.amount as f from shop.events e join base b on e.customer = b.customer", "first table"),
    ("select b.id, e.amount as f from base b right join shop.events e on e.customer = b.customer", "RIGHT"),
    ("select b.id, e.amount as f from base b full join shop.events e on e.customer = b.customer", "FULL"),
    ("select id, sum(x) as f from base group by rollup(id)", "base is grouped"),
    ("select id, sum(x) as f from base group by grouping sets ((id), ())", "base is grouped"),
]


@pytest.mark.parametrize("sql", ROW_WISE)
def test_row_wise_bodies_are_proved(sql: str) -> None:
    """One reference to base, nothing across its rows: it may run file by file."""
    proved = bound(sql)
    assert (True, proved.why) == (proved.row_wise, proved.why)


@pytest.mark.parametrize(("sql", "why"), WHOLE)
def test_any_other_body_runs_over_the_whole_window(sql: str, why: str) -> None:
    """Whatever looks across rows of base runs once, and the plan says why."""
    proved = bound(sql)
    assert (False, True) == (proved.row_wise, why in proved.why), proved.why


def test_a_group_needs_every_key() -> None:
    """Grouping by a part of the key, or by another table's column of that name, is no proof."""
    sql = "select b.id, b.customer, sum(b.x) as f from base b group by b.id, b.customer"
    assert bound(sql, ("id", "customer")).row_wise
    assert not bound("select b.id, sum(b.x) as f from base b group by b.id", ("id", "customer")).row_wise
    other = f"select e.customer as id, sum(b.x) as f {JOINED} group by e.customer"
    assert not bound(other, ("customer",)).row_wise
    assert not bound("select id, sum(x) as f from base group by id", ()).row_wise


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("", "body.empty"),
        ("  \n ", "body.empty"),
        ("-- only a comment", "body.not_select"),
        ("select 1 as a from base; select 2 as a from base", "body.not_select"),
        ("drop table base", "body.not_select"),
        ("insert into base select * from base", "body.not_select"),
        ("select id from base union all select id from base", "body.not_select"),
        ("create table t as select id from base", "body.not_select"),
        ("select id, from base where", "body.syntax"),
        ("selct id from base", "body.syntax"),
        ("select (id from base", "body.syntax"),
        ("select id from orders", "body.table"),
        ("select id from shop.events", "body.no_base"),
        ("select 1 as id", "body.no_base"),
        ("with base as (select 1 as id) select id from base", "body.no_base"),
    ],
)
def test_what_is_not_one_select_over_base_is_refused(sql: str, code: str) -> None:
    """Anything but one SELECT that reads base is refused while parsing."""
    with pytest.raises(RequestError) as caught:
        parse_body(sql)
    assert code == caught.value.code
    assert caught.value.fix


def test_a_syntax_error_says_where() -> None:
    """The place is line and column of the body."""
    with pytest.raises(RequestError) as caught:
        parse_body("select id,\n  (x as f\nfrom base")
    assert caught.value.where.startswith("line ")


@pytest.mark.parametrize(
    ("sql", "near"),
    [
        ("select id, amout as f from base", ""),
        ("select id, custmer as f from base", "did you mean customer?"),
        (
            "select b.id, e.custmer as f from base b join shop.events e on e.customer = b.customer",
            "did you mean customer?",
        ),
    ],
)
def test_an_unknown_column_is_refused_with_a_near_name(sql: str, near: str) -> None:
    """The error names the column and the nearest one there is."""
    with pytest.raises(RequestError) as caught:
        bound(sql)
    assert ("body.column", True) == (caught.value.code, near in caught.value.fix)


def test_an_ambiguous_column_is_refused() -> None:
    """A column that two tables have must be qualified."""
    with pytest.raises(RequestError) as caught:
        bound("select b.id, customer as f from base b join shop.events e on e.customer = b.customer")
    assert ("body.column", "qualify the column with its table") == (caught.value.code, caught.value.fix)


def test_layout_and_comments_do_not_count() -> None:
    """The canonical text is one for all layouts and comments."""
    one = parse_body("select id, x as f from base -- twice\n")
    assert one == parse_body("SELECT  /* why */ id,\n\n x AS f\nFROM base")
    assert one != parse_body("select id, x + 1 as f from base")


def test_sources_and_columns_read_are_listed() -> None:
    """Only what the body reads is read; sources are sorted and named once."""
    body = parse_body(f"select b.id, sum(e.amount) as f {JOINED} where e.amount in (select amount from shop.events)")
    assert (TableName("shop", "events"),) == body.sources
    got = bound(f"select b.id, sum(e.amount) as f {JOINED} group by b.id")
    assert {"base": ("customer", "id"), "shop.events": ("amount", "customer")} == dict(got.reads)
    assert ("id", "f") == got.outputs


def test_a_star_is_expanded_to_the_columns_of_now() -> None:
    """``select *`` means the columns the table has at plan time."""
    got = bound("select *, x + 1 as f from base")
    assert ("id", "customer", "x", "ts", "f") == got.outputs
    assert {"base": ("customer", "id", "ts", "x")} == dict(got.reads)


@pytest.mark.parametrize("name", ["t0", "t1", "events", "nb", "base_", "shop__events"])
def test_a_cte_of_any_name_keeps_its_meaning(name: str) -> None:
    """A CTE is never mistaken for a table."""
    top = "select customer as c, max(amount) as top from shop.events group by customer"
    join = f"select b.id, {name}.top as f from base b left join {name} on {name}.c = b.customer"
    got = bound(f"with {name} as ({top}) {join}")
    assert {"base": ("customer", "id"), "shop.events": ("amount", "customer")} == dict(got.reads)
    assert got.row_wise
    assert f"WITH {name} AS" in got.sql


def test_names_match_in_any_case() -> None:
    """As in Spark: keys and columns are found in any case, and everything keeps its written spelling."""
    columns = {BASE: {"Id": "bigint", "CustomerId": "bigint", "V": "double"}}
    got = bind_body(parse_body("select ID, sum(v) as Spend from base b group by iD"), columns, ("Id",))
    assert ("Id", "Spend") == got.outputs
    assert {"Id"} == got.handed_on
    assert {BASE: ("Id", "V")} == dict(got.reads)
    assert got.row_wise


@pytest.mark.parametrize("option", ["tablesample (10 percent)", "version as of 3", "timestamp as of '2020-01-01'"])
def test_a_table_option_is_refused(option: str) -> None:
    """A sample or a version would be lost when the table is pinned, so it is named and refused."""
    with pytest.raises(RequestError) as refused:
        parse_body("select id, 1 as f from base " + option)
    assert "body.table_option" == refused.value.code
