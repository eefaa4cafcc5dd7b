"""Whose sessions and batches are whose, in both dialects: lists, reads, writes, sharing, doing as another, caps."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from nbplat.errors import SetupError
from nbplat.service.auth import Gate
from nbplat.service.callers import Callers
from nbplat.service.livy import make_livy
from nbplat.service.livy.owner import Impersonation
from nbplat.service.logins.login import Sent
from nbplat.service.replies import answer_errors
from nbplat.service.routes.sessions import router
from nbplat.session.access import Principal
from nbplat.session.caps import Caps
from nbplat.session.life import Limits
from tests.fixtures.asgi import AsgiClient, ByName
from tests.fixtures.livy_app import LivyApp, batch_draft, session_draft

pytestmark = pytest.mark.process

NATIVE = "/api/v1/sessions"


class People:
    """One client a person."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def __getitem__(self, name: str) -> AsgiClient:
        sent = "Basic " + base64.b64encode(f"{name}:x".encode()).decode()
        return AsgiClient(self._app, base_url="http://127.0.0.1:1", headers={"Authorization": sent, "Prefer": "wait=0"})


def guarded(livy_app: LivyApp, **options: Any) -> People:
    app = FastAPI()
    app.state.stopping = lambda: False
    answer_errors(app)
    app.include_router(router(livy_app.sessions, session_draft, livy_app.batches.refusal))
    app.mount("/", make_livy(livy_app.sessions, session_draft, livy_app.batches, batch_draft, **options))
    return People(Gate(app, callers=Callers("token", [ByName()]), loopback=True, self_guarded=()))


@pytest.fixture
def people(livy_app: LivyApp) -> People:
    return guarded(livy_app)


