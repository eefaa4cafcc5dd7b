"""Livy's guards: the header against forged requests, and whose a session is."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from nbplat.service.livy import make_livy
from tests.fixtures.asgi import AsgiClient
from tests.fixtures.livy_app import LivyApp, batch_draft, session_draft

pytestmark = pytest.mark.process


def test_with_csrf_on_a_change_needs_the_header(livy_app: LivyApp) -> None:
    """Reading needs none, and without the setting nothing does."""
    app = make_livy(livy_app.sessions, session_draft, livy_app.batches, batch_draft, csrf=True)
    guarded = AsgiClient(app, base_url="http://livy.test")
    assert 200 == guarded.get("/sessions").status_code
    for reply in (guarded.post("/sessions", json={}), guarded.delete("/sessions/1")):
        assert (400, {"msg": "Missing Required Header for CSRF protection."}) == (reply.status_code, reply.json())
    assert 404 == guarded.delete("/sessions/999", headers={"X-Requested-By": "ann"}).status_code


def test_the_owner_is_the_basic_user_and_nobody_is_impersonated(http: AsgiClient) -> None:
    """`proxyUser` and `doAs` are not heard; a bearer token names nobody."""
    basic = "Basic " + base64.b64encode("änn:tok:en".encode()).decode()
    for sent, owner in ((basic, "änn"), ("Bearer token", None), ("Basic ???", None)):
        reply = http.post("/sessions?doAs=eve", json={"proxyUser": "eve"}, headers={"Authorization": sent})
        assert (201, owner, None) == (reply.status_code, reply.json()["owner"], reply.json()["proxyUser"])
        http.delete(f"/sessions/{reply.json()['id']}")


def test_the_root_leads_to_the_documentation(http: AsgiClient) -> None:
    """Clients that look at `/` are sent on."""
    reply = http.get("/")
    assert (302, "/docs") == (reply.status_code, reply.headers["location"])


def test_each_deviation_names_a_test_that_is_there() -> None:
    """The page of deviations points at tests by file and name."""
    root = Path(__file__).parents[2]
    text = (root / "docs" / "livy-deviations.md").read_text()
    named: list[tuple[str, str]] = []
    for cell in re.findall(r"`((?:test_\w+\.py)?(?:::test_\w+)?)`", text):
        if cell:
            file, _, name = cell.partition("::")
            named.append((file or named[-1][0], name))
    assert len(named) > 30
    for file, name in named:
        found = next(iter(root.glob(f"tests/*/{file}")))
        assert not name or f"def {name}(" in found.read_text()
