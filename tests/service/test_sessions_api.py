"""The native API of sessions over real drivers (plain Python behind): records, pieces of output, streams, refusals."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fastapi import FastAPI

from nbplat.adapters.store import open_store
from nbplat.clock import SystemClock
from nbplat.config import load_config
from nbplat.service.replies import answer_errors
from nbplat.service.routes.sessions import router
from nbplat.session.records import SessionDraft
from nbplat.session.sessions import Sessions
from tests.fixtures.asgi import AsgiClient
from tests.fixtures.drivers import drivers_of
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process

PATH = "/api/v1/sessions"


def draft(fields: dict[str, Any], owner: str) -> SessionDraft:
    """Drivers without Spark; the conf as a request gives it, with one setting of the platform's."""
    conf = {"spark.master": "local[2]", **fields["conf"]}
    origins = {"spark.master": "platform", **dict.fromkeys(fields["conf"], "request")}
    return SessionDraft("python", fields.get("name", ""), owner, "", {**fields, "origins": origins}, conf)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sessions]:
    folder = tmp_path_factory.mktemp("native")
    config = load_config({"home": str(folder / "home")}, environ={}, cwd=folder, user_file=folder / "none.toml")
    store = open_store(config, clock=SystemClock())
    sockets = Path(tempfile.mkdtemp(prefix="nbs"))
    opened = Sessions(store, drivers_of(folder, sockets))
    yield opened
    for session in store.sessions(limit=1000)[1]:
        opened.delete(session.id)
    opened.close()
    store.close()
    shutil.rmtree(sockets)


@pytest.fixture(scope="module")
def http(sessions: Sessions) -> AsgiClient:
    app = FastAPI()
    app.state.stopping = lambda: False
    answer_errors(app)
    app.include_router(router(sessions, draft))
    return AsgiClient(app, base_url="http://native.test")


@pytest.fixture(scope="module")
def session(http: AsgiClient) -> int:
    """One session for the tests that leave it idle."""
    number = int(http.post(PATH, json={"name": "shared"}).json()["id"])
    assert "idle" == http.get(f"{PATH}/{number}/wait").json()["state"]
    return number


def post(http: AsgiClient, session: int, code: str, **more: Any) -> str:
    reply = http.post(f"{PATH}/{session}/statements", json={"code": code, **more})
    assert 201 == reply.status_code, reply.text
    return f"{PATH}/{session}/statements/{reply.json()['id']}"


def ended(http: AsgiClient, where: str) -> dict[str, Any]:
    return wait_until(  # type: ignore[return-value]
        lambda: (found := http.get(where).json())["ended"] and found, what="the statement ends"
    )


