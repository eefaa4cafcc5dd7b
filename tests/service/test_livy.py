"""Livy's REST dialect over real drivers (plain Python behind): fields, states, codes, bodies."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.asgi import AsgiClient
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def session(http: AsgiClient) -> int:
    """An idle session of its own."""
    reply = http.post("/sessions", json={"kind": "pyspark"})
    assert 201 == reply.status_code
    number = int(reply.json()["id"])
    wait_until(lambda: http.get(f"/sessions/{number}").json()["state"] == "idle", what="the session is idle")
    return number


def run(http: AsgiClient, session: int, code: str, **more: Any) -> dict[str, Any]:
    reply = http.post(f"/sessions/{session}/statements", json={"code": code, **more})
    assert 201 == reply.status_code
    where = reply.headers["location"]
    assert f"/sessions/{session}/statements/{reply.json()['id']}" == where
    found = http.get(where, headers={"Prefer": "wait=20"}).json()
    assert found["state"] in ("available", "cancelled")
    return dict(found)


def test_the_version_is_one_that_clients_parse(http: AsgiClient) -> None:
    """Clients split it at the dots and take less than 0.5.0 for an old server."""
    assert [0, 9, 0] == [int(part) for part in http.get("/version").json()["version"].split(".")]


def test_a_session_is_created_and_shown_with_every_field(http: AsgiClient) -> None:
    """The reply echoes the request, names where the session is, and lacks no field of Livy's."""
    asked = {
        "kind": "pyspark",
        "name": "fields",
        "driverMemory": "1g",
        "executorCores": 2,
        "pyFiles": ["hdfs:///a.py"],
        "conf": {"spark.x": "1", "spark.hadoop.fs.s3a.secret.key": "hush"},
        "heartbeatTimeoutInSecond": 60,
        "ttl": "1h",
        "idleTimeout": "10m",
    }
    reply = http.post("/sessions", json=asked)
    shown = reply.json()
    assert (201, f"/sessions/{shown['id']}") == (reply.status_code, reply.headers["location"])
    assert {
        "id", "name", "appId", "owner", "proxyUser", "state", "kind", "appInfo", "log", "ttl", "idleTimeout",
        "driverMemory", "driverCores", "executorMemory", "executorCores", "numExecutors", "queue", "conf", "jars",
        "pyFiles", "files", "archives", "heartbeatTimeoutInSecond",
    } == set(shown)  # fmt: skip
    assert {"driverLogUrl", "sparkUiUrl", "executorLogUrls"} == set(shown["appInfo"])
    assert ("starting", "1g", 2, 0, None) == (
        shown["state"],
        shown["driverMemory"],
        shown["executorCores"],
        shown["numExecutors"],
        shown["queue"],
    )
    assert {"spark.x": "1", "spark.hadoop.fs.s3a.secret.key": "*********(redacted)"} == shown["conf"]
    assert shown["id"] == http.get("/sessions/fields").json()["id"]


def test_any_content_type_is_read_as_json(http: AsgiClient) -> None:
    """Livy's own test client posts JSON as text; only a form is no JSON."""
    for kind in ("text/plain", "application/xml", ""):
        reply = http.post("/sessions", content=b"{}", headers={"Content-Type": kind})
        assert 201 == reply.status_code
    reply = http.post("/sessions", content=b"{}", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert 400 == reply.status_code


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [
        (b"{", 400, str),
        (b"[]", 400, str),
        (b"", 400, str),
        (b'{"kind": "cobol"}', 400, str),
        (b'{"kind": 5}', 400, str),
        (b'{"sesame": 1}', 400, str),
        (b'{"numExecutors": "abc"}', 500, str),
        (b'{"conf": []}', 400, str),
        (b'{"jars": "a.jar"}', 400, str),
        (b'{"ttl": "soon"}', 400, {"msg": "Rejected, Reason: Invalid time string: soon"}),
        (b'{"name": "12"}', 400, {"msg": "Rejected, Reason: Session name 12 can not be all digits"}),
        (
            b'{"conf": {"spark.master": "yarn"}}',
            400,
            {"msg": "Rejected, Reason: Blacklisted configuration values in session config: spark.master"},
        ),
        (b"[" * 100_000, 400, str),
    ],
)
def test_a_bad_request_starts_nothing(http: AsgiClient, body: bytes, status: int, answer: Any) -> None:
    """Each malformed request has Livy's code and shape of body, and no session comes of it."""
    before = http.get("/sessions").json()["total"]
    reply = http.post("/sessions", content=body)
    assert status == reply.status_code
    assert isinstance(reply.json(), str) if answer is str else answer == reply.json()
    assert before == http.get("/sessions").json()["total"]


