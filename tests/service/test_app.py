"""The HTTP face, without a process: tokens, hosts, errors as records, pages."""

from __future__ import annotations

import base64
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI

from nbplat.config import Config, load_config
from nbplat.errors import DataError, RequestError
from nbplat.job import NOTEBOOK_VARIABLE, JobDraft, RunDraft, asked_from, asking_from
from nbplat.service.app import make_app
from nbplat.service.auth import is_loopback
from nbplat.service.callers import read_header
from nbplat.service.discovery import NOTEBOOK_HEADER
from nbplat.service.routes.iceberg import catalog_token
from nbplat.service.routes.jobs import read_log
from nbplat.service.routes.sessions import router
from nbplat.session.records import SessionDraft
from tests.fixtures.asgi import AsgiClient
from tests.fixtures.toy_platform import ToyPlatform

TOKEN = "t0ken-of-this-test"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    (tmp_path / "r").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "r"))
    options = {"home": str(tmp_path / "home")}
    return load_config(options, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")


@pytest.fixture
def platform(config: Config) -> Iterator[ToyPlatform]:
    opened = ToyPlatform(config)
    yield opened
    opened.close()


@pytest.fixture
def app(platform: ToyPlatform) -> FastAPI:
    return make_app(platform, TOKEN, worker=lambda: {"state": "running", "pid": 1})


@pytest.fixture
def http(app: FastAPI) -> AsgiClient:
    return AsgiClient(app, base_url="http://127.0.0.1:1", headers=BEARER)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (basic("anyone", TOKEN), 200),
        (basic("", TOKEN), 200),
        (basic(TOKEN, "wrong"), 401),
        ("Bearer wrong", 401),
        ("Bearer ", 401),
        ("Basic %%%", 401),
        (f"Digest {TOKEN}", 401),
        ("", 401),
    ],
)
def test_the_token_comes_as_bearer_or_basic_password(http: AsgiClient, authorization: str, status: int) -> None:
    """Everything else is refused with the record and a challenge; health needs nothing."""
    reply = http.get("/api/v1/status", headers={"Authorization": authorization})
    assert status == reply.status_code
    if status == 401:
        assert reply.json()["code"] == "service.token"
        assert "Basic" in reply.headers["www-authenticate"]
    assert http.get("/api/v1/health", headers={"Authorization": authorization}).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/api/v1/jobs", "/nowhere", "/"])
def test_nothing_else_is_open(app: FastAPI, path: str) -> None:
    """Without a token one cannot even learn which routes exist."""
    assert AsgiClient(app, base_url="http://localhost").get(path).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8", 200),
        ("[::1]:8", 200),
        ("127.0.0.1", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
    ],
)
def test_a_foreign_host_name_is_refused_on_loopback(http: AsgiClient, host: str, status: int) -> None:
    """A web page that resolves its own name to this machine (DNS rebinding) gets nothing, health included."""
    for path in ("/api/v1/health", "/api/v1/version"):
        assert status == http.get(path, headers={"Host": host}).status_code


def test_any_host_name_serves_on_an_open_bind(platform: ToyPlatform) -> None:
    """A team's service is known by names we cannot list."""
    client = AsgiClient(make_app(platform, TOKEN, loopback=False), base_url="http://nbplat.example", headers=BEARER)
    assert client.get("/api/v1/version").json()["api"] == "v1"


def test_the_catalogs_token_opens_only_the_catalog(http: AsgiClient) -> None:
    """An engine's token is worth nothing elsewhere, and the catalog is not open without one."""
    scoped = {"Authorization": f"Bearer {catalog_token(TOKEN)}"}
    codes = [http.get(path, headers=scoped).status_code for path in ("/iceberg/v1/config", "/icebergx", "/api/v1/runs")]
    assert codes == [200, 401, 401]
    assert http.get("/iceberg/v1/config", headers={"Authorization": ""}).status_code == 401
    assert http.get("/iceberg/v1/config", headers={**scoped, "Host": "evil.example"}).status_code == 400