def events(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Name, id and data of each event of a stream."""
    found = []
    for block in filter(None, text.split("\n\n")):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


def test_a_session_is_shown_with_the_origin_of_each_setting(http: AsgiClient) -> None:
    """Settings come with their origin, and without the values of secrets; lists leave them out."""
    conf = {"spark.x": "1", "spark.hadoop.fs.s3a.secret.key": "hush"}
    reply = http.post(PATH, json={"name": "settings", "conf": conf, "environment": "ml"})
    assert 201 == reply.status_code
    shown = {each["key"]: (each["value"], each["origin"]) for each in http.get(f"{PATH}/settings").json()["conf"]}
    assert {
        "spark.master": ("local[2]", "platform"),
        "spark.x": ("1", "request"),
        "spark.nbplat.environment": ("ml", "request"),
        "spark.hadoop.fs.s3a.secret.key": ("*********(redacted)", "request"),
    } == shown
    listed = http.get(PATH, params={"limit": 1000}).json()
    assert "hush" not in json.dumps(listed)
    assert "settings" in [each["name"] for each in listed["sessions"]]
    assert {"deleted": reply.json()["id"]} == http.delete(f"{PATH}/settings").json()
    assert "session.unknown" == http.get(f"{PATH}/settings").json()["code"]


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"master": "yarn"}, "session.master", "yarn"),
        ({"conf": {"spark.master": "yarn"}}, "session.conf", "spark.master"),
        ({"environment": "a", "conf": {"spark.nbplat.environment": "b"}}, "session.environment", "=b"),
        ({"kind": "pyspak"}, "session.kind", "did you mean pyspark"),
        ({"kind": "sparkr"}, "session.kind", "sparkr"),
        ({"name": "12"}, "session.name", "12"),
        ({"name": "a/b"}, "session.name", "a/b"),
        ({"name": "x" * 101}, "session.name", "up to 100"),
        ({"driver_memory": "much"}, "session.value", "much"),
        ({"jars": "one.jar"}, "request.invalid", "jars"),
        ({"driver_cores": 0}, "request.invalid", "driver_cores"),
        ({"conf": {"spark.x": 1}}, "request.invalid", "spark.x"),
        ({"owner": "me"}, "request.invalid", "owner"),
    ],
)
def test_a_bad_request_starts_nothing(http: AsgiClient, body: dict[str, Any], code: str, said: str) -> None:
    """Each refusal names the value, and no session is left."""
    before = http.get(PATH).json()["total"]
    reply = http.post(PATH, json=body)
    assert (400, code) == (reply.status_code, reply.json()["code"])
    assert said in reply.json()["message"] + reply.json()["fix"]
    assert before == http.get(PATH).json()["total"]


def test_a_name_is_taken_once(http: AsgiClient, session: int) -> None:
    """A second session of a living one's name is a conflict."""
    reply = http.post(PATH, json={"name": "shared"})
    assert (409, "session.name") == (reply.status_code, reply.json()["code"])


def test_a_statement_is_run_listed_and_shown(http: AsgiClient, session: int) -> None:
    """Its record holds state, output and times; the newest comes first when asked."""
    shown = ended(http, post(http, session, "1 + 1"))
    assert ("available", {"text/plain": "2"}) == (shown["state"], shown["output"]["data"])
    assert shown["started_ms"] <= shown["completed_ms"]
    page = http.get(f"{PATH}/shared/statements", params={"newest_first": True, "limit": 1}).json()
    assert [shown["id"]] == [each["id"] for each in page["statements"]]


def test_pieces_of_output_come_after_a_number(http: AsgiClient, session: int) -> None:
    """Asking again with the last number gives what came since, and nothing twice."""
    where = post(http, session, "print('a', flush=True)\nprint('b', flush=True)\ndisplay({'c': 1})\n1/0")
    ended(http, where)
    all_of_it = http.get(f"{where}/output").json()
    names = [piece["name"] for piece in all_of_it["pieces"]]
    assert "a\nb\n" == "".join(piece["text"] for piece in all_of_it["pieces"] if piece["name"] == "stdout")
    assert "display" == names[-1]
    assert {"text/plain": "{'c': 1}"} == all_of_it["pieces"][-1]["data"]
    assert "ZeroDivisionError" == all_of_it["statement"]["output"]["ename"]
    first = all_of_it["pieces"][0]["seq"]
    rest = http.get(f"{where}/output", params={"after": first, "wait_s": 5}).json()
    assert all_of_it["pieces"][1:] == rest["pieces"]
    last = http.get(f"{where}/output", params={"after": rest["next_after"], "wait_s": 5}).json()
    assert ([], rest["next_after"]) == (last["pieces"], last["next_after"])


def test_a_stream_ends_with_its_statement(http: AsgiClient, session: int) -> None:
    """Streams and displays in order with their numbers, then the statement; again from a number gives the rest."""
    where = post(http, session, "import sys, time\nprint('out')\ntime.sleep(0.3)\nprint('err', file=sys.stderr)\n7")
    told = events(http.get(f"{where}/stream").text)
    assert ["stdout", "stderr", "done"] == [name for name, _, _ in told if name not in ("state", "progress")]
    assert "running" in [data["state"] for name, _, data in told if name == "state"]
    assert {"text/plain": "7"} == told[-1][2]["output"]["data"]
    [out] = [seq for name, seq, _ in told if name == "stdout"]
    again = events(http.get(f"{where}/stream", headers={"Last-Event-ID": out}).text)
    assert ["stderr", "done"] == [name for name, _, _ in again]


def test_a_long_output_is_streamed_whole(http: AsgiClient, session: int) -> None:
    """More pieces than one look takes all come, in order."""
    where = post(http, session, "for n in range(1300):\n    print(n, flush=True)")
    told = events(http.get(f"{where}/stream").text)
    text = "".join(data["text"] for name, _, data in told if name == "stdout")
    assert "".join(f"{n}\n" for n in range(1300)) == text


def test_cancel_is_said_when_the_code_has_ended(http: AsgiClient, session: int) -> None:
    """A cancelled statement is cancelling until its code has really ended; its stream ends then."""
    where = post(http, session, "while True: pass")
    wait_until(lambda: http.get(where).json()["state"] == "running", what="it runs")
    assert http.post(f"{where}/cancel").json()["state"] in ("cancelling", "cancelled")
    told = events(http.get(f"{where}/stream").text)
    assert ("done", "cancelled") == (told[-1][0], told[-1][2]["state"])
    assert "2" == ended(http, post(http, session, "1 + 1"))["output"]["data"]["text/plain"]


def test_code_that_does_not_end_is_called_stubborn(http: AsgiClient) -> None:
    """It stays cancelling, with the word that only the session's end ends it; that ends it."""
    number = int(http.post(PATH, json={"name": "mule"}).json()["id"])
    code = "import time\nwhile True:\n    try:\n        time.sleep(0.05)\n    except KeyboardInterrupt:\n        pass"
    where = post(http, number, code)
    wait_until(lambda: http.get(where).json()["state"] == "running", what="it runs")
    http.post(f"{where}/cancel")
    found = wait_until(lambda: (one := http.get(where).json())["stubborn"] and one, limit_s=20, what="it is stubborn")
    assert "cancelling" == found["state"]  # type: ignore[index]
    assert {"deleted": number} == http.delete(f"{PATH}/mule").json()


def stream_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(memoryview(sink.getvalue()))


def test_rows_are_served_in_pages_and_ranges(http: AsgiClient, session: int) -> None:
    """A sent frame is a statement; its rows come back as whole pages or parts of them, limited as asked."""
    table = pa.table({"n": list(range(30_000))})
    sent = http.post(f"{PATH}/shared/frames", params={"name": "sent"}, content=stream_of(table))
    assert 201 == sent.status_code, sent.text
    where = post(http, session, "sent", kind="take", rows=25_000, bytes=10_000_000)
    assert "ok" == ended(http, where)["output"]["status"]
    found = http.get(f"{where}/rows").json()
    assert (25_000, True, "rows", 1) == (found["rows"], found["more"], found["limited"], len(found["pages"]))
    page = http.get(f"{where}/rows/0")
    assert "application/vnd.apache.arrow.stream" == page.headers["content-type"]
    assert table.slice(0, 25_000).equals(pa.ipc.open_stream(page.content).read_all())
    part = http.get(f"{where}/rows/0", headers={"Range": "bytes=8-15"})
    assert (206, page.content[8:16]) == (part.status_code, part.content)
    assert (404, "session.page") == ((gone := http.get(f"{where}/rows/1")).status_code, gone.json()["code"])
    plain = post(http, session, "1")
    ended(http, plain)
    assert "session.rows" == http.get(f"{plain}/rows").json()["code"]


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("two words", b"", "frame.name"),
        ("for", b"", "frame.name"),
        ("x", b"no arrow", "frame.body"),
        ("x", stream_of(pa.table({"u": pa.array([1], pa.uint64())})), "frame.type"),
        ("x", stream_of(pa.table({"n": list(range(40_000))})), "frame.size"),
        ("x", stream_of(pa.table({"n": [1, 2, 3]}))[:-300], "frame.body"),
    ],
)
def test_a_bad_frame_is_refused_and_leaves_nothing(
    http: AsgiClient, sessions: Sessions, session: int, name: str, body: bytes, code: str
) -> None:
    """Each refusal has its code; no statement is kept and no file left."""
    limits = sessions.limits
    before = http.get(f"{PATH}/shared/statements").json()["total"]
    sessions.limits = replace(limits, frame_bytes=300_000)
    try:
        reply = http.post(f"{PATH}/shared/frames", params={"name": name}, content=body)
    finally:
        sessions.limits = limits
    assert (400, code) == (reply.status_code, reply.json()["code"])
    assert before == http.get(f"{PATH}/shared/statements").json()["total"]
    folder = Path(sessions.store.session(session).driver["folder"], "frames")
    assert [] == (list(folder.iterdir()) if folder.exists() else [])


