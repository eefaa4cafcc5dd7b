"""Who may use `/iceberg`, and that its own token opens nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI
from pyiceberg.exceptions import UnauthorizedError

from nbplat.config import Config
from nbplat.service.routes.iceberg import catalog_token, mount
from tests.fixtures.iceberg_rest import SERVICE_TOKEN, ServedCatalog


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic abc", f"bearer{SERVICE_TOKEN}", "Bearer"])
def test_no_token_or_a_wrong_one_is_401_in_iceberg_shape(served_catalog: ServedCatalog, header: str | None) -> None:
    """Every path, the config too, needs a token; the refusal is Iceberg's error model."""
    headers = {"Authorization": header} if header is not None else {}
    for path in ("/v1/config", "/v1/namespaces", "/elsewhere"):
        reply = httpx.get(f"{served_catalog.url}/iceberg{path}", headers=headers)
        assert (401, "NotAuthorizedException") == (reply.status_code, reply.json()["error"]["type"])


def test_both_tokens_open_the_catalog(served_catalog: ServedCatalog) -> None:
    """The service's token and the scoped one work; the client raises its own error for any other."""
    for token in (SERVICE_TOKEN, served_catalog.scoped_token):
        assert [] == served_catalog.client(token).list_namespaces()
    with pytest.raises(UnauthorizedError):
        served_catalog.client("wrong")


def test_the_scoped_token_opens_nothing_else(served_catalog: ServedCatalog) -> None:
    """Spark's token is refused by the service's own routes, and does not reveal the service's token."""
    guarded = f"{served_catalog.url}/api/v1/guarded"
    assert 200 == httpx.get(guarded, headers={"Authorization": f"Bearer {SERVICE_TOKEN}"}).status_code
    assert 401 == httpx.get(guarded, headers={"Authorization": f"Bearer {served_catalog.scoped_token}"}).status_code
    assert catalog_token(SERVICE_TOKEN) == served_catalog.scoped_token
    assert catalog_token("another") != served_catalog.scoped_token


def test_config_lists_what_is_served_and_a_head_has_no_body(served_catalog: ServedCatalog) -> None:
    """The endpoint list leaves out what we do not do; HEAD answers by status alone."""
    headers = {"Authorization": f"Bearer {served_catalog.scoped_token}"}
    with httpx.Client(base_url=f"{served_catalog.url}/iceberg/v1", headers=headers) as http:
        endpoints = http.get("/config").json()["endpoints"]
        assert "POST /v1/{prefix}/namespaces/{namespace}/tables" in endpoints
        assert not [endpoint for endpoint in endpoints if "metrics" in endpoint or "oauth" in endpoint]
        reply = http.head("/namespaces/absent")
        assert (404, b"") == (reply.status_code, reply.content)
        http.post("/namespaces", json={"namespace": ["ml"]})
        assert 204 == http.head("/namespaces/ml").status_code
        assert 405 == http.put("/namespaces/ml").status_code


def test_it_is_not_in_our_openapi_page(served_catalog: ServedCatalog) -> None:
    """The protocol's paths are a separate app."""
    paths = httpx.get(f"{served_catalog.url}/openapi.json").json()["paths"]
    assert ["/api/v1/guarded"] == list(paths)


def test_with_another_catalog_configured_there_is_none_to_serve(service_config: Config) -> None:
    """Where catalog.name is set every request is 404 and says why."""
    app = FastAPI()
    mount(app, SimpleNamespace(config=replace(service_config, catalog="prod")), SERVICE_TOKEN)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            return await client.get("/iceberg/v1/config", headers={"Authorization": f"Bearer {SERVICE_TOKEN}"})

    reply = asyncio.run(ask())
    assert 404 == reply.status_code
    assert "catalog.name" in reply.json()["error"]["message"]
