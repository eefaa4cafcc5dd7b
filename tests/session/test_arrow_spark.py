"""Rows out of Spark and frames into it, as Arrow, on the shared session: types, values, order, limits."""

from __future__ import annotations

import datetime as dt
import math
import tempfile
from collections.abc import Iterator
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbplat.remote.driver.arrow_pages import page_path
from nbplat.remote.driver.frames_in import receive_frame
from nbplat.remote.driver.rows import ROWS, Limits, write_rows
from nbplat.session.frame_types import spark_table
from tests.fixtures.spark import JVM_MARKS, SparkLab

pytestmark = [*JVM_MARKS, pytest.mark.usefixtures("swept")]

UTC = dt.timezone.utc  # noqa: UP017


def taken(value: Any, folder: Path, **limits: Any) -> tuple[pa.Table, dict[str, Any]]:
    """The rows of a DataFrame through pages, and their description."""
    found = write_rows(value, str(folder), 0, Limits(**limits))[ROWS]
    pages = [
        pa.ipc.open_stream(page_path(str(folder), 0, n).read_bytes()).read_all() for n in range(len(found["pages"]))
    ]
    return pa.concat_tables(pages), found


def plain(kind: pa.DataType) -> pa.DataType:
    """A type without what Spark and Arrow name differently: a list's element, and what may be null."""
    if pa.types.is_list(kind):
        return pa.list_(plain(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, plain(field.type)) for field in kind])
    return pa.map_(plain(kind.key_type), plain(kind.item_type)) if pa.types.is_map(kind) else kind


def sent(session: Any, table: pa.Table, folder: Path) -> Any:
    """A frame as the session gets it."""
    file = folder / "frame"
    ready = spark_table("f", table)
    with pa.OSFile(str(file), "wb") as out, pa.ipc.new_stream(out, ready.schema) as stream:
        stream.write_table(ready, max_chunksize=10_000)
    names: dict[str, Any] = {}
    receive_frame(session, names, "f", str(file))
    return names["f"]


def test_every_type_comes_in_its_own(spark: SparkLab, tmp_path: Path) -> None:
    """Types are Spark's, null and NaN stay apart, instants are UTC in microseconds, wall clocks have no zone."""
    row = """CAST(1 AS TINYINT) i8, CAST(2 AS SMALLINT) i16, 3 i32, 1152921504606846976 i64, CAST(0.5 AS FLOAT) f,
             CAST('NaN' AS DOUBLE) d, CAST(1.10 AS DECIMAL(38, 10)) x, true b, 'it''s' s, X'00ff' y,
             DATE '2024-02-29' t, TIMESTAMP '2024-03-31 01:30:00.123456' at,
             TIMESTAMP_NTZ '2024-03-31 01:30:00.123456' wall,
             INTERVAL '1 00:00:00.000001' DAY TO SECOND AS e, NULL AS n, named_struct('p', array(1, NULL)) z,
             map('k', 2) m, 1 AS `a.b c`, 2 AS `a.b c`"""
    table, found = taken(spark.session.sql(f"SELECT {row} UNION ALL SELECT {', '.join(['NULL'] * 19)}"), tmp_path)
    assert [
        pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.decimal128(38, 10), pa.bool_(),
        pa.string(), pa.binary(), pa.date32(), pa.timestamp("us", "UTC"), pa.timestamp("us"), pa.duration("us"),
        pa.null(), pa.struct([("p", pa.list_(pa.int32()))]), pa.map_(pa.string(), pa.int32()), pa.int32(), pa.int32(),
    ] == [plain(kind) for kind in table.schema.types]  # fmt: skip
    values = [column[0].as_py() for column in table.columns]
    assert math.isnan(values.pop(5))
    at = dt.datetime.fromisoformat("2024-03-31T01:30:00.123456")
    assert [
        1, 2, 3, 2**60, 0.5, Decimal("1.1000000000"), True, "it's", b"\0\xff", dt.date(2024, 2, 29),
        at.replace(tzinfo=UTC), at, dt.timedelta(days=1, microseconds=1), None, {"p": [1, None]}, [("k", 2)], 1, 2,
    ] == values  # fmt: skip
    assert [None] * 19 == [column[1].as_py() for column in table.columns]
    assert ["a.b c", "a.b c"] == table.column_names[-2:]
    assert (2, None) == (found["rows"], found["limited"])