def test_every_error_is_a_record(app: FastAPI, http: AsgiClient, caplog: pytest.LogCaptureFixture) -> None:
    """Ours keep class and status; so have unknown paths, bad values and bugs; a bug's text stays in the log."""

    @app.get("/api/v1/broken")
    def broken() -> None:
        raise KeyError("secret text")

    @app.get("/api/v1/dirty")
    def dirty() -> None:
        raise DataError("data.dirty", "dirty", fix="clean it")

    expected = {
        "/api/v1/dirty": (422, "data.dirty"),
        "/api/v1/jobs/j9": (404, "job.unknown"),
        "/api/v1/runs/toy/toy@1": (404, "run.unknown"),
        "/api/v1/nowhere": (404, "route.unknown"),
        "/api/v1/events?after=-1": (400, "request.invalid"),
        "/api/v1/jobs?state=odd": (400, "request.invalid"),
        "/api/v1/broken": (500, "internal.bug"),
    }
    with caplog.at_level(logging.ERROR):
        replies = {path: http.get(path) for path in expected}
    assert expected == {path: (reply.status_code, reply.json()["code"]) for path, reply in replies.items()}
    assert {"kind", "code", "message", "fix", "where", "detail_id"} == set(replies["/api/v1/broken"].json())
    assert "secret text" not in replies["/api/v1/broken"].text
    assert replies["/api/v1/broken"].json()["detail_id"] in caplog.text
    refused = http.post("/api/v1/version")
    assert (405, "request.refused") == (refused.status_code, refused.json()["code"])


def test_runs_jobs_and_events_are_read(http: AsgiClient, platform: ToyPlatform) -> None:
    """The routes give what the ledger holds; cancelling a queued job settles its run at once."""
    run, _ = platform.store.open_run(RunDraft("toy", "t", "a" * 64, "staged", frozenset(), {"s": 1}, {}, "ann"))
    job, _ = platform.store.submit(JobDraft("toy.count", run.id, {"n": 1}), kind_of_run="toy", owner="ann")
    assert http.get("/api/v1/runs", params={"kind": "toy", "name": "t"}).json()["runs"][0]["spec"] == {"s": 1}
    assert http.get("/api/v1/runs/toy/t@1").json()["state"] == "staged"
    assert [job.id] == [j["id"] for j in http.get("/api/v1/jobs?state=queued&state=running").json()["jobs"]]
    assert http.get(f"/api/v1/jobs/{job.id}/wait?wait_s=0").json()["ended"] is False
    assert http.get(f"/api/v1/jobs/{job.id}/log").json() == {"text": "", "next_offset": 0, "size": 0}
    assert http.post(f"/api/v1/jobs/{job.id}/cancel").json()["state"] == "cancelled"
    assert http.get("/api/v1/runs/toy/t@1").json()["state"] == "planned"
    events = http.get("/api/v1/events", params={"after": 1, "run_id": "t@1", "limit": 2}).json()
    assert ["job.submitted", "job.cancelled"] == [event["kind"] for event in events["events"]]
    assert events["next_after"] == events["events"][-1]["seq"]
    status = http.get("/api/v1/status").json()
    assert ({"queued": 0, "running": 0, "paused": 0}, "embedded") == (status["jobs"], status["catalog"])


def test_the_pages_are_self_contained(http: AsgiClient) -> None:
    """The docs page lists every route and fetches nothing from elsewhere."""
    page = http.get("/docs").text
    assert "/api/v1/jobs/{job_id}/cancel" in page
    assert "://" not in page
    assert "<script" not in page
    assert all(path.startswith("/api/v1/") for path in http.get("/openapi.json").json()["paths"])


def test_requests_are_logged_without_their_query(http: AsgiClient, caplog: pytest.LogCaptureFixture) -> None:
    """The access log holds method, path and status only."""
    with caplog.at_level(logging.INFO, "nbplat.http"):
        http.get("/api/v1/events", params={"run_id": "s3cret"})
    assert "GET /api/v1/events 200" in caplog.text
    assert "s3cret" not in "".join(r.getMessage() for r in caplog.records if r.name.startswith("nbplat"))


