"""Every malformed request that Livy's reference names, with its code and the shape of its body."""

from __future__ import annotations

import re
from typing import Any

import pytest

from nbplat.session.records import SessionDraft
from tests.fixtures.asgi import AsgiClient
from tests.fixtures.livy_app import LivyApp
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process

TEXT = "a bare JSON string"
MSG = "an object with msg"
EMPTY = "no body"


@pytest.fixture(scope="module")
def session(livy_app: LivyApp) -> int:
    """An idle session without a language of its own."""
    http = AsgiClient(livy_app.app, base_url="http://livy.test")
    number = int(http.post("/sessions", json={}).json()["id"])
    wait_until(lambda: http.get(f"/sessions/{number}").json()["state"] == "idle", what="the session is idle")
    return number


def shape(reply: Any) -> str:
    if not reply.content:
        return EMPTY
    found = reply.json()
    return TEXT if isinstance(found, str) else MSG if set(found) == {"msg"} else repr(found)


@pytest.mark.parametrize(
    ("verb", "path", "body", "status", "answer"),
    [
        # Unknown sessions and batches, on every route.
        *(
            (verb, f"/{noun}/99999{tail}", b"{}", 404, MSG)
            for noun, verb, tail in [
                ("sessions", "get", ""), ("sessions", "delete", ""), ("sessions", "get", "/state"),
                ("sessions", "get", "/log"), ("sessions", "post", "/interrupt"), ("sessions", "post", "/connect"),
                ("sessions", "get", "/statements"), ("sessions", "post", "/statements"),
                ("sessions", "get", "/statements/0"), ("sessions", "post", "/statements/0/cancel"),
                ("sessions", "post", "/completion"), ("sessions", "post", "/submit-job"),
                ("sessions", "post", "/run-job"), ("sessions", "get", "/jobs/0"),
                ("sessions", "post", "/jobs/0/cancel"),
                ("sessions", "post", "/upload-jar"), ("sessions", "post", "/upload-pyfile"),
                ("sessions", "post", "/upload-file"), ("sessions", "post", "/add-jar"),
                ("sessions", "post", "/add-pyfile"), ("sessions", "post", "/add-file"),
                ("batches", "get", ""), ("batches", "delete", ""), ("batches", "get", "/state"),
                ("batches", "get", "/log"),
            ]
        ),
        # Malformed JSON.
        *((("post"), path, body, 400, TEXT) for path in ("/sessions", "/batches", "/sessions/{s}/statements",
          "/sessions/{s}/completion", "/sessions/{s}/submit-job", "/sessions/{s}/add-file")
          for body in (b"{", b"[]", b"", b'"x"', b"\xff")),
        # Fields of a session.
        ("post", "/sessions", b'{"idleTimeout": "soon"}', 400, MSG),
        ("post", "/sessions", b'{"ttl": ""}', 400, MSG),
        ("post", "/sessions", b'{"kind": "cobol"}', 400, TEXT),
        ("post", "/sessions", b'{"unknown": 1}', 400, TEXT),
        ("post", "/sessions", b'{"driverMemory": {}}', 400, TEXT),
        ("post", "/sessions", b'{"jars": [1]}', 400, TEXT),
        ("post", "/sessions", b'{"driverCores": "many"}', 500, TEXT),
        ("post", "/sessions", b'{"heartbeatTimeoutInSecond": 1e20}', 500, TEXT),
        ("post", "/sessions", b'{"name": "007"}', 400, MSG),
        *(
            ("post", "/sessions", f'{{"conf": {{"{key}": "x"}}}}'.encode(), 400, MSG)
            for key in ("spark.master", "spark.submit.deployMode", "spark.yarn.jar", "spark.yarn.jars",
                        "spark.yarn.archive")
        ),
        # Statements.
        ("post", "/sessions/{s}/statements", b"{}", 500, TEXT),
        ("post", "/sessions/{s}/statements", b'{"code": null}', 500, TEXT),
        ("post", "/sessions/{s}/statements", b'{"code": "1", "kind": "cobol"}', 500, TEXT),
        ("get", "/sessions/{s}/statements/99", b"", 404, TEXT),
        ("get", "/sessions/{s}/statements/abc", b"", 400, MSG),
        ("post", "/sessions/{s}/statements/abc/cancel", b"", 400, MSG),
        ("get", "/sessions/{s}/statements?from=x", b"", 400, MSG),
        ("get", "/sessions?size=x", b"", 400, MSG),
        ("get", "/sessions/{s}/log?from=x", b"", 400, MSG),
        # Jobs and files.
        ("post", "/sessions/{s}/submit-job", b"{}", 400, MSG),
        ("post", "/sessions/{s}/submit-job", b'{"job": "AAAA", "jobType": "spark"}', 400, MSG),
        ("get", "/sessions/{s}/jobs/99", b"", 404, TEXT),
        ("get", "/sessions/{s}/jobs/abc", b"", 400, MSG),
        ("post", "/sessions/{s}/upload-jar", b"x", 400, MSG),
        ("post", "/sessions/{s}/add-jar", b"{}", 400, MSG),
        ("post", "/sessions/{s}/add-jar", b'{"uri": "http://x/y.jar"}', 400, MSG),
        # Batches.
        ("post", "/batches", b"{}", 400, MSG),
        ("post", "/batches", b'{"file": "/x", "unknown": 1}', 400, TEXT),
        ("post", "/batches", b'{"file": "/x", "driverCores": "many"}', 500, TEXT),
        # What is not there at all.
        ("get", "/session/0", b"", 404, EMPTY),
        ("get", "/sessions/{s}/nothing", b"", 404, EMPTY),
        ("get", "/sessions/{s}/jobs", b"", 404, EMPTY),
        ("post", "/sessions/{s}", b"{}", 405, EMPTY),
        ("delete", "/version", b"", 405, EMPTY),
    ],
)  # fmt: skip
def test_a_malformed_request_has_livys_code_and_body(
    http: AsgiClient, session: int, verb: str, path: str, body: bytes, status: int, answer: str
) -> None:
    """And changes nothing."""
    before = [http.get(f"/{noun}").json()["total"] for noun in ("sessions", "batches")]
    options: dict[str, Any] = {"content": body} if verb == "post" else {}
    reply = getattr(http, verb)(path.format(s=session), **options)
    assert (status, answer) == (reply.status_code, shape(reply)), reply.text
    assert before == [http.get(f"/{noun}").json()["total"] for noun in ("sessions", "batches")]