@pytest.fixture(autouse=True)
def no_process(livy_app: LivyApp, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sessions and batches are kept, and run nothing; all are gone afterwards."""
    monkeypatch.setattr(livy_app.sessions._drivers, "start", lambda _: {"pid": 0, "folder": str(livy_app.folder)})
    monkeypatch.setattr(livy_app.sessions._drivers, "lives", lambda _: False)
    monkeypatch.setattr(livy_app.sessions._drivers, "kill", lambda _: None)
    monkeypatch.setattr(livy_app.sessions._drivers, "remove", lambda _: None)
    monkeypatch.setattr(livy_app.sessions._drivers, "log", lambda *_, **__: (0, []))
    monkeypatch.setattr(livy_app.sessions, "_follow", lambda _: None)

    def refuse(*_: Any) -> dict[str, Any]:
        raise SetupError("batch.interpreter", "nothing starts here", fix="")

    monkeypatch.setattr(livy_app.batches._processes, "start", refuse)
    yield
    for session in livy_app.sessions.store.sessions(limit=1000)[1]:
        livy_app.sessions.delete(session.id)
    for batch in livy_app.batches.page(limit=1000)[1]:
        livy_app.batches.delete(batch.id)


def started(client: AsgiClient, **fields: Any) -> int:
    reply = client.post("/sessions", json={"kind": "pyspark", **fields})
    assert 201 == reply.status_code, reply.text
    return int(reply.json()["id"])


def test_everybody_sees_their_own_and_admins_see_all(people: People) -> None:
    """Lists and their totals hold what one may look at, in both dialects."""
    ann, bob = started(people["ann"]), started(people["bob"])
    for name, seen in (("ann", [ann]), ("bob", [bob]), ("eve", []), ("root", [ann, bob])):
        for path in ("/sessions", NATIVE):
            page = people[name].get(path).json()
            assert (len(seen), seen) == (page["total"], [one["id"] for one in page["sessions"]])
    assert [bob] == [one["id"] for one in people["root"].get("/sessions?from=1&size=1").json()["sessions"]]
    assert "ann" == people["root"].get(f"{NATIVE}/{ann}").json()["owner"]


LIVY = [
    ("get", ""), ("delete", ""), ("get", "/state"), ("get", "/log"), ("post", "/connect"), ("post", "/interrupt"),
    ("post", "/completion"), ("get", "/statements"), ("post", "/statements"), ("get", "/statements/0"),
    ("post", "/statements/0/cancel"), ("post", "/submit-job"), ("post", "/run-job"), ("get", "/jobs/0"),
    ("post", "/jobs/0/cancel"), ("post", "/upload-jar"), ("post", "/upload-file"), ("post", "/upload-pyfile"),
    ("post", "/add-jar"), ("post", "/add-file"), ("post", "/add-pyfile"),
]  # fmt: skip


def test_nobody_touches_anothers_session_by_livy(people: People, livy_app: LivyApp) -> None:
    """Every route answers 403 without a body, by id and by name, and nothing comes of it."""
    number = started(people["ann"], name="anns")
    people["ann"].post(f"/sessions/{number}/statements", json={"code": "secret = 1"})
    before = livy_app.sessions.store.session(number)
    routes = {path for route in make_livy_routes(livy_app) if (path := route).startswith("/sessions/{key}")}
    asked = {"/sessions/{key}" + tail.replace("/0", "/{number}") for _, tail in LIVY}
    assert routes == asked
    for verb, tail in LIVY:
        for key in (number, "anns"):
            options = {} if verb != "post" else {"json": {"code": "x", "job": "", "uri": "/x"}}
            reply = getattr(people["eve"], verb)(f"/sessions/{key}{tail}", **options)
            assert (403, b"") == (reply.status_code, reply.content), (verb, tail)
    assert before == livy_app.sessions.store.session(number)
    assert 1 == livy_app.sessions.store.statements(number)[0]


def make_livy_routes(livy_app: LivyApp) -> list[str]:
    app = make_livy(livy_app.sessions, session_draft, livy_app.batches, batch_draft)
    return [route.path for route in app.routes]  # type: ignore[attr-defined]


def test_nobody_learns_of_anothers_session_by_our_own_api(people: People, livy_app: LivyApp) -> None:
    """Every route answers as for a session that is not there."""
    number = started(people["ann"], name="anns")
    people["ann"].post(f"/sessions/{number}/statements", json={"code": "secret = 1"})
    app = FastAPI()
    app.include_router(router(livy_app.sessions, session_draft))
    count = 0
    for path, verbs in app.openapi()["paths"].items():
        if "{key}" not in path:
            continue
        for verb in verbs:
            for key in (str(number), "anns"):
                where = path.replace("{key}", key).replace("{number}", "0")
                reply = people["eve"].request(verb.upper(), where, json={"code": "x"} if verb == "post" else {})
                if reply.status_code == 400:  # its body is looked at first
                    assert "request.invalid" == reply.json()["code"]
                    continue
                assert (404, "session.unknown") == (reply.status_code, reply.json()["code"]), (verb, path)
                assert reply.json()["message"] == f"there is no session {key}"
                count += 1
    assert count > 20
    assert 200 == people["ann"].get(f"{NATIVE}/{number}").status_code


def test_an_owner_lets_others_in(people: People, livy_app: LivyApp) -> None:
    """To look, or to use; ending it and letting in stays the owner's and the admins'."""
    number = started(people["ann"])
    where = f"{NATIVE}/{number}"
    reply = people["ann"].request("PUT", f"{where}/access", json={"view": ["bob"], "use": ["cy"]})
    assert {"view": ["bob"], "use": ["cy"]} == reply.json()["access"]
    codes = {
        name: (
            people[name].get(where).status_code,
            people[name].post(f"{where}/statements", json={"code": "1"}).status_code,
            people[name].delete(where).status_code,
            people[name].request("PUT", f"{where}/access", json={}).status_code,
            people[name].get(f"/sessions/{number}").status_code,
            people[name].post(f"/sessions/{number}/statements", json={"code": "1"}).status_code,
            people[name].delete(f"/sessions/{number}").status_code,
        )
        for name in ("bob", "cy", "eve")
    }
    assert (200, 403, 403, 403, 200, 403, 403) == codes["bob"]
    assert (200, 201, 403, 403, 200, 201, 403) == codes["cy"]
    assert (404, 404, 404, 404, 403, 403, 403) == codes["eve"]
    assert "session.access" == people["bob"].delete(where).json()["code"]
    people["root"].request("PUT", f"{where}/access", json={"view": ["*"]})
    assert [200, 403] == [
        people["eve"].get(where).status_code,
        people["cy"].post(f"{where}/statements", json={"code": "1"}).status_code,
    ]
    for wrong in ({"view": [""]}, {"use": ["a\nb"]}, {"own": ["bob"]}, {"view": "bob"}):
        assert 400 == people["ann"].request("PUT", f"{where}/access", json=wrong).status_code


def test_a_request_cannot_let_itself_in(people: People, livy_app: LivyApp) -> None:
    """Neither a name that was sent nor impersonation that is off makes anybody an owner."""
    number = started(people["ann"], proxyUser="eve")
    assert 403 == people["eve"].get(f"/sessions/{number}").status_code
    assert 403 == people["eve"].get(f"/sessions/{number}?doAs=ann").status_code
    assert 400 == people["eve"].post("/sessions", json={"owner": "ann"}).status_code


def test_batches_are_their_owners(people: People, livy_app: LivyApp) -> None:
    """As sessions are."""
    script = livy_app.folder / "mine.py"
    script.write_text("")
    number = people["ann"].post("/batches", json={"file": str(script), "proxyUser": "eve"}).json()["id"]
    for verb, tail in (("get", ""), ("get", "/state"), ("get", "/log"), ("delete", "")):
        reply = getattr(people["eve"], verb)(f"/batches/{number}{tail}")
        assert (403, b"") == (reply.status_code, reply.content)
    assert [1, 0, 1] == [people[name].get("/batches").json()["total"] for name in ("ann", "eve", "root")]
    assert {"msg": "deleted"} == people["ann"].delete(f"/batches/{number}").json()


def test_only_superusers_start_things_for_others(livy_app: LivyApp) -> None:
    """`doAs` beats `proxyUser`; without either it is the asker; whoever it was started for may use it."""
    people = guarded(livy_app, impersonation=Impersonation(True, frozenset({"etl"})))
    for name, query, body, proxy in (
        ("etl", "?doAs=ann", {"proxyUser": "bob"}, "ann"),
        ("root", "", {"proxyUser": "bob"}, "bob"),
        ("eve", "", {}, "eve"),
        ("eve", "?doAs=eve", {}, "eve"),
    ):
        reply = people[name].post(f"/sessions{query}", json=body)
        assert (201, name, proxy) == (reply.status_code, reply.json()["owner"], reply.json()["proxyUser"])
        assert 200 == people[proxy].get(f"/sessions/{reply.json()['id']}").status_code
    script = livy_app.folder / "mine.py"
    script.write_text("")
    assert "ann" == people["etl"].post("/batches?doAs=ann", json={"file": str(script)}).json()["proxyUser"]
    before = people["root"].get("/sessions").json()["total"]
    for path, body in (("/sessions", {}), ("/batches", {"file": str(script)})):
        reply = people["eve"].post(f"{path}?doAs=ann", json=body)
        assert 403 == reply.status_code
        assert {"msg": "User 'eve' not allowed to impersonate 'ann'."} == reply.json()
    assert 400 == people["root"].post("/sessions", json={"proxyUser": "a\nb"}).status_code
    assert before == people["root"].get("/sessions").json()["total"]


def test_over_a_cap_nothing_starts(people: People, livy_app: LivyApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each limit has its words, Livy's where Livy has it; ended sessions count for nothing."""

    def limit(**caps: int) -> None:
        monkeypatch.setattr(livy_app.sessions, "limits", Limits(caps=Caps(**caps)))

    first = started(people["ann"])
    limit(starting=1)
    reply = people["bob"].post("/sessions", json={})
    assert (400, {"msg": "Rejected, too many sessions are being created!"}) == (reply.status_code, reply.json())
    native = people["bob"].post(NATIVE, json={})
    assert (409, "session.too_many_starting") == (native.status_code, native.json()["code"])
    limit(each=1)
    assert 201 == people["bob"].post("/sessions", json={}).status_code
    reply = people["ann"].post("/sessions", json={})
    assert 400 == reply.status_code
    assert "Rejected, Reason: ann has 1 living sessions, and may have 1" == reply.json()["msg"]
    limit(most=2)
    native = people["cy"].post(NATIVE, json={})
    assert (409, "session.too_many") == (native.status_code, native.json()["code"])
    assert "session.most " in native.json()["fix"]
    people["ann"].delete(f"/sessions/{first}")
    assert 201 == people["cy"].post(NATIVE, json={}).status_code
    assert 2 == people["root"].get("/sessions").json()["total"]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"jars": ["http://evil.example/a.jar"]}, {"jars": ["http://evil.example/a.jar"]}),
        ({"pyFiles": ["a.py"]}, {"py_files": ["a.py"]}),
        ({"files": ["ftp://x/y"]}, {"files": ["ftp://x/y"]}),
        ({"archives": ["https://x/y.tgz#env"]}, {"archives": ["https://x/y.tgz#env"]}),
        ({"conf": {"spark.jars": "/x.jar, http://x/y.jar"}}, {"conf": {"spark.jars": "/x.jar, http://x/y.jar"}}),
        ({"conf": {"spark.yarn.dist.files": "rel"}}, {"conf": {"spark.yarn.dist.files": "rel"}}),
    ],
)
def test_files_of_a_session_follow_the_rule_of_batches(
    people: People, theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    """No URL that a client names is fetched, no relative path is guessed, by field or by setting."""
    reply = people["ann"].post("/sessions", json=theirs)
    assert 400 == reply.status_code
    assert reply.json()["msg"].startswith("Rejected, Reason: requirement failed: ")
    native = people["ann"].post(NATIVE, json=ours)
    assert (400, "session.file") == (native.status_code, native.json()["code"])
    assert 0 == people["root"].get("/sessions").json()["total"]


def test_a_file_of_somebody_else_is_no_sessions(people: People, livy_app: LivyApp, tmp_path: Path) -> None:
    """Own files may be taken; others' in folders that the site allows."""
    mine = tmp_path / "mine.jar"
    mine.write_bytes(b"")
    assert 201 == people["ann"].post("/sessions", json={"jars": [str(mine), "hdfs:///x.jar"]}).status_code


def test_a_stranger_learns_nothing(people: People) -> None:
    """401 with each way to log in, for every path."""
    nobody = AsgiClient(people._app, base_url="http://127.0.0.1:1")
    for path in ("/sessions", NATIVE, "/batches", "/version", "/nowhere"):
        reply = nobody.get(path)
        assert (401, "service.login") == (reply.status_code, reply.json()["code"])
        assert ['Basic realm="nbplat"', "Test"] == reply.headers.get_list("www-authenticate")


def test_logins_that_take_long_hold_nobody_up(livy_app: LivyApp) -> None:
    """Any number of strangers wait for their own answers; who is known gets theirs at once."""
    let_go = threading.Event()

    class Slow(ByName):
        def principal(self, sent: Sent) -> Principal | None:
            let_go.wait(20)
            return None

    app = make_livy(livy_app.sessions, session_draft, livy_app.batches, batch_draft)
    gate = Gate(app, callers=Callers("token", [Slow()]), loopback=True, self_guarded=())

    async def ask() -> list[int]:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://127.0.0.1:1")
        async with client:
            strangers = [
                asyncio.create_task(client.get("/sessions", headers={"Authorization": f"Bearer s{number}"}))
                for number in range(60)
            ]
            await asyncio.sleep(0)
            known = await asyncio.wait_for(client.get("/sessions", headers={"Authorization": "Bearer token"}), 10)
            assert not any(task.done() for task in strangers)
            let_go.set()
            return [known.status_code, *(reply.status_code for reply in await asyncio.gather(*strangers))]

    assert [200] + [401] * 60 == asyncio.run(ask())


def test_a_login_that_fails_is_no_refusal(livy_app: LivyApp) -> None:
    """503 with the record: clients come again, nobody is let in."""

    class Away(ByName):
        def principal(self, sent: Sent) -> Principal | None:
            raise SetupError("service.auth", "away", fix="wait")

    app = make_livy(livy_app.sessions, session_draft, livy_app.batches, batch_draft)
    gate = Gate(app, callers=Callers("token", [Away()]), loopback=True, self_guarded=())
    reply = People(gate)["ann"].get("/sessions")
    assert (503, "service.auth") == (reply.status_code, reply.json()["code"])
    ours = AsgiClient(gate, base_url="http://127.0.0.1:1", headers={"Authorization": "Bearer token"})
    assert 200 == ours.get("/sessions").status_code