def test_a_name_is_used_once(http: AsgiClient) -> None:
    """A second session of a living one's name is refused."""
    assert 201 == http.post("/sessions", json={"name": "once"}).status_code
    reply = http.post("/sessions", json={"name": "once"})
    assert 400 == reply.status_code
    assert reply.json()["msg"].startswith("Rejected, Reason: ")


@pytest.mark.parametrize("path", ["99999", "nobody", "99999/state", "99999/log"])
def test_an_unknown_session_is_not_found(http: AsgiClient, path: str) -> None:
    """The body names it in Livy's words."""
    reply = http.get(f"/sessions/{path}")
    assert 404 == reply.status_code
    assert {"msg": f"Session '{path.split('/')[0]}' not found."} == reply.json()


def test_unknown_paths_and_methods_answer_as_livy_does(http: AsgiClient, session: int) -> None:
    """A path that is not there is an empty 404, a method that is not one 405."""
    reply = http.get("/session/0")
    assert (404, "") == (reply.status_code, reply.text)
    assert 405 == http.post(f"/sessions/{session}").status_code
    reply = http.get("/sessions", headers={"Accept": "application/vnd.livy.v9.9+json"})
    assert (406, {"msg": "No value found for '9.9'"}) == (reply.status_code, reply.json())
    assert 200 == http.get("/sessions", headers={"Accept": "application/vnd.livy.v0.1+json"}).status_code


def test_sessions_are_listed_in_pages(http: AsgiClient, session: int) -> None:
    """`total` counts all, not the page."""
    whole = http.get("/sessions").json()
    page = http.get("/sessions?from=1&size=1").json()
    assert (1, whole["total"], [whole["sessions"][1]["id"]]) == (
        page["from"],
        page["total"],
        [one["id"] for one in page["sessions"]],
    )
    assert 400 == http.get("/sessions?from=x").status_code


def test_a_statement_runs_and_gives_text(http: AsgiClient, session: int) -> None:
    """Text is what was printed, then the value, then what went to standard error, without blanks at the end."""
    found = run(http, session, "import sys\nprint('out')\nprint('err', file=sys.stderr)\n1 + 1")
    assert {"status": "ok", "execution_count": 0, "data": {"text/plain": "out\n2\nerr"}} == found["output"]
    assert (1.0, True, True) == (found["progress"], found["started"] > 0, found["completed"] >= found["started"])
    assert "x = 1\nx" == run(http, session, "x = 1\r\nx")["code"]


def test_a_failed_statement_is_available_with_an_error(http: AsgiClient, session: int) -> None:
    """What was printed before the error is kept with the traceback."""
    output = run(http, session, "print('before')\n1 / 0")["output"]
    assert ("error", "ZeroDivisionError", "division by zero") == (output["status"], output["ename"], output["evalue"])
    assert "before\n" == output["traceback"][0]
    assert any("<cell 0>" in line for line in output["traceback"])


def test_rich_values_keep_what_was_printed(http: AsgiClient, session: int) -> None:
    """A client that shows one form only shows all of the output in it."""
    run(http, session, "class Bold:\n    def _repr_html_(self): return '<b>x</b>'\n    def __repr__(self): return 'x'")
    data = run(http, session, "print('<first>')\nBold()")["output"]["data"]
    assert {"text/plain": "<first>\nx", "text/html": "<pre>&lt;first&gt;\n</pre><b>x</b>"} == data


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 500), ({"code": None}, 500), ({"code": "1", "kind": "cobol"}, 500), ({"code": "1", "kind": 7}, 500)],
)
def test_a_statement_without_code_or_with_a_bad_kind_is_refused(
    http: AsgiClient, session: int, body: dict[str, Any], status: int
) -> None:
    """Livy answers 500 with a bare string."""
    reply = http.post(f"/sessions/{session}/statements", json=body)
    assert status == reply.status_code
    assert isinstance(reply.json(), str)


def test_numbers_as_code_are_their_text(http: AsgiClient, session: int) -> None:
    """An integer as code is run as its digits."""
    assert "5" == run(http, session, 5)["output"]["data"]["text/plain"]  # type: ignore[arg-type]


def test_statements_are_listed_either_way(http: AsgiClient, session: int) -> None:
    """Oldest first by default; a page and the count of all."""
    for number in range(3):
        run(http, session, str(number))
    listed = http.get(f"/sessions/{session}/statements?size=2").json()
    assert (3, ["0", "1"]) == (listed["total_statements"], [one["code"] for one in listed["statements"]])
    listed = http.get(f"/sessions/{session}/statements?order=desc&size=1").json()
    assert ["2"] == [one["code"] for one in listed["statements"]]