def test_importing_the_app_loads_no_engine() -> None:
    """The service starts without pyiceberg, duckdb, pandas or pyarrow."""
    code = "import sys, nbplat.service.app; print({'pyiceberg', 'duckdb', 'pandas', 'pyarrow'} & set(sys.modules))"
    assert "set()\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_a_log_is_read_in_whole_characters(tmp_path: Path) -> None:
    """A character on the border of a piece comes with the next; broken bytes do not stop a reader."""
    path = tmp_path / "log"
    path.write_bytes("aé€😀z".encode() + b"\xff\xfe!")
    text, offset = "", 0
    while (piece := read_log(path, offset, 4))["text"]:
        text, offset = text + piece["text"], piece["next_offset"]
    assert "aé€😀z\ufffd\ufffd!" == text
    assert offset == piece["size"] == path.stat().st_size
    with pytest.raises(Exception, match="past the end"):
        read_log(path, offset + 1, 4)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("", False)],  # noqa: S104
)
def test_loopback_is_told_from_the_rest(host: str, loopback: bool) -> None:
    """An empty host and the any-address are not loopback."""
    assert loopback == is_loopback(host)


def test_a_basic_password_may_hold_colons() -> None:
    """Only the first colon parts user and password."""
    sent = read_header(basic("u", "a:b"))
    assert sent is not None
    assert ("u", "a:b") == (sent.user, sent.secret)


def test_a_huge_body_about_sessions_is_refused(platform: ToyPlatform, tmp_path: Path) -> None:
    """A program of 100 MB is turned away with a record while it is read; a frame has its own cap."""
    sessions = platform.open_sessions(tmp_path)
    routes = router(sessions, lambda fields, owner: SessionDraft("python", "", owner, "", fields, {}))
    http = AsgiClient(make_app(platform, TOKEN, sessions=routes), base_url="http://127.0.0.1:1", headers=BEARER)

    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"code": "'
        for _ in range(100):
            yield b"x" * (1 << 20)
        yield b'"}'

    reply = http.post("/api/v1/sessions/1/statements", content=pieces())
    assert (413, "request.size") == (reply.status_code, reply.json()["code"])
    frame = http.post("/api/v1/sessions/1/frames", params={"name": "x"}, content=pieces())
    assert (404, "session.unknown") == (frame.status_code, frame.json()["code"])
    sessions.close()


def test_a_run_knows_the_notebook_of_its_kernel(
    platform: ToyPlatform, http: AsgiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process it is what its front end told the kernel, in a service what is said; no path of one is none."""
    monkeypatch.setenv(NOTEBOOK_VARIABLE, "/home/ann/here.ipynb")

    def opened(name: str) -> str:
        draft = RunDraft("training", name, name, "kept", frozenset(), {"join": {"base": "a.b"}}, {}, "ann")
        return platform.store.open_run(draft)[0].notebook

    assert "/home/ann/here.ipynb" == opened("kernel")
    for told, kept in (("/home/ann/é.ipynb", "/home/ann/é.ipynb"), ("", ""), ("/etc/passwd", ""), ("a\nb.ipynb", "")):
        with asking_from(told):
            assert kept == opened("service")

    platform.store.open_run(RunDraft("sequence", "s", "s", "kept", frozenset(), {"record": {"source": "a.c"}}, {}, ""))
    runs = {run["id"]: run for run in http.get("/api/v1/board").json()["runs"]}
    assert ("a.b", "/home/ann/here.ipynb") == (runs["kernel@1"]["table"], runs["kernel@1"]["notebook"])
    assert "a.c" == runs["s@1"]["table"]


def test_a_request_says_its_notebook(platform: ToyPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header of a request is where its work is asked from; without it nowhere, whatever the service runs in."""
    monkeypatch.setenv(NOTEBOOK_VARIABLE, "/home/ann/here.ipynb")
    sessions, heard = platform.open_sessions(tmp_path), []

    def draft(fields: dict[str, Any], owner: str) -> SessionDraft:
        heard.append(asked_from())
        raise RequestError("toy.refused", "not here", fix="elsewhere")

    app = make_app(platform, TOKEN, sessions=router(sessions, draft))
    http = AsgiClient(app, base_url="http://127.0.0.1:1", headers=BEARER)
    for said in ({NOTEBOOK_HEADER: quote("/home/ann/é 1.ipynb")}, {}):
        assert 400 == http.post("/api/v1/sessions", json={}, headers=said).status_code
    assert ["/home/ann/é 1.ipynb", ""] == heard
    sessions.close()
