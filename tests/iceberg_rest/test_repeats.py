"""Requests sent again under the same key: carried out once, answered alike."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.fixtures.iceberg_rest import ServedCatalog

SCHEMA = {"type": "struct", "schema-id": 0, "fields": [{"id": 1, "name": "id", "required": False, "type": "long"}]}


@pytest.fixture
def http(served_catalog: ServedCatalog) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {served_catalog.scoped_token}"}
    with httpx.Client(base_url=f"{served_catalog.url}/iceberg/v1", headers=headers) as client:
        client.post("/namespaces", json={"namespace": ["ml"]})
        yield client


def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


def made(http: httpx.Client, name: str, **headers: Any) -> httpx.Response:
    return http.post("/namespaces/ml/tables", json={"name": name, "schema": SCHEMA}, **headers)


def set_property(http: httpx.Client, value: str, headers: dict[str, str]) -> httpx.Response:
    updates = [{"action": "set-properties", "updates": {"turn": value}}]
    return http.post("/namespaces/ml/tables/t", json={"requirements": [], "updates": updates}, headers=headers)


def history(http: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get("/namespaces/ml/tables/t").json()["metadata"]["metadata-log"]
    return found


def test_clients_are_told_that_they_may_repeat(http: httpx.Client) -> None:
    """`/v1/config` names how long a key is good for, which makes Iceberg's client send keys and repeat."""
    assert "PT1H" == http.get("/config").json()["idempotency-key-lifetime"]


def test_a_repeated_commit_is_made_once(http: httpx.Client) -> None:
    """The second answer is the first one's, also when the table has moved on since."""
    made(http, "t")
    same = key()
    first = set_property(http, "one", same)
    set_property(http, "two", key())
    again = set_property(http, "one", same)
    assert (200, first.json()) == (again.status_code, again.json())
    assert "two" == http.get("/namespaces/ml/tables/t").json()["metadata"]["properties"]["turn"]
    assert 2 == len(history(http))


def test_a_commit_without_a_key_is_made_each_time(http: httpx.Client) -> None:
    """Nothing is remembered of a request that does not name itself."""
    made(http, "t")
    for value in ("one", "two", "one"):
        assert 200 == set_property(http, value, {}).status_code
    assert 3 == len(history(http))


def test_repeated_creation_drop_and_rename_answer_as_the_first(http: httpx.Client) -> None:
    """What would be a conflict or not found for another request is the first one's answer here."""
    same = key()
    assert made(http, "t", headers=same).json() == made(http, "t", headers=same).json()
    assert 409 == made(http, "t", headers=key()).status_code
    renamed = {"source": {"namespace": ["ml"], "name": "t"}, "destination": {"namespace": ["ml"], "name": "u"}}
    same = key()
    assert [204, 204] == [http.post("/tables/rename", json=renamed, headers=same).status_code for _ in range(2)]
    same = key()
    assert [204, 204] == [http.delete("/namespaces/ml/tables/u", headers=same).status_code for _ in range(2)]
    assert 404 == http.delete("/namespaces/ml/tables/u", headers=key()).status_code
    same = key()
    replies = [http.post("/namespaces", json={"namespace": ["other"]}, headers=same) for _ in range(2)]
    assert [200, 200] == [reply.status_code for reply in replies]


def test_a_refused_request_may_be_mended_under_its_key(http: httpx.Client) -> None:
    """A request that did nothing is not remembered."""
    same = key()
    assert 404 == set_property(http, "one", same).status_code
    made(http, "t")
    assert 200 == set_property(http, "one", same).status_code


def test_equal_requests_at_once_are_carried_out_once(http: httpx.Client) -> None:
    """Of many equal requests at the same moment one is made, and all get its answer."""
    made(http, "t")
    same = key()
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda _: set_property(http, "one", same), range(6)))
    assert [200] * 6 == [reply.status_code for reply in replies]
    assert 1 == len({reply.json()["metadata-location"] for reply in replies})
    assert 1 == len(history(http))


def test_what_was_done_survives_a_restart(served_catalog: ServedCatalog, http: httpx.Client) -> None:
    """The note is in the catalog's database: another service answers the repeated request."""
    from nbplat.service.iceberg_rest.repeats import Repeats

    made(http, "t")
    same = key()
    location = set_property(http, "one", same).json()["metadata-location"]
    found = Repeats(served_catalog.embedded().engine).find(same["Idempotency-Key"])
    assert found is not None
    assert location == found.location
