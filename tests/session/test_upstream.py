"""Sessions on another Livy server: logins by reference, what was cut short, and ends that are truly told."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbplat.adapters.driver.upstream_http import LivyAnswer, LivyHttp, secret_of
from nbplat.errors import RemoteError, SetupError
from tests.fixtures.backends import Backend, Stage
from tests.fixtures.served_livy import served_livy
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A service whose sessions run on another server."""
    with served_livy(tmp_path_factory.mktemp("upstream")) as options:
        made = Stage(Backend("livy", options=options), tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("s"))
        yield made
        for session in made.sessions.store.sessions(limit=100)[1]:
            made.sessions.delete(session.id)
        made.close()


@pytest.fixture
def http(stage: Stage) -> LivyHttp:
    config = stage.platform.config
    return LivyHttp(config.session_master.removeprefix("livy+"), "nbplat", config.session_livy_password)


def test_a_login_is_named_by_reference_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or a variable, whose value is never shown; anything else is refused."""
    (tmp_path / "secret").write_text("open sesame\n")
    monkeypatch.setenv("NBTEST_SECRET", "open")
    assert ("open sesame", "open") == (secret_of(f"file:{tmp_path}/secret"), secret_of("env:NBTEST_SECRET"))
    for reference in ("open sesame", "file:/nowhere/at-all", "env:NBTEST_NOT_SET"):
        with pytest.raises(SetupError) as caught:
            secret_of(reference)
        assert "session.livy_password" == caught.value.code
        assert "open sesame" not in str(caught.value)


def test_a_session_that_the_server_does_not_start_says_why(stage: Stage, http: LivyHttp) -> None:
    """Its answer is the session's error."""
    with pytest.raises(LivyAnswer) as caught:
        LivyHttp(http.url, "nbplat", "").get("/sessions")
    assert 401 == caught.value.status
    with pytest.raises(RemoteError, match="does not answer"):
        LivyHttp("http://127.0.0.1:9", "nbplat", "").get("/sessions")


def test_the_end_there_is_the_end_here(stage: Stage, http: LivyHttp) -> None:
    """A session that somebody else ends is dead here, with a reason, and its statement ends."""
    session = stage.sessions.start(stage.draft())
    stage.run(session, "1")
    running = stage.sessions.submit(session.id, "import time\ntime.sleep(600)", "pyspark")
    wait_until(lambda: stage.sessions.store.statement(session.id, running.id).state == "running", what="it runs")
    http.call("DELETE", f"/sessions/{stage.sessions.store.session(session.id).driver['pid']}")
    assert "SessionDied" == (stage.ended(running).output or {})["ename"]
    wait_until(lambda: stage.sessions.store.session(session.id).state == "dead", what="it is dead")


def test_what_livy_lacks_is_said(stage: Stage) -> None:
    """A job ends with an error that says so; a DataFrame is refused before it is sent."""
    session = stage.sessions.start(stage.draft())
    stage.run(session, "1")
    job = stage.run(session, base64.b64encode(b"x").decode(), "job")
    assert job.output is not None
    assert "sessions on another Livy server have no jobs" == job.output["evalue"]
    with pytest.raises(RemoteError, match="take no DataFrames"):
        stage.sessions.new_frame(session.id)
    assert "2" == stage.value(session, "1 + 1")


def test_a_start_that_was_not_written_down_is_no_twin(stage: Stage, http: LivyHttp) -> None:
    """The session that an earlier try has made there is found by its name."""
    session = stage.sessions.store.add_session(stage.draft())
    first = stage.sessions._drivers.start(session)
    again = stage.sessions._drivers.start(session)
    assert first["pid"] == again["pid"]
    stage.sessions.store.set_driver(session.id, again)


def test_a_statement_whose_sending_was_cut_short_runs_once(stage: Stage, http: LivyHttp) -> None:
    """Found there by its code, or sent when it never arrived."""
    session = stage.sessions.start(stage.draft())
    stage.run(session, "count = 0")
    driver = stage.sessions.store.session(session.id).driver
    live = stage.sessions._live[session.id]
    live.close()
    for arrived in (True, False):
        code = f"count += 1\n{arrived}"
        written = stage.sessions.store.add_statement(session.id, code, "pyspark")
        sent = Path(driver["folder"], "sent.json")
        kept = json.loads(sent.read_text())
        sent.write_text(json.dumps({**kept, "last": written.id, "open": {str(written.id): None}, "code": code}))
        if arrived:
            http.post(f"/sessions/{driver['pid']}/statements", {"code": code, "kind": "pyspark"})
        stage.sessions._follow(session.id)
        stage.ended(written)
        stage.sessions._live[session.id].close()
    stage.sessions._follow(session.id)
    assert "2" == stage.value(session, "count")