def test_jobs_of_livys_clients_are_no_statements(http: AsgiClient, sessions: Sessions, session: int) -> None:
    """The list leaves them out, as Livy's does."""
    before = http.get(f"{PATH}/shared/statements").json()["total"]
    job = sessions.submit(session, "", "job")
    assert before == http.get(f"{PATH}/shared/statements").json()["total"]
    ended(http, f"{PATH}/shared/statements/{job.id}")


def test_completion_and_inspection_answer_beside_a_running_statement(http: AsgiClient, session: int) -> None:
    """Both work while a cell runs; the cursor may lie past the code."""
    ended(http, post(http, session, "def greeting(name):\n    'Say hello.'"))
    where = post(http, session, "import time\ntime.sleep(30)")
    wait_until(lambda: http.get(where).json()["state"] == "running", what="it runs")
    began = time.monotonic()
    found = http.post(f"{PATH}/shared/complete", json={"code": "greet", "cursor": 99}).json()
    # Half a second is the promise; how long it takes on a quiet machine says the benchmark.
    assert time.monotonic() - began < 3.0
    assert {"matches": ["greeting"], "start": 0, "end": 5} == found
    told = http.post(f"{PATH}/shared/inspect", json={"code": "greeting("}).json()
    assert told["found"]
    assert "Say hello." in told["text"]
    http.post(f"{where}/cancel")
    ended(http, where)