def test_a_statement_that_is_not_there_is_a_bare_string(http: AsgiClient, session: int) -> None:
    """404 for a number that is none of the session's, 400 for a word."""
    reply = http.get(f"/sessions/{session}/statements/77")
    assert 404 == reply.status_code
    assert isinstance(reply.json(), str)
    assert 400 == http.get(f"/sessions/{session}/statements/abc").status_code


def test_cancel_ends_the_code(http: AsgiClient, session: int) -> None:
    """A running statement is cancelled for good, and cancelling what is not there is no error."""
    reply = http.post(f"/sessions/{session}/statements", json={"code": "while True: pass"})
    where = reply.headers["location"]
    wait_until(lambda: http.get(where).json()["state"] == "running", what="it runs")
    reply = http.post(f"{where}/cancel")
    assert (200, {"msg": "canceled"}) == (reply.status_code, reply.json())
    assert "cancelled" == http.get(where, headers={"Prefer": "wait=10"}).json()["state"]
    assert "2" == run(http, session, "1 + 1")["output"]["data"]["text/plain"]
    for number in ("0", "99"):
        assert {"msg": "canceled"} == http.post(f"/sessions/{session}/statements/{number}/cancel").json()


def test_an_answer_is_held_until_it_changes(http: AsgiClient, session: int) -> None:
    """A client that asks at once gets the finished statement in one request."""
    reply = http.post(f"/sessions/{session}/statements", json={"code": "import time\ntime.sleep(0.4)\n'done'"})
    found = http.get(reply.headers["location"], headers={"Prefer": ""}).json()
    assert ("available", "'done'") == (found["state"], found["output"]["data"]["text/plain"])


def test_the_log_gives_its_end_or_any_part(http: AsgiClient, session: int) -> None:
    """Without `from` the last lines; with it, from there, all of them."""
    run(http, session, "import os\nfor n in range(30): os.write(2, f'line {n}\\n'.encode())")
    shown = http.get(f"/sessions/{session}/log?size=2").json()
    assert (["line 28", "line 29"], 30, 28) == (shown["log"], shown["total"], shown["from"])
    assert 30 == len(http.get(f"/sessions/{session}/log?from=0").json()["log"])
    assert 10 == len(http.get(f"/sessions/{session}").json()["log"])


def test_completion_answers(http: AsgiClient, session: int) -> None:
    """Python names are completed, which Livy does for Scala only."""
    run(http, session, "amounts = [1]")
    reply = http.post(f"/sessions/{session}/completion", json={"code": "amo", "kind": "pyspark", "cursor": 3})
    assert {"candidates": ["amounts"]} == reply.json()
    assert reply.json() == http.post(f"/sessions/{session}/completion", json={"code": "amo"}).json()


def test_delete_and_interrupt_end_the_session(http: AsgiClient) -> None:
    """Both answer when no process is left, with Livy's words; an interrupted session is read until it is deleted."""
    first = http.post("/sessions", json={}).json()["id"]
    second = http.post("/sessions", json={}).json()["id"]
    reply = http.delete(f"/sessions/{first}")
    assert (200, {"msg": "deleted"}) == (reply.status_code, reply.json())
    assert {"msg": "interrupted"} == http.post(f"/sessions/{second}/interrupt").json()
    assert "dead" == http.get(f"/sessions/{second}").json()["state"]
    assert {"msg": "deleted"} == http.delete(f"/sessions/{second}").json()
    for number in (first, second):
        assert 404 == http.get(f"/sessions/{number}").status_code
        assert 404 == http.delete(f"/sessions/{number}").status_code


def test_a_statement_in_a_dead_session_is_a_server_error(http: AsgiClient, session: int) -> None:
    """Livy answers 500 with its exception's text."""
    run(http, session, "import os\nos._exit(3)")
    wait_until(lambda: http.get(f"/sessions/{session}").json()["state"] == "dead", what="it is dead")
    reply = http.post(f"/sessions/{session}/statements", json={"code": "1"})
    assert 500 == reply.status_code
    assert "IllegalStateException" in reply.json()


def test_a_huge_body_is_refused(http: AsgiClient, session: int) -> None:
    """A body over the limit is turned away without being kept."""
    reply = http.post(f"/sessions/{session}/statements", content=b'{"code": "' + b"x" * (17 << 20) + b'"}')
    assert 413 == reply.status_code
    assert "2" == run(http, session, "1 + 1")["output"]["data"]["text/plain"]
