"""Bad input through the command line against the real service: a clear error, its exit code, and no effect."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pyarrow as pa
import pytest

from nbplat.adapters.store import open_store
from nbplat.clock import SystemClock
from nbplat.job import JobDraft
from tests.fixtures.lakehouse import ORDERS, Lake
from tests.fixtures.product import Product, Ran
from tests.fixtures.service import processes_of

pytestmark = pytest.mark.process

GOOD = "SELECT id, x * 2 AS x2 FROM base"

# words -> what mends it, of errors that the service and the command itself make
MENDS = {
    "session logs": "start one: nbplat session start NAME",
    "session logs etl": "or start it: nbplat session start etl",
    "backfill show nix": "start one with nbplat backfill run",
    "sequence build nix": "no sequence is kept yet: run nbplat sequence preview",
    "training show nix": "train one with nbplat training run",
}

# case -> (table, key, SQL, further words, exit code, error code, a word of the message)
CASES = {
    "unknown table": ("shop.ordres", "id", GOOD, "", 2, "table.unknown", "shop.ordres"),
    "unknown key column": (ORDERS, "idd", GOOD, "", 2, "key.unknown", "'idd'"),
    "another statement": (ORDERS, "id", "DELETE FROM base", "", 2, "body.not_select", "DELETE"),
    "two statements": (ORDERS, "id", f"{GOOD}; {GOOD}", "", 2, "body.not_select", "2"),
    "no SQL": (ORDERS, "id", "SELEC id FRM base", "", 2, "body.syntax", "SQL"),
    "empty body": (ORDERS, "id", " ", "", 2, "usage.body", "body"),
    "keys not returned": (ORDERS, "id", "SELECT x * 2 AS x2 FROM base", "", 2, "body.keys", "id"),
    "duplicate keys": (
        ORDERS,
        "customer",
        "SELECT customer, x * 2 AS x2 FROM base",
        "",
        4,
        "key.duplicate",
        "customer=",
    ),
    "window outside": (ORDERS, "id", GOOD, "--from 2019-01-01 --to 2019-02-01", 2, "window.outside", "2019-01-01"),
    "window the wrong way": (ORDERS, "id", GOOD, "--from 2024-03-01 --to 2024-02-01", 2, "window.", "2024-03-01"),
    "column exists": (ORDERS, "id", "SELECT id, 1 AS Tag FROM base", "", 2, "column.exists", "'tag'"),
    "unknown column": (ORDERS, "id", "SELECT id, y * 2 AS x2 FROM base", "", 2, "body.column", "y"),
    "function outside": (ORDERS, "id", "SELECT id, soundex(tag) AS x2 FROM base", "", 2, "sql.function", "soundex"),
    "unknown source": (ORDERS, "id", "SELECT base.id, e.a AS x2 FROM base, shop.nix e", "", 2, "table.unknown", "nix"),
    "new names of one spelling": (ORDERS, "id", "SELECT id, 1 AS f, 2 AS F FROM base", "", 2, "body.columns", "F"),
    "fewer rows": (ORDERS, "id", f"{GOOD} WHERE x > 3", "", 4, "body.missing_keys", "id="),
    "doubled rows": (
        ORDERS,
        "id",
        "SELECT b.id, e.amount AS a FROM base b JOIN shop.events e ON e.customer = b.customer",
        "",
        4,
        "body.duplicate_keys",
        "id=",
    ),
    "a random value": (ORDERS, "id", "SELECT id, rand() AS f FROM base", "", 2, "sql.nondeterministic", "rand"),
    "an unknown rule": (ORDERS, "id", GOOD, "--check nuls=warn", 2, "audit.rule", "'nuls'"),
    "a threshold that is none": (ORDERS, "id", GOOD, "--check nulls.max_share=9", 2, "audit.value", "9"),
    "a check without a value": (ORDERS, "id", GOOD, "--check nulls", 2, "usage.arguments", "RULE[.THRESHOLD]=VALUE"),
    "a map": (ORDERS, "id", GOOD, "--type x2=map<string,int>", 2, "type.unsupported", "map<string, int>"),
    "a variant": (ORDERS, "id", GOOD, "--type x2=variant", 2, "type.unsupported", "variant"),
    "no type": (ORDERS, "id", GOOD, "--type x2=doubble", 2, "type.unknown", "doubble"),
    "a type for no column": (ORDERS, "id", GOOD, "--type x3=double", 2, "type.column", "x3"),
    "unknown time of a row": (ORDERS, "id", GOOD, "--as-of tss", 2, "asof.column", "'tss'"),
    "a time of a row that is none": (ORDERS, "id", GOOD, "--as-of x", 2, "asof.column", "double"),
    "a source that is not read": (
        ORDERS,
        "id",
        GOOD,
        "--as-of ts --source shop.events=at",
        2,
        "asof.source",
        "shop.events",
    ),
    "a source without its time": (
        ORDERS,
        "id",
        GOOD,
        "--source shop.events",
        2,
        "usage.arguments",
        "TABLE=TIME_COLUMN",
    ),
    "replacing what is not there": (ORDERS, "id", GOOD, "--replace y", 2, "replace.unknown", "'y'"),
    "replacing by another type": (ORDERS, "id", "SELECT id, 'a' AS x FROM base", "--replace x", 2, "replace.type", "x"),
    "unknown time column": (ORDERS, "id", GOOD, "--from 2024-02-01 --time tss", 2, "window.", "tss"),
    "unknown engine": (ORDERS, "id", GOOD, "--engine sprak", 2, "usage.arguments", "spark"),
}


def refused(ran: Ran, code: str) -> str:
    """The message of a refusal: ``code: message`` and ``fix:`` on standard error, nothing on standard output."""
    lines = ran.err.strip().splitlines()
    first = next(line for line in lines if line.startswith(code))
    assert lines[lines.index(first) + 1].startswith("fix: "), ran.err
    assert len(lines[lines.index(first) + 1]) > len("fix: x")
    assert ("", False) == (ran.out, "Traceback" in ran.err)
    return first


def test_a_shell_is_told_commands(product: Product) -> None:
    """On a state folder where nothing was made yet; HTTP and `--json` have the notebook's words."""
    told = {words: product.run(*words.split(), code=2).err.splitlines()[1] for words in MENDS}
    assert {words: f"fix: {mend}" for words, mend in MENDS.items()} == told
    assert "no run yet: nbplat backfill run NAME " in product.run("status").out
    record = json.loads(product.run("backfill", "show", "nix", "--json", code=2).out)["error"]
    assert "start one with %%backfill" == record["fix"]


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_request_has_no_effect(shop: Product, case: str) -> None:
    """The error names the value and the mend, and no run, event, table or file is left."""
    table, key, sql, more, exit_code, code, word = CASES[case]
    shop.run("status")
    before = shop.picture()
    ran = shop.run(*shop.cell("bad", sql, table, key), *more.split(), code=exit_code)
    assert word in refused(ran, code)
    assert before == shop.picture()


