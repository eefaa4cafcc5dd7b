"""Bad definitions through the command line: a clear error with line, column and mend, its exit code, and no effect."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.test_bad_input import refused
from tests.fixtures.lakehouse import Lake
from tests.fixtures.product import Product

pytestmark = pytest.mark.process

GOOD = """source: shop.events
entity: customer
time: at
type: kind
events:
  click: {last: 20, within: 90d}
  buy: {last: 5}
as_of: {time: ts}
"""
VARIANTS = "variants:\n  a: {events.buy.last: 3}\n"

# case -> (text, exit code, error code, place, a word of the message, a word of the mend)
CASES = {
    "unknown key": (GOOD.replace("entity:", "entitty:"), 2, "sequence.key", "line 2, column 1", "entitty", "entity"),
    "unknown key below": (
        GOOD.replace("within", "withn"),
        2,
        "sequence.key",
        "line 6, column 21",
        "events.click",
        "within",
    ),
    "wrong type": (GOOD.replace("20", "many"), 2, "sequence.last", "line 6, column 17", "many", "whole number"),
    "last: 0": (GOOD.replace("20", "0"), 2, "sequence.last", "line 6, column 17", "0 is not", "1 to"),
    "no duration": (GOOD.replace("90d", "90"), 2, "sequence.within", "line 6, column 29", "90", "90d"),
    "written twice": (GOOD + "entity: customer\n", 2, "sequence.twice", "line 9, column 1", "entity", "line 2"),
    "missing key": (GOOD.replace("time: at\n", ""), 2, "sequence.missing", "", "time", "time:"),
    "not YAML": (GOOD.replace("{last: 5}", "{last: 5"), 2, "sequence.yaml", "line 8, column 6", "YAML", "mend"),
    "unknown column": (GOOD.replace("time: at", "time: att"), 2, "sequence.column", "line 3, column 7", "att", "at"),
    "unknown entity": (
        GOOD.replace("entity: customer", "entity: custmer"),
        2,
        "sequence.column",
        "line 2, column 9",
        "custmer",
        "customer",
    ),
    "unknown column of the examples": (
        GOOD.replace("time: ts", "time: tss"),
        2,
        "sequence.column",
        "line 8, column 15",
        "tss",
        "ts",
    ),
    "a time that is none": (
        GOOD.replace("time: at", "time: amount"),
        2,
        "sequence.time",
        "line 3, column 7",
        "double",
        "timestamp",
    ),
    "a time without a zone": (
        GOOD.replace("time: at", "time: local"),
        2,
        "sequence.time",
        "line 3, column 7",
        "without a zone",
        "timezone:",
    ),
    "times of two kinds": (
        GOOD + "arrival: local\n",
        2,
        "sequence.time",
        "line 9, column 10",
        "local",
        "timezone:",
    ),
    "an arrival before the event": (GOOD + "arrival: early\n", 4, "sequence.early", "", "before", "clip"),
    "two overrides of one thing": (
        GOOD + "variants:\n  a: {events.buy: drop, events.buy.last: 3}\n",
        2,
        "sequence.variant",
        "line 10, column 25",
        "overlap",
        "one of the two",
    ),
    "two variants that are one": (
        GOOD + VARIANTS + "  b: {events.buy.last: 3}\n",
        2,
        "sequence.variant",
        "line 11, column 3",
        "same as variant a",
        "away",
    ),
    "a variant of the index": (
        GOOD + "variants:\n  a: {entity: kind}\n",
        2,
        "sequence.variant",
        "line 10, column 7",
        "entity",
        "definition of its own",
    ),
    "a condition that is none": (
        GOOD.replace("{last: 5}", '{last: 5, where: "amount + 1"}'),
        2,
        "sequence.where_boolean",
        "line 7, column 25",
        "DOUBLE",
        "amount > 0",
    ),
    "a condition that is not SQL": (
        GOOD.replace("{last: 5}", '{last: 5, where: "amount >"}'),
        2,
        "sequence.where",
        "line 7, column 33",
        "SQL",
        "condition",
    ),
    "a condition on no column": (
        GOOD.replace("{last: 5}", '{last: 5, where: "amout > 1"}'),
        2,
        "sequence.column",
        "line 7, column 25",
        "amout",
        "amount",
    ),
    "an unknown function": (
        GOOD + "features: {amount: vocabb}\n",
        2,
        "sequence.feature",
        "line 9, column 20",
        "vocabb",
        "vocab",
    ),
    "an unknown table": (
        GOOD.replace("shop.events", "shop.evnts"),
        2,
        "table.unknown",
        "line 1, column 9",
        "shop.evnts",
        "shop.events",
    ),
    "files that are not there": (
        GOOD.replace("shop.events", "data/none.parquet"),
        2,
        "source.missing",
        "line 1, column 9",
        "none.parquet",
        "path",
    ),
    "no DataFrame on the command line": (
        GOOD.replace("shop.events", "frame"),
        2,
        "source.frame",
        "line 1, column 9",
        "frame",
        "namespace.table",
    ),
}


@pytest.fixture(scope="module")
def clicks(shop: Product) -> Product:
    """`shop.events` as Parquet files with a kind, a local time, an early arrival and null customers."""
    lake = Lake(shop.home)
    rows = lake.table("shop.events").scan().to_arrow()
    lake.catalog.drop_table("shop.events")
    at = rows["at"].cast(pa.timestamp("us", tz="UTC"))
    kinds = pa.array(["buy" if n % 4 == 0 else "click" for n in range(len(rows))])
    customers = pa.array([None if n % 50 == 0 else n % 9 for n in range(len(rows))], pa.int64())
    early = pa.array([each - dt.timedelta(hours=1) for each in at.to_pylist()], pa.timestamp("us", tz="UTC"))
    columns = {
        "customer": customers,
        "kind": kinds,
        "at": at,
        "amount": rows["amount"],
        "local": at.cast(pa.timestamp("us")),
        "early": early,
    }
    lake.make("shop.events", pa.table(columns), partitioned=False)
    lake.close()
    return shop


def words(product: Product, text: str, *more: str) -> list[str]:
    file = product.folder / "bad.yaml"
    file.write_text(text)
    return ["sequence", "preview", "bad", "--file", str(file), "--on", "shop.orders", *more]


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_definition_has_no_effect(clicks: Product, case: str) -> None:
    """The error names value, place and mend, and no run, event, table or file is left."""
    text, exit_code, code, place, word, mend = CASES[case]
    before = clicks.picture()
    ran = clicks.run(*words(clicks, text), code=exit_code)
    message = refused(ran, code)
    assert word in message
    assert not place or f"bad.yaml, {place}" in message
    assert mend in ran.err.splitlines()[1]
    assert before == clicks.picture()


def test_a_build_is_refused_like_a_preview(clicks: Product) -> None:
    """The service refuses a definition with the same words, and queues nothing."""
    file = clicks.folder / "bad.yaml"
    file.write_text(GOOD.replace("time: at", "time: att"))
    clicks.run("status")
    before = clicks.picture()
    message = refused(clicks.run("sequence", "build", "bad", "--file", str(file), code=2), "sequence.column")
    assert "'att'" in message
    assert "bad.yaml, line 3, column 7" in message
    refused(clicks.run("sequence", "build", "never", code=2), "sequence.unknown")
    refused(clicks.run("sequence", "build", "bad", "--file", str(file), "--engine", "sprak", code=2), "usage.")
    assert before == clicks.picture()


@pytest.mark.parametrize(
    ("line", "code", "word"),
    [
        ("sequence show histors", "sequence.unknown", "histors"),
        ("sequence diff histors", "sequence.unknown", "histors"),
        ("sequence preview histors --on shop.orders", "sequence.unknown", "histors"),
        ("sequence correct histors", "sequence.unknown", "histors"),
        ("sequence export histors --to shop.out", "sequence.unknown", "histors"),
        ("sequence preview", "usage.name", "name"),
        ("sequence preview --file no/such.yaml --on shop.orders", "sequence.file", "no/such.yaml"),
        ("sequence previw x", "command.unknown", "previw"),
    ],
)
def test_what_is_not_there_is_said(clicks: Product, line: str, code: str, word: str) -> None:
    """A name, a file or a verb that is not there."""
    before = clicks.picture()
    ran = clicks.run(*line.split(), code=2)
    assert word in refused(ran, code)
    assert before == clicks.picture()


def test_what_is_only_odd_is_shown_and_said(clicks: Product) -> None:
    """Null entities are left out and counted; a type that never occurs is a warning with the nearest name."""
    ran = clicks.run(*words(clicks, GOOD.replace("buy:", "buyy:"), "--preview", "2"))
    assert "customer is null" in ran.out
    assert "196" in ran.out
    assert "no event is of type 'buyy'" in ran.out
    assert "'buy'" in ran.out


def test_a_changed_definition_is_another_under_its_name(clicks: Product) -> None:
    """The old version stays, with its index; a build of the name means the new one."""
    file = clicks.folder / "grown.yaml"
    file.write_text(GOOD)
    clicks.run("sequence", "build", "--file", str(file))
    old = clicks.json("sequence", "show", "grown@1")
    file.write_text(GOOD.replace("last: 5", 'last: 6, where: "amount > 1"'))
    assert "grown@2 built" in clicks.run("sequence", "build", "--file", str(file)).out
    assert old["index"] == clicks.json("sequence", "show", "grown@1")["index"]
    assert "events.buy.last" in clicks.run("sequence", "diff", "grown", "grown@1").out


def test_a_file_that_is_a_source_is_read_where_it_lies(clicks: Product) -> None:
    """A relative path means the folder of whoever declares it, also for the worker."""
    with clicks.platform() as platform:
        rows = platform.catalog.load_table("shop.events").scan().to_arrow()
    pq.write_table(rows, clicks.folder / "events.parquet")
    file = clicks.folder / "filed.yaml"
    file.write_text(GOOD.replace("shop.events", "events.parquet"))
    assert "filed@1 built 196 events" in clicks.run("sequence", "build", "--file", "filed.yaml").out