def test_pages_come_in_order_a_few_partitions_at_a_time(spark: SparkLab, tmp_path: Path) -> None:
    """Rows keep their order over partitions and pages; no page is larger than it should be."""
    frame = spark.session.range(0, 100_000, 1, 16).selectExpr("id", "id * 2 AS twice")
    table, found = taken(frame, tmp_path, page_bytes=300_000)
    assert list(range(100_000)) == table["id"].to_pylist()
    assert 4 < len(found["pages"]) < 8
    assert max(size for _, size in found["pages"]) < 600_000


def test_a_limit_computes_no_more_than_it_must(spark: SparkLab, tmp_path: Path) -> None:
    """The first rows of a frame that nobody could ever read whole come at once; sorted ones are the first."""
    endless = spark.session.range(0, 10**13, 1, 1000)
    table, found = taken(endless, tmp_path, rows=10)
    assert (list(range(10)), "rows") == (table["id"].to_pylist(), found["limited"])
    by_bytes, found = taken(endless, tmp_path, rows=50_000, bytes=100_000)
    assert (True, "bytes") == (found["more"], found["limited"])
    assert by_bytes.num_rows < 50_000
    spread = spark.session.range(0, 1000, 1, 8).orderBy("id", ascending=False)
    assert [999, 998, 997] == taken(spread, tmp_path, rows=3)[0]["id"].to_pylist()


def test_tasks_see_the_sessions_settings(spark: SparkLab, tmp_path: Path) -> None:
    """A setting that is read while rows are made holds as in any other action, and is gone afterwards."""
    query = "SELECT map_from_arrays(array(id, id), array(1, 2)) AS m FROM range(1)"
    session = spark.session
    before = session.sparkContext.getLocalProperty("spark.sql.mapKeyDedupPolicy")
    session.conf.set("spark.sql.mapKeyDedupPolicy", "LAST_WIN")
    try:
        assert [[(0, 2)]] == taken(session.sql(query), tmp_path)[0]["m"].to_pylist()
    finally:
        session.conf.unset("spark.sql.mapKeyDedupPolicy")
    assert before == session.sparkContext.getLocalProperty("spark.sql.mapKeyDedupPolicy")
    with pytest.raises(Exception, match="DUPLICATED_MAP_KEY"):
        taken(session.sql(query), tmp_path)
    assert not (tmp_path / "results" / "0").exists()


def test_types_that_arrow_lacks_and_results_without_rows(spark: SparkLab, tmp_path: Path) -> None:
    """A type that Arrow lacks is text; no columns are no columns; no rows keep their types."""
    months, _ = taken(spark.session.sql("SELECT 1 AS m, make_ym_interval(1, 2) AS m"), tmp_path)
    assert [("m", [1]), ("m", ["INTERVAL '1-2' YEAR TO MONTH"])] == [
        (name, column.to_pylist()) for name, column in zip(months.column_names, months.columns, strict=True)
    ]
    nothing = write_rows(spark.session.sql("SET spark.x=1").select(), str(tmp_path), 0, Limits())
    assert [] == nothing["application/json"]["data"]
    empty, found = taken(spark.session.sql("SELECT id FROM range(9) WHERE id > 99"), tmp_path)
    assert (pa.int64(), 0, 1) == (empty.schema.field("id").type, empty.num_rows, len(found["pages"]))