LEAKS = """SELECT base.id, count(e.amount) AS visits FROM base
LEFT JOIN shop.events e ON e.customer = base.customer AND e.at < base.ts + INTERVAL 3 DAYS GROUP BY base.id"""
TIES = "SELECT id, row_number() OVER (PARTITION BY customer ORDER BY month(ts)) AS place FROM base"
UNSTABLE = "def feature(batch):\n    return {'f': [hash(tag) % 1000 for tag in batch['tag'].to_pylist()]}\n"

# case -> (body, further words, the rule that blocks)
REJECTED = {
    "a leak from the future": (LEAKS, "--as-of ts --source shop.events=at", "leak"),
    "ties": (TIES, "", "determinism"),
    "a Python body of its process": (UNSTABLE, "", "determinism"),
    "too many nulls": ("SELECT id, x * 2 AS x2 FROM base", "--check nulls.max_share=0.01", "nulls"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_what_the_audit_finds_is_not_promoted(shop: Product, case: str) -> None:
    """The rule is named with what was seen, the run is rejected and not promoted, and the table is as it was."""
    body, more, rule = REJECTED[case]
    name = "audited_" + case.split()[-1].lower()
    before = shop.picture()["tables"]["shop", "orders"]
    words = shop.cell(name, body, ORDERS, "id")
    if body.startswith("def"):
        file = shop.folder / f"{name}.py"
        file.write_text(body)
        words = [*words[: words.index("--sql")], "--python", str(file)]
    ran = shop.run(*words, *more.split(), code=4)
    assert rule in refused(ran, "audit.rejected")
    findings = shop.json("backfill", "show", name)["run"]["outputs"]["audit"]["findings"]
    assert [rule] == sorted({each["rule"] for each in findings if each["level"] == "block" and not each["passed"]})
    assert "is rejected" in refused(shop.run("backfill", "promote", name, code=2), "backfill.state")
    assert before == shop.picture()["tables"]["shop", "orders"]
    shop.run("backfill", "rollback", name, "--yes")


# words of a command on `one@1` (staged on orders), `other@1` (on events) and `planned` names -> code, word
VERBS = {
    "backfill promote nix": ("run.unknown", "'nix'"),
    "backfill promote one other": ("train.tables", "shop.events"),
    "backfill promote one one": ("train.doubled", "twice"),
    "backfill promote one same": ("train.column", "f"),
    "backfill extend one": ("backfill.state", "awaiting promotion"),
    "backfill diff one other": ("diff.tables", "shop.events"),
    "backfill diff one nix": ("run.unknown", "'nix'"),
    "backfill diff one --column g": ("diff.column", "g"),
    "backfill expire nix": ("run.unknown", "'nix'"),
    "backfill expire --older-than soon": ("usage.arguments", "'soon'"),
    "backfill retry one": ("backfill.state", "nothing of it failed"),
    "backfill pause one": ("backfill.idle", "no job"),
    "backfill cancel one --yes": ("backfill.idle", "no job"),
    "backfill list --state stagged": ("usage.arguments", "staged"),
    "backfill logs nix": ("run.unknown", "'nix'"),
}


@pytest.fixture(scope="module")
def runs(shop: Product) -> Product:
    """Three staged runs."""
    shop.run(*shop.cell("one", "SELECT id, x AS f FROM base", ORDERS, "id"))
    shop.run(*shop.cell("same", "SELECT id, x + 1D AS f FROM base", ORDERS, "id"))
    shop.run(*shop.cell("other", "SELECT at, amount AS f FROM base", "shop.events", "at"))
    return shop


@pytest.mark.parametrize("words", VERBS)
def test_a_verb_that_does_not_fit_has_no_effect(runs: Product, words: str) -> None:
    """What is wrong is named, and no run, event, table or file changes."""
    code, word = VERBS[words]
    before = runs.picture()
    assert word in refused(runs.run(*words.split(), code=2), code)
    assert before == runs.picture()


def test_a_run_with_a_live_job_is_not_expired(runs: Product) -> None:
    """Named, it is refused; unnamed, it is left alone."""
    runs.run(*runs.cell("busy", "SELECT id, x * 9 AS x9 FROM base", ORDERS, "id"))
    with runs.platform() as platform:
        store = platform.store
        job, _ = store.submit(JobDraft("backfill.audit", "busy@1"), kind_of_run="backfill", owner="me")
        store.request_pause(job.id)
        before = runs.picture()
        assert "busy@1" in refused(runs.run("backfill", "expire", "busy", "--yes", code=2), "expire.busy")
        assert before == runs.picture()
        store.request_cancel(job.id)


def test_a_catalog_that_is_gone(product: Product) -> None:
    """With its file gone no request does anything, and says which file; put back, the work goes on."""
    lake = Lake(product.home)
    lake.make_shop()
    lake.close()
    words = product.cell("f", GOOD, ORDERS, "id")
    file = product.home / "warehouse" / "catalog.db"
    before = product.picture()
    aside = file.rename(file.with_name("aside.db"))
    message = refused(product.run(*words, code=3), "catalog.missing")
    assert str(file) in message
    aside.rename(file)
    assert before == product.picture()
    assert "f@1 awaiting_promotion 6/6" in product.run(*words).out
    aside = file.rename(file.with_name("aside.db"))
    refused(product.run("backfill", "promote", "f", code=3), "catalog.missing")
    aside.rename(file)
    assert "f@1 promoted 6/6" in product.run("backfill", "promote", "f").out


def test_a_catalog_that_does_not_answer(product: Product) -> None:
    """A configured catalog that nobody serves is named, with where it is set, and no run is opened."""
    away = {"NBPLAT_CATALOG_NAME": "lake", "PYICEBERG_CATALOG__LAKE__URI": "http://127.0.0.1:9/iceberg"}
    ran = product.run(*product.cell("f", GOOD, ORDERS, "id"), code=5, **away)
    assert "'lake'" in refused(ran, "catalog.unreachable")
    assert [] == product.picture()["runs"]


def test_with_json_the_error_is_a_record(shop: Product) -> None:
    """`--json` prints the error's record as well, so that a script need not read English."""
    ran = shop.run(*shop.cell("bad", GOOD, "shop.ordres", "id"), "--json", code=2)
    record = json.loads(ran.out)["error"]
    assert ("NotFound", "table.unknown") == (record["kind"], record["code"])
    assert "shop.orders" in record["fix"]


def test_a_second_promotion_of_a_column(shop: Product) -> None:
    """Promoting a promoted run again does nothing; promoting another run's column of that name is refused."""
    for name in ("first", "second"):
        shop.run(*shop.cell(name, "SELECT id, x * 3 AS x3 FROM base", ORDERS, "id"))
    shop.run("backfill", "promote", "first")
    before = shop.picture()
    assert "first@1 is promoted already" in shop.run("backfill", "promote", "first").out
    ran = shop.run("backfill", "promote", "second", code=2)
    assert "'x3'" in refused(ran, "column.exists")
    assert before == shop.picture()
    shop.run("backfill", "rollback", "first")


def test_a_base_that_moved(shop: Product) -> None:
    """When rows have other inputs than at the plan, promotion is refused and the table stays as it is."""
    shop.run(*shop.cell("late", "SELECT id, x * 4 AS x4 FROM base", ORDERS, "id"))
    lake = Lake(shop.home)
    fixed = lake.table().scan("id = 3").to_arrow()
    lake.table().overwrite(fixed.set_column(3, "x", pa.array([9.0])), overwrite_filter="id = 3")
    lake.close()
    before = shop.picture()
    ran = shop.run("backfill", "promote", "late", code=2)
    assert "1 rows of shop.orders have another x" in refused(ran, "promotion.base_changed")
    assert before["runs"] == shop.picture()["runs"]
    lake = Lake(shop.home)
    assert ["id", "customer", "ts", "x", "tag"] == list(lake.rows().columns)
    assert [] == [name for name in lake.table().refs() if "late" in name]
    assert 9.0 == lake.rows()["x"][3]
    lake.close()
    shop.run("backfill", "rollback", "late")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full to write to")
def test_a_full_disk(shop: Product) -> None:
    """The kernel's own "no space left" while staging fails the job, not the run: with room the cell goes on."""
    words = shop.cell("full", "SELECT id, x * 5 AS x5 FROM base", ORDERS, "id")
    before = shop.picture()
    folder = shop.home / "warehouse" / "staged" / "full-1"
    folder.mkdir(parents=True)
    for unit in range(9):
        (folder / f"{unit:05d}-1.parquet.partial").symlink_to("/dev/full")
    ran = shop.run(*words, code=3)
    assert "disk is full" in refused(ran, "disk.full")
    assert before["tables"] == shop.picture()["tables"]
    assert "full@1 planned" in shop.run("backfill", "status", "full").out
    for link in folder.glob("*.partial"):
        link.unlink()
    assert "full@1 awaiting_promotion" in shop.run(*words).out


def test_a_port_in_use(product: Product) -> None:
    """A service that cannot have its port says which and by whom it is taken, and nothing runs."""
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        ran = product.run("backfill", "list", code=3, NBPLAT_PORT=str(port))
    assert f"port {port} " in refused(ran, "service.port_taken")
    assert [] == processes_of(product.config)
    assert not (product.home / "store.db").exists()


def test_a_state_folder_of_a_newer_version(product: Product) -> None:
    """A newer ledger is refused by the start, with the mend; it is not touched and nothing runs."""
    store = open_store(product.config, clock=SystemClock())
    with store._db.write() as write:
        write.connection.exec_driver_sql("UPDATE nbplat_schema SET version_num = '9999'")
    store.close()
    ran = product.run("backfill", "list", code=3)
    assert "newer nbplat (revision 9999" in refused(ran, "store.newer")
    assert [] == processes_of(product.config)
