"""Commits of the REST catalog: conflicts, transactions, staged creation, concurrent writers, a locked database."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError
from pyiceberg.schema import Schema
from pyiceberg.table.update import AssertRefSnapshotId, AssertTableUUID, SetPropertiesUpdate
from pyiceberg.types import LongType, NestedField
from sqlalchemy import Engine, event

from nbplat.adapters.iceberg.catalog import embedded_warehouse
from tests.fixtures.iceberg_rest import ServedCatalog

SCHEMA = Schema(NestedField(1, "id", LongType(), required=False))
RETRIES = {"commit.retry.num-retries": "20", "commit.retry.min-wait-ms": "10", "commit.retry.max-wait-ms": "200"}


def rows(*ids: int) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.int64())})


def ids_of(served: ServedCatalog, table: str) -> list[int]:
    return sorted(served.embedded().load_table(table).scan().to_arrow()["id"].to_pylist())


@pytest.fixture
def http(served_catalog: ServedCatalog) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {served_catalog.scoped_token}"}
    with httpx.Client(base_url=f"{served_catalog.url}/iceberg/v1", headers=headers) as client:
        client.post("/namespaces", json={"namespace": ["ml"]})
        yield client


@pytest.fixture
def impatient_sqlite() -> Iterator[None]:
    def hurry(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("pragma busy_timeout = 50")

    # At check-out, so that pooled connections are reached too.
    event.listen(Engine, "checkout", hurry)
    yield
    event.remove(Engine, "checkout", hurry)


def test_a_stale_commit_fails_and_changes_nothing(served_catalog: ServedCatalog, http: httpx.Client) -> None:
    """A commit that asserts an old snapshot is 409 CommitFailed; the table stays where the winner put it."""
    client = served_catalog.client()
    table = client.create_table("ml.a", SCHEMA)
    table.append(rows(1))
    old = table.metadata.current_snapshot_id
    table.append(rows(2))
    assertions = (AssertTableUUID(uuid=table.metadata.table_uuid), AssertRefSnapshotId(ref="main", snapshot_id=old))
    with pytest.raises(CommitFailedException):
        client.commit_table(table, assertions, (SetPropertiesUpdate(updates={"x": "1"}),))
    assert [1, 2] == ids_of(served_catalog, "ml.a")
    assert "x" not in client.load_table("ml.a").properties


def test_a_transaction_is_all_or_nothing(served_catalog: ServedCatalog, http: httpx.Client) -> None:
    """Two tables change together; when one assertion fails neither does and no metadata file is left behind."""
    client = served_catalog.client()
    tables = [client.create_table(f"ml.{name}", SCHEMA) for name in "ab"]

    def changes(value: str, second_uuid: str) -> dict[str, Any]:
        uuids = [str(tables[0].metadata.table_uuid), second_uuid]
        return {
            "table-changes": [
                {
                    "identifier": {"namespace": ["ml"], "name": name},
                    "requirements": [{"type": "assert-table-uuid", "uuid": uuid}],
                    "updates": [{"action": "set-properties", "updates": {"v": value}}],
                }
                for name, uuid in zip("ab", uuids, strict=True)
            ]
        }

    assert 204 == http.post("/transactions/commit", json=changes("1", str(tables[1].metadata.table_uuid))).status_code
    assert ["1", "1"] == [client.load_table(f"ml.{name}").properties["v"] for name in "ab"]
    files = sorted(embedded_warehouse(served_catalog.config).rglob("*.metadata.json"))
    reply = http.post("/transactions/commit", json=changes("2", "00000000-0000-0000-0000-000000000000"))
    assert (409, "CommitFailedException") == (reply.status_code, reply.json()["error"]["type"])
    assert ["1", "1"] == [client.load_table(f"ml.{name}").properties["v"] for name in "ab"]
    assert files == sorted(embedded_warehouse(served_catalog.config).rglob("*.metadata.json"))


def test_a_staged_table_appears_with_its_first_commit(served_catalog: ServedCatalog, http: httpx.Client) -> None:
    """A create transaction leaves nothing until it commits with its rows; a second one for the name is refused."""
    client = served_catalog.client()
    first = client.create_table_transaction("ml.a", SCHEMA, properties={"k": "v"})
    second = client.create_table_transaction("ml.a", SCHEMA)
    assert [] == client.list_tables("ml")
    assert [] == list(embedded_warehouse(served_catalog.config).rglob("*.metadata.json"))
    first.append(rows(1, 2))
    first.commit_transaction()
    assert [1, 2] == ids_of(served_catalog, "ml.a")
    second.append(rows(3))
    with pytest.raises((CommitFailedException, TableAlreadyExistsError)):
        second.commit_transaction()
    assert [1, 2] == ids_of(served_catalog, "ml.a")


def test_a_table_that_the_client_has_is_304(served_catalog: ServedCatalog, http: httpx.Client) -> None:
    """A load carries an ETag; sent back it is 304 without a body until the table changes."""
    table = served_catalog.client().create_table("ml.a", SCHEMA)
    reply = http.get("/namespaces/ml/tables/a")
    etag = reply.headers["etag"]
    again = http.get("/namespaces/ml/tables/a", headers={"If-None-Match": etag})
    assert (304, b"") == (again.status_code, again.content)
    table.append(rows(1))
    changed = http.get("/namespaces/ml/tables/a", headers={"If-None-Match": etag})
    assert 200 == changed.status_code
    assert etag != changed.headers["etag"]
    assert table.metadata_location == changed.json()["metadata-location"]


def test_concurrent_writers_lose_nothing(served_catalog: ServedCatalog, http: httpx.Client) -> None:
    """Two REST writers and a process on the embedded catalog append 8 times each; every row is there once."""
    client = served_catalog.client()
    client.create_table("ml.a", SCHEMA, properties=RETRIES)
    failures: list[BaseException] = []

    def append(start: int) -> None:
        try:
            table = served_catalog.client().load_table("ml.a")
            for i in range(8):
                table.append(rows(start + i))
        except BaseException as exc:  # noqa: BLE001 - a thread's failure must fail the test
            failures.append(exc)

    script = (
        "import sys, pyarrow as pa; from pathlib import Path; from nbplat.config import load_config\n"
        "from nbplat.adapters.iceberg.catalog import open_catalog\n"
        "home = Path(sys.argv[1])\n"
        "config = load_config({'home': str(home)}, environ={}, cwd=home, user_file=home / 'none')\n"
        "table = open_catalog(config).load_table('ml.a')\n"
        "for i in range(8): table.append(pa.table({'id': pa.array([200 + i], pa.int64())}))\n"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(served_catalog.config.home)])
    threads = [threading.Thread(target=append, args=(start,)) for start in (0, 100)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert 0 == other.wait(120)
    finally:
        other.kill()
    assert [] == failures
    assert sorted([*range(8), *range(100, 108), *range(200, 208)]) == ids_of(served_catalog, "ml.a")


def test_a_locked_database_is_a_conflict_that_clients_retry(
    served_catalog: ServedCatalog, http: httpx.Client, impatient_sqlite: None
) -> None:
    """While another process holds the write lock a commit is 409, never 500: the client knows it did not happen."""
    client = served_catalog.client()
    table = client.create_table("ml.a", SCHEMA)
    body = {"requirements": [], "updates": [{"action": "set-properties", "updates": {"v": "1"}}]}
    with closing(sqlite3.connect(embedded_warehouse(served_catalog.config) / "catalog.db")) as holder:
        holder.execute("begin immediate")
        reply = http.post("/namespaces/ml/tables/a", json=body)
        assert (409, "CommitFailedException") == (reply.status_code, reply.json()["error"]["type"])
        assert 200 == http.get("/namespaces/ml/tables/a").status_code
        holder.execute("rollback")
    assert 200 == http.post("/namespaces/ml/tables/a", json=body).status_code
    assert "1" == table.refresh().properties["v"]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/namespaces", b"not json", 400),
        ("/namespaces", b"[]", 400),
        ("/namespaces", b"{}", 400),
        ("/namespaces/ml/tables", b'{"name": "x"}', 400),
        ("/namespaces/ml/tables", b'{"name": "x", "schema": {"type": "struct", "fields": [{"id": 1}]}}', 400),
        ("/namespaces/ml/tables/a", b'{"updates": [{"action": "unheard-of"}]}', 400),
        ("/namespaces/ml/tables/a", b'{"updates": [{"action": "set-current-schema", "schema-id": 99}]}', 400),
        ("/namespaces/ml/tables/absent", b'{"updates": []}', 404),
        ("/namespaces/ml/register", b'{"name": "x"}', 400),
        ("/tables/rename", b'{"source": {}}', 400),
        ("/transactions/commit", b'{"table-changes": 7}', 400),
        ("/namespaces/ml/views", b'{"name": "v"}', 400),
        ("/oauth/tokens", b"{}", 404),
    ],
)
def test_bad_bodies_are_refused_in_iceberg_shape(
    served_catalog: ServedCatalog, http: httpx.Client, path: str, body: bytes, expected: int
) -> None:
    """A malformed request is told what is wrong in Iceberg's error model, and the connection stays usable."""
    served_catalog.client().create_table("ml.a", SCHEMA)
    reply = http.post(path, content=body)
    error = reply.json()["error"]
    assert (expected, expected, {"message", "type", "code"}) == (reply.status_code, error["code"], set(error))
    assert 200 == http.get("/namespaces/ml").status_code