def _timestamps(zone: dt.timezone | None) -> st.SearchStrategy[dt.datetime]:
    found = st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(9000, 1, 1))  # noqa: DTZ001 - a wall clock
    return found if zone is None else found.map(lambda at: at.replace(tzinfo=zone))


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["'", '"', "\\", "\n", "`", "{{x}}"]
)
# With all 38 digits: the usual context rounds to 28, and the largest then up to a digit too many.
_EXACT = Context(prec=38)
_DECIMALS = st.integers(-(10**38) + 1, 10**38 - 1).map(lambda n: _EXACT.scaleb(Decimal(n), -10))
_KINDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int8(), st.integers(-128, 127)),
    (pa.uint8(), st.integers(0, 255)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float64(), st.floats()),
    (pa.bool_(), st.booleans()),
    (pa.string(), _TEXT),
    (pa.large_string(), _TEXT),
    (pa.binary(), st.binary(max_size=8)),
    (pa.decimal128(38, 10), _DECIMALS),
    (pa.date32(), st.dates(dt.date(1000, 1, 1), dt.date(9000, 1, 1))),
    (pa.timestamp("us", "Europe/Berlin"), _timestamps(UTC)),
    (pa.timestamp("us"), _timestamps(None)),
    (pa.timestamp("ms"), _timestamps(None).map(lambda at: at.replace(microsecond=0))),
    (pa.duration("us"), st.timedeltas()),
    (pa.null(), st.none()),
    (pa.dictionary(pa.int8(), pa.string()), _TEXT),
]


def _nested(kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = kinds.map(lambda one: (pa.list_(one[0]), st.lists(one[1] | st.none(), max_size=3)))
    structs = st.tuples(kinds, kinds).map(
        lambda two: (
            pa.struct([("a", two[0][0]), ("b c", two[1][0])]),
            st.fixed_dictionaries({"a": two[0][1] | st.none(), "b c": two[1][1] | st.none()}),
        )
    )
    maps = kinds.map(
        lambda one: (
            pa.map_(pa.string(), one[0]),
            st.dictionaries(_TEXT, one[1] | st.none(), max_size=3).map(lambda found: list(found.items())),
        )
    )
    return lists | structs | maps


_PLAIN = st.sampled_from([kind for kind in _KINDS if not pa.types.is_dictionary(kind[0])])
_ANY = st.sampled_from(_KINDS) | st.recursive(_PLAIN, _nested, max_leaves=3)
_NAMES = st.lists(_TEXT | st.just("n"), min_size=1, max_size=4)


@st.composite
def frames(draw: st.DrawFn) -> pa.Table:
    names = draw(_NAMES)
    rows = draw(st.integers(0, 4))
    columns = []
    for _ in names:
        kind, values = draw(_ANY)
        cells = draw(st.lists(values | st.none(), min_size=rows, max_size=rows))
        columns.append(pa.array(cells, kind))
    return pa.Table.from_arrays(columns, names=names)


def same(value: Any) -> Any:
    """A value that equals itself also where it holds NaN."""
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, dict):
        return {key: same(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [same(item) for item in value]
    return value


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(table=frames())
def test_any_frame_survives_the_way_to_spark_and_back(spark: SparkLab, folder: Path, table: pa.Table) -> None:
    """Names, types and values of any frame, with quotes, nulls, odd names and nothing in it, are what they were."""
    wanted = spark_table("f", table)
    back, _ = taken(sent(spark.session, table, folder), folder)
    assert wanted.column_names == back.column_names
    assert [plain(kind) for kind in wanted.schema.types] == [plain(kind) for kind in back.schema.types]
    for before, after in zip(wanted.columns, back.columns, strict=True):
        assert same(before.to_pylist()) == same(after.to_pylist())


def test_a_large_frame_goes_in_many_partitions(spark: SparkLab, tmp_path: Path) -> None:
    """Order and rows are kept where a frame is cut for Spark; a view is found by SQL."""
    table = pa.table({"n": list(range(25_000))})
    assert table.equals(taken(sent(spark.session, table, tmp_path), tmp_path)[0].cast(table.schema))
    file = tmp_path / "seen"
    with pa.OSFile(str(file), "wb") as out, pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    receive_frame(spark.session, {}, "seen_frame", str(file), view=True)
    assert 25_000 == spark.rows("SELECT count(*) AS n FROM seen_frame")[0]["n"]
    spark.session.catalog.dropTempView("seen_frame")
