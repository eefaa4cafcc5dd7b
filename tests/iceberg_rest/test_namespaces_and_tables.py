"""The REST catalog through pyiceberg's own client, against the same catalog opened directly."""

from __future__ import annotations

import httpx
import pyarrow as pa
import pytest
from pyiceberg.exceptions import (
    BadRequestError,
    ForbiddenError,
    NamespaceAlreadyExistsError,
    NamespaceNotEmptyError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, DayTransform
from pyiceberg.types import DoubleType, LongType, NestedField, TimestamptzType

from nbplat.adapters.iceberg.catalog import embedded_warehouse
from tests.fixtures.iceberg_rest import ServedCatalog

SCHEMA = Schema(
    NestedField(1, "id", LongType(), required=False),
    NestedField(2, "at", TimestamptzType(), required=False),
    NestedField(3, "amount", DoubleType(), required=False),
)
BUCKETED = PartitionSpec(
    PartitionField(2, 1000, DayTransform(), "at_day"), PartitionField(1, 1001, BucketTransform(4), "id_bucket")
)


def rows(*ids: int) -> pa.Table:
    at = pa.array([1_300_000_000_000_000 + i for i in ids], pa.timestamp("us", "UTC"))
    return pa.table({"id": pa.array(ids, pa.int64()), "at": at, "amount": pa.array([i / 2 for i in ids])})


def test_namespaces_live_with_their_properties(served_catalog: ServedCatalog) -> None:
    """A namespace is created, nested, described, changed and dropped, and the embedded catalog sees the same."""
    client = served_catalog.client()
    client.create_namespace("team", {"owner": "ana"})
    client.create_namespace("team.ml")
    assert [("team",)] == client.list_namespaces()
    assert [("team", "ml")] == client.list_namespaces("team")
    assert {"owner": "ana"} == client.load_namespace_properties("team")
    summary = client.update_namespace_properties("team", {"owner", "absent"}, {"stage": "dev"})
    assert (["stage"], ["owner"], ["absent"]) == (summary.updated, summary.removed, summary.missing)
    assert {"stage": "dev"} == client.load_namespace_properties("team")
    client.update_namespace_properties("team", {"stage"})
    assert client.namespace_exists("team")
    assert served_catalog.embedded().namespace_exists("team.ml")
    with pytest.raises(NamespaceAlreadyExistsError):
        client.create_namespace("team")
    with pytest.raises(NamespaceNotEmptyError):
        client.drop_namespace("team")
    client.drop_namespace("team.ml")
    client.drop_namespace("team")
    with pytest.raises(NoSuchNamespaceError):
        client.load_namespace_properties("team")


def test_a_bucketed_table_is_written_and_read_both_ways(served_catalog: ServedCatalog) -> None:
    """What the client appends to a (day, bucket) table the embedded catalog reads, and the reverse."""
    client, embedded = served_catalog.client(), served_catalog.embedded()
    client.create_namespace("ml")
    table = client.create_table("ml.train", SCHEMA, partition_spec=BUCKETED, properties={"owner": "ana"})
    table.append(rows(1, 2, 3))
    direct = embedded.load_table("ml.train")
    assert BUCKETED == direct.spec()
    assert [1, 2, 3] == sorted(direct.scan().to_arrow()["id"].to_pylist())
    direct.append(rows(4))
    assert [1, 2, 3, 4] == sorted(table.refresh().scan().to_arrow()["id"].to_pylist())
    assert "ana" == table.properties["owner"]
    assert [("ml", "train")] == client.list_tables("ml")
    with pytest.raises(TableAlreadyExistsError):
        client.create_table("ml.train", SCHEMA)
    with pytest.raises(NoSuchTableError):
        client.load_table("ml.absent")
    with pytest.raises(NoSuchNamespaceError):
        client.create_table("absent.train", SCHEMA)


def test_a_table_is_renamed_dropped_and_purged(served_catalog: ServedCatalog) -> None:
    """Rename keeps the rows, also behind the catalog's own name as Spark writes it; purge deletes the files."""
    client = served_catalog.client()
    client.create_namespace("ml")
    client.create_table("ml.a", SCHEMA).append(rows(1, 2))
    client.rename_table("ml.a", "ml.b")
    assert not client.table_exists("ml.a")
    body = {
        "source": {"namespace": ["ml"], "name": "b"},
        "destination": {"namespace": ["nbplat", "ml"], "name": "c"},
    }
    with httpx.Client(headers={"Authorization": f"Bearer {served_catalog.scoped_token}"}) as http:
        assert 204 == http.post(f"{served_catalog.url}/iceberg/v1/tables/rename", json=body).status_code
    assert 2 == len(client.load_table("ml.c").scan().to_arrow())
    client.create_table("ml.other", SCHEMA)
    with pytest.raises(TableAlreadyExistsError):
        client.rename_table("ml.c", "ml.other")
    client.drop_table("ml.other")
    with pytest.raises(NoSuchTableError):
        client.load_table("ml.other")
    files = embedded_warehouse(served_catalog.config) / "ml" / "a"
    assert any(files.rglob("*.parquet"))
    client.purge_table("ml.c")
    assert [] == [path for path in files.rglob("*") if path.is_file()]


def test_register_takes_in_only_what_lies_in_the_warehouse(served_catalog: ServedCatalog) -> None:
    """A dropped table comes back by its metadata file; a file elsewhere is refused unread, a URL too."""
    client = served_catalog.client()
    client.create_namespace("ml")
    table = client.create_table("ml.a", SCHEMA)
    table.append(rows(1))
    client.drop_table("ml.a")
    back = client.register_table("ml.again", table.metadata_location)
    assert 1 == len(back.scan().to_arrow())
    with pytest.raises(TableAlreadyExistsError):
        client.register_table("ml.again", table.metadata_location)
    outside = served_catalog.config.home / "outside.metadata.json"
    outside.write_text("{}")
    slipped = embedded_warehouse(served_catalog.config) / ".." / outside.name
    for location in (outside.as_uri(), str(slipped), "https://127.0.0.1:1/x.metadata.json", "s3://bucket/x"):
        with pytest.raises(ForbiddenError, match="outside the warehouse"):
            client.register_table("ml.foreign", location)
    inside = embedded_warehouse(served_catalog.config) / "broken.metadata.json"
    inside.write_text("{}")
    with pytest.raises(BadRequestError, match="is not the metadata"):
        client.register_table("ml.broken", inside.as_uri())
    assert [("ml", "again")] == client.list_tables("ml")


def test_locations_outside_the_warehouse_are_refused(served_catalog: ServedCatalog) -> None:
    """Create, set-location and path properties cannot send a table's files out of the warehouse."""
    client = served_catalog.client()
    client.create_namespace("ml")
    for location in ("file:///tmp/elsewhere", "s3://bucket/ml", f"{served_catalog.config.home}/warehouse/../x"):
        with pytest.raises(ForbiddenError):
            client.create_table("ml.a", SCHEMA, location=location)
    with pytest.raises(ForbiddenError):
        client.create_table("ml.a", SCHEMA, properties={"write.metadata.path": "s3://bucket/meta"})
    with pytest.raises(ForbiddenError):
        client.create_namespace("out", {"location": "file:///tmp/elsewhere"})
    table = client.create_table("ml.a", SCHEMA, location=f"{embedded_warehouse(served_catalog.config)}/picked/a")
    with pytest.raises(ForbiddenError), table.transaction() as change:
        change.set_properties({"write.data.path": "file:///tmp/elsewhere"})
    body = {"requirements": [], "updates": [{"action": "set-location", "location": "file:///tmp/elsewhere"}]}
    with httpx.Client(headers={"Authorization": f"Bearer {served_catalog.scoped_token}"}) as http:
        reply = http.post(f"{served_catalog.url}/iceberg/v1/namespaces/ml/tables/a", json=body)
    assert (403, "ForbiddenException") == (reply.status_code, reply.json()["error"]["type"])
    assert table.metadata_location == client.load_table("ml.a").metadata_location


def test_names_cannot_leave_the_warehouse(served_catalog: ServedCatalog) -> None:
    """A name with dots or slashes is a bad request, not a folder."""
    with httpx.Client(headers={"Authorization": f"Bearer {served_catalog.scoped_token}"}) as http:
        base = f"{served_catalog.url}/iceberg/v1/namespaces"
        for name in ("..", "a/b", "a.b", "", " "):
            reply = http.post(base, json={"namespace": [name]})
            assert (400, "BadRequestException") == (reply.status_code, reply.json()["error"]["type"])