def test_an_unexpected_failure_shows_no_internal_text(
    served_catalog: ServedCatalog, http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken metadata file is a 500 with an id; the reason is in the log under that id."""
    table = served_catalog.client().create_table("ml.a", SCHEMA)
    Path(urlsplit(table.metadata_location).path).write_text('{"secret": "text"}')
    reply = http.post("/namespaces/ml/tables/a", json={"updates": []})
    message = reply.json()["error"]["message"]
    assert 500 == reply.status_code
    assert "secret" not in message
    assert message.rsplit(" ", 1)[-1] in caplog.text


def test_version_3_tables_keep_their_row_ids(served_catalog: ServedCatalog, http: httpx.Client) -> None:
    """A v3 table's metadata is written with next-row-id, which pyiceberg itself leaves out."""
    schema = {"type": "struct", "fields": [{"id": 1, "name": "id", "type": "long", "required": False}]}
    body = {"name": "v3", "schema": schema, "properties": {"format-version": "3"}}
    metadata = http.post("/namespaces/ml/tables", json=body).json()["metadata"]
    assert (3, 0) == (metadata["format-version"], metadata["next-row-id"])
    assert 0 == http.get("/namespaces/ml/tables/v3").json()["metadata"]["next-row-id"]


def test_views_are_made_replaced_renamed_and_dropped(served_catalog: ServedCatalog, http: httpx.Client) -> None:
    """A view has its own life beside the tables, and its name cannot be a table's."""
    served_catalog.client().create_table("ml.a", SCHEMA)
    schema = {"type": "struct", "schema-id": 0, "fields": [{"id": 1, "name": "id", "type": "long", "required": False}]}

    def version(sql: str) -> dict[str, Any]:
        return {
            "version-id": 1,
            "schema-id": 0,
            "timestamp-ms": 1,
            "summary": {},
            "default-namespace": ["ml"],
            "representations": [{"type": "sql", "sql": sql, "dialect": "spark"}],
        }

    body = {"name": "v", "schema": schema, "view-version": version("select 1 id"), "properties": {}}
    made = http.post("/namespaces/ml/views", json=body).json()["metadata"]
    assert 409 == http.post("/namespaces/ml/views", json=body).status_code
    assert 409 == http.post("/namespaces/ml/views", json={**body, "name": "a"}).status_code
    updates = [
        {"action": "add-view-version", "view-version": version("select 2 id")},
        {"action": "set-current-view-version", "view-version-id": -1},
    ]
    wrong = {"requirements": [{"type": "assert-view-uuid", "uuid": "other"}], "updates": updates}
    assert 409 == http.post("/namespaces/ml/views/v", json=wrong).status_code
    right = {"requirements": [{"type": "assert-view-uuid", "uuid": made["view-uuid"]}], "updates": updates}
    assert 2 == http.post("/namespaces/ml/views/v", json=right).json()["metadata"]["current-version-id"]
    ends = {"source": {"namespace": ["ml"], "name": "v"}, "destination": {"namespace": ["ml"], "name": "w"}}
    assert 204 == http.post("/views/rename", json=ends).status_code
    assert [{"namespace": ["ml"], "name": "w"}] == http.get("/namespaces/ml/views").json()["identifiers"]
    assert [("ml", "a")] == served_catalog.embedded().list_tables("ml")
    assert (204, 404) == (
        http.head("/namespaces/ml/views/w").status_code,
        http.head("/namespaces/ml/views/v").status_code,
    )
    assert 204 == http.delete("/namespaces/ml/views/w").status_code
    assert 404 == http.get("/namespaces/ml/views/w").status_code