def test_words_of_livys_that_clients_look_for(http: AsgiClient, session: int) -> None:
    """Texts that stand in clients' code, letter by letter."""
    assert {"msg": "Session '99999' not found."} == http.get("/batches/99999").json()
    reply = http.post("/sessions", json={"idleTimeout": "soon"})
    assert {"msg": "Rejected, Reason: Invalid time string: soon"} == reply.json()
    reply = http.post("/sessions", content=b"a=1", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (400, True) == (reply.status_code, reply.json().startswith("No content"))
    for verb, path in (
        ("get", "/sessions"),
        ("post", "/sessions"),
        ("get", f"/sessions/{session}"),
        ("post", "/batches"),
    ):
        reply = getattr(http, verb)(path, headers={"Accept": "application/vnd.livy.v9.9+json"})
        assert (406, {"msg": "No value found for '9.9'"}) == (reply.status_code, reply.json())


def test_a_wrong_method_names_the_right_ones(http: AsgiClient, session: int) -> None:
    """405 with Allow; an unknown path is empty HTML."""
    allowed = re.split(", *", http.post(f"/sessions/{session}").headers["allow"])
    assert {"GET", "HEAD"} <= set(allowed)
    assert http.get("/nowhere").headers["content-type"].startswith("text/html")


def test_a_session_of_every_language_wants_to_be_told_which(http: AsgiClient, livy_app: LivyApp) -> None:
    """A statement without a kind is Livy's 500 there."""
    shared = livy_app.sessions.store.add_session(SessionDraft("shared", "", "", "", {}, {}))
    reply = http.post(f"/sessions/{shared.id}/statements", json={"code": "1"})
    assert (500, TEXT) == (reply.status_code, shape(reply))
    livy_app.sessions.delete(shared.id)


def test_line_ends_are_echoed_as_livy_does(http: AsgiClient, session: int) -> None:
    """CRLF becomes LF, in what is run and in what is shown."""
    where = http.post(f"/sessions/{session}/statements", json={"code": "a = 1\r\na", "kind": "pyspark"}).headers[
        "location"
    ]
    found = http.get(where, headers={"Prefer": "wait=20"}).json()
    assert ("a = 1\na", "1") == (found["code"], found["output"]["data"]["text/plain"])


def test_a_waiting_statement_is_cancelled_without_output(http: AsgiClient, session: int) -> None:
    """Its output is null and its progress 1.0."""
    first = http.post(f"/sessions/{session}/statements", json={"code": "while True: pass", "kind": "pyspark"})
    second = http.post(f"/sessions/{session}/statements", json={"code": "2", "kind": "pyspark"})
    wait_until(lambda: http.get(first.headers["location"]).json()["state"] == "running", what="the first runs")
    for reply in (second, first):
        assert {"msg": "canceled"} == http.post(f"{reply.headers['location']}/cancel").json()
    wait_until(
        lambda: http.get(second.headers["location"]).json()["state"] == "cancelled", what="the second is cancelled"
    )
    found = http.get(second.headers["location"]).json()
    assert (None, 1.0) == (found["output"], found["progress"])
    wait_until(lambda: http.get(first.headers["location"]).json()["state"] == "cancelled", what="the first has ended")


def test_what_is_left_out_is_echoed_as_livy_does(http: AsgiClient, session: int) -> None:
    """Unset numbers are 0, texts null, lists empty; without logins owner and proxyUser are null."""
    shown = http.get(f"/sessions/{session}").json()
    zero = ("driverCores", "executorCores", "numExecutors", "heartbeatTimeoutInSecond")
    assert [0] * 4 == [shown[name] for name in zero]
    null = ("driverMemory", "executorMemory", "queue", "owner", "proxyUser", "name", "ttl", "idleTimeout")
    assert [None] * 8 == [shown[name] for name in null]
    assert [[]] * 4 == [shown[name] for name in ("jars", "pyFiles", "files", "archives")]