def test_the_stream_of_a_deleted_session_says_so(http: AsgiClient, sessions: Sessions) -> None:
    """A session that is deleted while somebody reads ends the stream with an error record."""
    number = int(http.post(PATH, json={"name": "short"}).json()["id"])
    where = post(http, number, "import time\nprint('up', flush=True)\ntime.sleep(60)")
    wait_until(lambda: sessions.store.chunks(number, 0), what="it prints")
    texts: list[str] = []
    reader = threading.Thread(target=lambda: texts.append(http.get(f"{where}/stream").text))
    reader.start()
    sessions.delete(number)
    reader.join(20)
    name, _, data = events(texts[0])[-1]
    assert ("error", "NotFound") == (name, data["kind"]) or ("done", "error") == (name, data["output"]["status"])


def test_what_is_not_there_is_not_found(http: AsgiClient, session: int) -> None:
    """Unknown sessions and statements are 404, whatever their number; a bad number is 400."""
    for path in (f"{PATH}/none", f"{PATH}/999999", f"{PATH}/{'9' * 30}", f"{PATH}/shared/statements/999999"):
        assert 404 == http.get(path).status_code, path
    assert 404 == http.get(f"{PATH}/shared/statements/{'9' * 30}").status_code
    assert 400 == http.get(f"{PATH}/shared/statements/one").status_code
    assert 400 == http.post(f"{PATH}/shared/statements", json={"code": 5}).status_code
    assert 400 == http.post(f"{PATH}/shared/statements", json={"code": "a\0"}).status_code
    half = http.post(f"{PATH}/shared/statements", content=b'{"code": "\\ud800"}')
    assert (400, 404) == (half.status_code, http.get(f"{PATH}/%00").status_code)
    assert 400 == http.post(f"{PATH}/shared/statements", json={"code": "1", "kind": "scala"}).status_code


def test_the_log_of_the_driver_is_read_by_line(http: AsgiClient, session: int) -> None:
    """The last lines, or those from a line on."""
    ended(http, post(http, session, "import os\nos.write(2, b'line one\\nline two\\n')"))
    told = http.get(f"{PATH}/shared/log", params={"after": -2}).json()
    assert ["line one", "line two"] == told["lines"]
    again = http.get(f"{PATH}/shared/log", params={"after": told["total"] - 1}).json()
    assert ["line two"] == again["lines"]
