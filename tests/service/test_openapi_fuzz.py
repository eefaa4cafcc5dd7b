"""Odd requests to every route of our own API, made from its own description: no 500, and every error is a record."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nbplat.clock import SystemClock
from nbplat.compose import Platform
from nbplat.config import load_config
from nbplat.errors import from_record
from nbplat.service.app import make_app
from nbplat.service.routes.sessions import router
from nbplat.session.records import SessionDraft
from nbplat.session.sessions import Sessions
from tests.fixtures.asgi import AsgiClient
from tests.fixtures.drivers import drivers_of
from tests.fixtures.openapi_values import calls, operations

pytestmark = pytest.mark.process

HEADERS = {"Authorization": "Bearer token"}
KNOWN = {
    "key": ["1", "fuzzed"],
    "number": ["0"],
    "name": ["fuzzed"],
    "kind": ["backfill", "pyspark", "sql"],
    "engine": ["local", "spark"],
    "profile": ["small"],
    "code": ["1 + 1"],
    "platform": ["linux-64"],
    "table": ["a.b"],
    "sql": ["select k, 1 as x from base"],
    "text": ["name: x\nchannels: [c]\ndependencies: [python]\n"],
    "start": ["2024-01-01"],
    "end": ["2024-02-01"],
}


class Target(NamedTuple):
    app: FastAPI
    sessions: Sessions


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The real platform on a fresh state folder; no worker, so what is queued stays queued."""
    folder = tmp_path_factory.mktemp("fuzz")
    options = {"home": str(folder / "home")}
    platform = Platform(load_config(options, environ={}, cwd=folder, user_file=folder / "none.toml"), SystemClock())
    with tempfile.TemporaryDirectory(prefix="nbs") as sockets, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_RUNTIME_DIR", sockets)
        drivers = drivers_of(folder, Path(sockets))
        sessions = Sessions(platform.session_store, drivers, clock=SystemClock())

        def refuse(_: Any) -> dict[str, Any]:
            from nbplat.errors import SetupError

            raise SetupError("session.interpreter", "nothing starts here", fix="")

        patch.setattr(drivers, "start", refuse)

        def draft(fields: dict[str, Any], owner: str) -> SessionDraft:
            return platform.session_draft(fields, owner, "http://127.0.0.1:1", "t")

        routes = router(sessions, draft, lambda _: None, platform.session_profiles)
        # As one that stops, it holds no answer back: nothing here runs that could change it.
        app = make_app(platform, "token", sessions=routes, stopping=lambda: True)
        added = sessions.store.add_session(SessionDraft("pyspark", "fuzzed", "", "", {}, {}))
        sessions.store.add_statement(added.id, "1", "pyspark")
        yield Target(app, sessions)
        sessions.close()
        platform.close()


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_no_request_breaks_it(target: Target, caplog: pytest.LogCaptureFixture, data: st.DataObject) -> None:
    """Each answer is a success, or an error of ours with what to do next; none is a bug."""
    document = target.app.openapi()
    operation = data.draw(st.sampled_from(operations(document, "/api/v1")))
    call = data.draw(calls(operation, document, KNOWN))
    # The session in its midst stays, so that the routes below it have something to find.
    assume((call.verb, call.url) not in {("delete", "/api/v1/sessions/1"), ("delete", "/api/v1/sessions/fuzzed")})
    client = AsgiClient(target.app, base_url="http://127.0.0.1:1", headers=HEADERS)
    options: dict[str, Any] = {"params": call.query, "headers": call.headers}
    if isinstance(call.body, bytes):
        options["content"] = call.body
    elif call.verb in ("post", "put"):
        options["content"] = json_of(call.body)
        options["headers"] = {**call.headers, "Content-Type": "application/json"}
    caplog.clear()
    with caplog.at_level(logging.ERROR, "nbplat"):
        reply = client.request(call.verb.upper(), call.url, **options)
    assert [] == [record.getMessage() for record in caplog.records]
    assert reply.status_code < 500 or reply.status_code == 502, reply.text
    if reply.status_code >= 400:
        error = reply.json()
        assert {"kind", "code", "message", "fix", "where", "detail_id"} == set(error)
        assert from_record(error).code == error["code"]
        assert error["fix"]


def json_of(value: Any) -> bytes:
    """JSON as clients write it, lone surrogates and all."""
    import json

    return json.dumps(value).encode()


def test_every_route_is_described(target: Target) -> None:
    """What is not in the description is not fuzzed: nothing of ``/api/v1`` is left out of it."""
    described = {operation.path for operation in operations(target.app.openapi(), "/api/v1")}
    assert len(described) > 50
    assert "/api/v1/sessions/{key}/statements/{number}/stream" in described
