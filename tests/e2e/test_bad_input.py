"""Bad input through the command line against the real service: a clear error, its exit code, and no effect."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from nbplat.adapters.store import open_store
from nbplat.clock import SystemClock
from tests.fixtures.lakehouse import ORDERS, Lake
from tests.fixtures.product import Product, Ran
from tests.fixtures.service import processes_of

pytestmark = pytest.mark.process

GOOD = "SELECT id, x * 2 AS x2 FROM base"

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
}


def refused(ran: Ran, code: str) -> str:
    """The message of a refusal: ``code: message`` and ``fix:`` on standard error, nothing on standard output."""
    lines = ran.err.strip().splitlines()
    first = next(line for line in lines if line.startswith(code))
    assert lines[lines.index(first) + 1].startswith("fix: "), ran.err
    assert len(lines[lines.index(first) + 1]) > len("fix: x")
    assert ("", False) == (ran.out, "Traceback" in ran.err)
    return first


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_request_has_no_effect(shop: Product, case: str) -> None:
    """The error names the value and the mend, and no run, event, table or file is left."""
    table, key, sql, more, exit_code, code, word = CASES[case]
    shop.run("status")
    before = shop.picture()
    ran = shop.run(*shop.cell("bad", sql, table, key), *more.split(), code=exit_code)
    assert word in refused(ran, code)
    assert before == shop.picture()


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
    """When base files were replaced since the plan, promotion is refused and the table stays as it is."""
    shop.run(*shop.cell("late", "SELECT id, x * 4 AS x4 FROM base", ORDERS, "id"))
    lake = Lake(shop.home)
    lake.table().delete("id = 3")
    lake.close()
    before = shop.picture()
    ran = shop.run("backfill", "promote", "late", code=2)
    assert "replaced or removed" in refused(ran, "promotion.base_changed")
    after = shop.picture()
    assert {key: before[key] for key in ("runs", "tables", "files")} == {
        key: after[key] for key in ("runs", "tables", "files")
    }
    shop.run("backfill", "rollback", "late")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full to write to")
def test_a_full_disk(shop: Product) -> None:
    """The kernel's own "no space left" while staging fails the job, not the run: with room the cell goes on."""
    words = shop.cell("full", "SELECT id, x * 5 AS x5 FROM base", ORDERS, "id")
    before = shop.picture()
    folder = shop.home / "warehouse" / "staged" / "full-1"
    folder.mkdir(parents=True)
    for unit in range(6):
        (folder / f"{unit:05d}-1.partial").symlink_to("/dev/full")
    ran = shop.run(*words, code=3)
    assert "disk is full" in refused(ran, "disk.full")
    assert before["tables"] == shop.picture()["tables"]
    assert "full@1 planned" in shop.run("backfill", "status", "full").out
    for link in folder.glob("*.partial"):
        link.unlink()
    assert "full@1 awaiting_promotion 6/6" in shop.run(*words).out


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
