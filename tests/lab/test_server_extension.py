"""The server extension in a real Jupyter server: one gate, the service behind it, and its token never in front."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import websocket

from nbplat.adapters.store import open_store
from nbplat.clock import SystemClock
from nbplat.config import Config
from nbplat.job import JobDraft, RunDraft
from nbplat.service.discovery import environ_of, read_info, service_lock, version
from nbplat.service.lock import holder_of
from nbplat.ui.client import ServiceClient, stop_service
from nbplat.ui.server.watch import JOB_EVENT, changes
from tests.fixtures.jupyter import JupyterServer, jupyter_server
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process

BASE = "/user/a%40b/"


@pytest.fixture(scope="module")
def server(
    shared_config: Config, shared_client: ServiceClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterServer]:
    """A Jupyter server beside a service of toy jobs, under a base path as JupyterHub gives it."""
    with jupyter_server(tmp_path_factory.mktemp("jupyter"), environ_of(shared_config), base=BASE) as running:
        yield running


def queue(config: Config, name: str, kind: str, **params: object) -> str:
    """A run with one job; returns the job's id."""
    store = open_store(config, clock=SystemClock())
    with closing(store):
        run, _ = store.open_run(
            RunDraft("toy", name, name, "planned", frozenset({"planned"}), {"table": "a.b"}, {"units": 3}, "ann")
        )
        job, _ = store.submit(JobDraft(kind, run.id, params), kind_of_run="toy", owner="ann")
    return job.id


def test_it_answers_as_the_service_does(server: JupyterServer, shared_config: Config) -> None:
    """A request under the base path reaches the service with the service's own token, and the reply is its own."""
    job_id = queue(shared_config, "passed", "toy.count", n=3)

    job = server.ask("GET", f"nbplat/api/v1/jobs/{job_id}/wait?wait_s=20").json
    board = server.ask("GET", "nbplat/api/v1/board").json
    [run] = [run for run in board["runs"] if run["name"] == "passed"]

    assert ("succeeded", True) == (job["state"], job["ended"])
    assert ("toy", "staged", "a.b", job_id, {"done": 3, "total": 3, "unit": "units"}) == (
        run["kind"],
        run["state"],
        run["table"],
        run["job"]["id"],
        run["job"]["progress"],
    )
    assert "plan" not in run
    assert 0 < board["seq"]


def test_the_token_of_the_service_stays_behind(server: JupyterServer, shared_config: Config) -> None:
    """Neither bodies nor headers of any reply hold it."""
    token = str((read_info(shared_config) or {})["token"])

    for path in ("about", "api/v1/status", "api/v1/board", "api/v1/sessions", "api/v1/nothing"):
        reply = server.ask("GET", f"nbplat/{path}")
        assert token not in reply.text + json.dumps(dict(reply.headers)), path


def test_who_is_not_known_to_jupyter_gets_nothing(server: JupyterServer) -> None:
    """Without the Jupyter server's token every route refuses, and a changing request needs its cross-site mark."""
    for path in ("nbplat/about", "nbplat/api/v1/status"):
        assert 403 == server.ask("GET", path, headers={}).status
    assert 403 == server.ask("POST", "nbplat/api/v1/jobs/j000001/cancel", {}, headers={}).status

    cookie = server.ask("GET", f"login?token={server.token}", headers={}).headers["Set-Cookie"]
    crossed = server.ask("POST", "nbplat/api/v1/jobs/j000001/cancel", {}, headers={"Cookie": cookie.split(";")[0]})
    assert 403 == crossed.status
    assert "_xsrf" in crossed.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nbplat/api/v1/jobs/nothing", 404),
        ("nbplat/api/v1/../../docs", 404),
        ("nbplat/api/v1/%2e%2e/%2e%2e/docs", 404),
        ("nbplat/api/v1/http://example.org", 404),
        ("nbplat/api/v1/jobs/j1%3Fx=1", 404),
        ("nbplat/api/sessions", 404),
        ("nbplat/api/v1/board?limit=0", 400),
    ],
)
def test_only_paths_of_the_service_are_passed_on(server: JupyterServer, path: str, status: int) -> None:
    """No path of the client leaves the service's own routes."""
    assert status == server.ask("GET", path).status


def test_a_refusal_is_the_record_of_the_service(server: JupyterServer) -> None:
    """What the service refuses reaches the browser with its code, its message and its mend."""
    reply = server.ask("GET", "nbplat/api/v1/jobs/nothing")

    assert (404, "job.unknown") == (reply.status, reply.json["code"])
    assert reply.json["fix"]


def test_a_body_that_is_no_json_is_refused(server: JupyterServer) -> None:
    """The error names what to send."""
    headers = {**server.headers, "Content-Type": "text/plain"}
    reply = server.ask("POST", "nbplat/api/v1/jobs/j1/cancel", headers=headers)
    assert 404 == reply.status  # an empty body is none

    from http.client import HTTPConnection
    from urllib.parse import urlsplit

    parts = urlsplit(server.address)
    with closing(HTTPConnection("127.0.0.1", parts.port, timeout=20)) as asked:
        asked.request("POST", parts.path + "nbplat/api/v1/jobs/j1/cancel", "{", headers)
        refused = asked.getresponse()
        assert (400, "request.json") == (refused.status, json.loads(refused.read())["code"])


def test_what_changes_is_told_as_jupyter_events(server: JupyterServer, shared_config: Config) -> None:
    """While somebody looks, a job's counters and end arrive as events that hold ids and counts only."""
    server.ask("GET", "nbplat/api/v1/board")
    address = server.address.replace("http", "ws", 1) + f"api/events/subscribe?token={server.token}"
    with closing(websocket.create_connection(address, timeout=30)) as events:
        job_id = queue(shared_config, "told", "toy.count", n=60)
        seen = []
        while not seen or seen[-1].get("state") != "succeeded":
            event = json.loads(events.recv())
            if event["schema_id"] == JOB_EVENT and event["job_id"] == job_id:
                seen.append(event)

    ours = [{key: value for key, value in event.items() if not key.startswith("__")} for event in seen]
    allowed = {"schema_id", "seq", "run_id", "job_id", "state", "done", "total"}
    assert set() == {key for event in ours for key in event} - allowed
    assert sorted(event["seq"] for event in ours) == [event["seq"] for event in ours]
    # 60 units of 20 ms: a line each would be sixty.
    assert 2 <= len(ours) < 12
    assert 60 == max(event.get("done", 0) for event in ours)


def test_a_round_of_events_tells_each_job_once() -> None:
    """Many steps of one job become one change with the last state and counters; other events are left out."""

    def event(seq: int, kind: str, **data: object) -> dict[str, object]:
        return {"seq": seq, "kind": kind, "run_id": "a@1", "job_id": "j1", "unit_id": "", "data": data}

    moved = {"seq": 9, "kind": "run.moved", "run_id": "a@1", "job_id": "", "unit_id": "", "data": {"to": "staged"}}
    found = changes(
        [
            event(4, "job.running", state="running"),
            event(5, "unit.done", scope="secret"),
            event(6, "job.progress", done=1, total=3, what="a path"),
            event(7, "job.progress", done=2, total=3),
            moved,
        ]
    )

    assert [
        {"seq": 7, "run_id": "a@1", "job_id": "j1", "state": "running", "done": 2, "total": 3},
        {"seq": 9, "run_id": "a@1", "job_id": "", "state": "staged"},
    ] == found


def test_the_service_is_started_when_it_is_asked_for(service_config: Config, tmp_path: Path) -> None:
    """Looking at what is installed starts nothing; the first request does, and again after the service was stopped."""
    with jupyter_server(tmp_path, environ_of(service_config)) as server:
        about = server.ask("GET", "nbplat/about").json
        assert (version(), "here", "stopped") == (
            about["version"],
            about["service"]["where"],
            about["service"]["state"],
        )
        assert holder_of(service_lock(service_config)) is None

        assert 200 == server.ask("GET", "nbplat/api/v1/status").status
        assert "running" == server.ask("GET", "nbplat/about").json["service"]["state"]

        assert stop_service(service_config)
        assert 200 == server.ask("GET", "nbplat/api/v1/status").status


def test_a_service_that_cannot_start_says_why(service_config: Config, tmp_path: Path) -> None:
    """The reply is the error's record with the mend, as the command line would say it."""
    environ = {**environ_of(service_config), "NBPLAT_STORE_URL": "postgresql+psycopg://nobody@127.0.0.1:9/none"}
    with jupyter_server(tmp_path, environ) as server:
        reply = server.ask("GET", "nbplat/api/v1/board")

    assert reply.status in (424, 502)
    assert reply.json["code"].split(".")[0] in ("service", "store")
    assert reply.json["fix"]


def test_a_wrong_token_of_a_team_is_said(service_config: Config, toy_client: ServiceClient, tmp_path: Path) -> None:
    """With another's token the reply tells that it is wrong; once the file is mended the next request is answered."""
    file = tmp_path / "token"
    file.write_text("wrong")
    environ = {**environ_of(service_config), "NBPLAT_SERVICE_URL": toy_client.url, "NBPLAT_URL": toy_client.url}
    environ |= {"NBPLAT_TOKEN_FILE": str(file), "NBPLAT_SERVICE_TOKEN_FILE": str(file)}
    with jupyter_server(tmp_path, environ) as server:
        refused = server.ask("GET", "nbplat/api/v1/board")
        file.write_text(toy_client.token)
        answered = server.ask("GET", "nbplat/api/v1/board")
        where = server.ask("GET", "nbplat/about").json["service"]["where"]

    assert (400, "service.token") == (refused.status, refused.json["code"])
    assert "NBPLAT_TOKEN_FILE" in refused.json["fix"]
    assert (200, "elsewhere") == (answered.status, where)


@pytest.mark.usefixtures("toy_client")
def test_the_events_come_back_with_the_service(service_config: Config, tmp_path: Path) -> None:
    """After the service was killed and is back, what happens is told again."""
    with jupyter_server(tmp_path, environ_of(service_config)) as server:
        server.ask("GET", "nbplat/api/v1/board")
        stop_service(service_config)
        address = server.address.replace("http", "ws", 1) + f"api/events/subscribe?token={server.token}"
        with closing(websocket.create_connection(address, timeout=30)) as events:
            wait_until(lambda: server.ask("GET", "nbplat/api/v1/board").status == 200, what="the service")
            heard: list[str] = []

            def told() -> bool:
                job_id = queue(service_config, "back", "toy.count", n=1)
                heard.append(job_id)
                return json.loads(events.recv())["schema_id"] == JOB_EVENT

            assert wait_until(told, what="an event")


def test_an_install_enables_it() -> None:
    """The environment that nbplat is installed into has its configuration: nobody has to enable anything."""
    packaged = Path(__file__).parents[2] / "labextension/jupyter_server_config.d/nbplat.json"
    installed = Path(sys.prefix) / "etc/jupyter/jupyter_server_config.d/nbplat.json"

    assert {"ServerApp": {"jpserver_extensions": {"nbplat.ui.server": True}}} == json.loads(packaged.read_text())
    assert packaged.read_text() == installed.read_text()


def test_the_page_is_of_the_same_version() -> None:
    """The panel compares its version with the server extension's: it must be the package's own."""
    page = (Path(__file__).parents[2] / "labextension/src/version.ts").read_text()

    assert f"VERSION = '{version()}'" in page
