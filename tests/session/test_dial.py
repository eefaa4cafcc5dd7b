"""Calls of drivers on a cluster: who is let in, who is believed, and that nothing is lost between."""

from __future__ import annotations

import json
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.driver.dialled import DialledLine
from nbplat.adapters.driver.hub import Hub, write_spec
from nbplat.adapters.driver.managers import Kubernetes, Standing, Yarn
from nbplat.errors import RemoteError, SetupError
from nbplat.remote import PROTOCOL
from nbplat.remote.driver.arrow_pages import page_path
from nbplat.remote.driver.dial import Dialer, tls_call
from nbplat.remote.driver.tls_pipe import plain_end
from nbplat.remote.socket_wire import receive, send
from nbplat.session.changes import changes_of
from nbplat.session.results import ROWS
from tests.fixtures.drivers import python_session
from tests.fixtures.toy_cluster import ToyCluster
from tests.fixtures.waiting import wait_until


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub(tmp_path / "run", tmp_path / "sessions", "127.0.0.1")
    yield made
    made.close()


def known(tmp_path: Path) -> None:
    """A session whose driver is told the token ``first``."""
    folder = tmp_path / "sessions" / "7"
    folder.mkdir(parents=True)
    write_spec(folder, {"token": "t", "dial_tokens": ["first"], "renewed": False})


def greeted(where: dict[str, Any], hello: dict[str, Any]) -> dict[str, Any]:
    """What the hub answers to a greeting."""
    with tls_call(where["host"], where["port"], where["fingerprint"]) as tls:
        send(tls, hello)
        found = receive(tls)
    assert found is not None
    return found[0]


class Serves:
    """Stands for a driver's control: keeps the connection that it was given until it ends."""

    def __init__(self) -> None:
        self.given: list[socket.socket] = []

    def serve(self, connection: socket.socket) -> None:
        self.given.append(connection)
        connection.recv(1)
        connection.close()


def test_a_driver_that_knows_its_token_is_let_in(hub: Hub, tmp_path: Path) -> None:
    """Its connection is there for whoever asks, once; a call after the line broke is let in again."""
    known(tmp_path)
    serves = Serves()
    dialer = Dialer({**hub.open(), "session": 7, "token": "first"}, serves, print)  # type: ignore[arg-type]
    try:
        first = wait_until(lambda: hub.take(7), what="a call")
        assert hub.take(7) is None
        assert first is not None
        first.close()
        again = wait_until(lambda: hub.take(7), what="another call")
        assert again is not None
        again.close()
    finally:
        dialer.close()


@pytest.mark.parametrize(
    "hello",
    [
        {"session": 7, "token": "other"},
        {"session": 7, "token": ""},
        {"session": 8, "token": "first"},
        {"session": "../7", "token": "first"},
        {"session": 7},
        {"token": "first"},
    ],
)
def test_whoever_knows_no_token_is_refused(hub: Hub, tmp_path: Path, hello: dict[str, Any]) -> None:
    """With nothing said of why, and no connection is kept."""
    known(tmp_path)
    with tls_call(*hub.open().values()) as tls:
        send(tls, hello)
        found = receive(tls)
    assert found is None or found[0] == {"refused": "token"}
    assert hub.take(7) is None


def test_a_greeting_without_end_is_refused(hub: Hub, tmp_path: Path) -> None:
    """A length that no greeting has ends the call before anything is read."""
    known(tmp_path)
    with tls_call(*hub.open().values()) as tls:
        tls.sendall(b"\xff" * 16)
        assert b"" == tls.recv(1)


def test_the_first_token_is_worth_nothing_later(hub: Hub, tmp_path: Path) -> None:
    """It has passed through a cluster's files: the driver is given another with its first call."""
    known(tmp_path)
    where = hub.open()
    second = greeted(where, {"session": 7, "token": "first"})["welcome"]["token"]
    assert second != "first"
    # A driver that died before it heard of the second may still come with the first.
    assert second == greeted(where, {"session": 7, "token": "first"})["welcome"]["token"]
    folder = tmp_path / "sessions" / "7"
    spec = json.loads((folder / "spec.json").read_text())
    write_spec(folder, {**spec, "renewed": True, "dial_tokens": spec["dial_tokens"][-1:]})
    assert {"refused": "token"} == greeted(where, {"session": 7, "token": "first"})
    assert second == greeted(where, {"session": 7, "token": second})["welcome"]["token"]


def test_another_service_is_not_believed(hub: Hub, tmp_path: Path) -> None:
    """A driver tells its token to the holder of one certificate only."""
    where = hub.open()
    with pytest.raises(ConnectionError, match="another certificate"):
        tls_call(where["host"], where["port"], "0" * 64)


def test_port_and_certificate_stay_over_a_restart(hub: Hub, tmp_path: Path) -> None:
    """Drivers that run know both; nobody else may read the key."""
    where = hub.open()
    hub.close()
    again = Hub(tmp_path / "run", tmp_path / "sessions", "127.0.0.1")
    assert where == again.open()
    again.close()
    assert 0o600 == stat.S_IMODE((tmp_path / "run" / "dial.pem").stat().st_mode)


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    """With the setting that changes it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        hub = Hub(tmp_path / "run", tmp_path, "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(SetupError, match="cannot be listened on") as caught:
            hub.open()
    assert "session.dial_port" in caught.value.fix


def test_everything_comes_through_both_ways_at_once(hub: Hub, tmp_path: Path) -> None:
    """Megabytes in both directions over one connection, each byte in its place, and the end is seen."""
    known(tmp_path)
    tls = tls_call(*hub.open().values())
    send(tls, {"session": 7, "token": "first"})
    assert receive(tls) is not None
    there = plain_end(tls)
    here = wait_until(lambda: hub.take(7), what="the call")
    assert here is not None
    data = bytes(range(256)) * 20_000
    got: dict[str, bytes] = {}

    def exchange(name: str, end: socket.socket) -> None:
        sender = threading.Thread(target=end.sendall, args=(data,))
        sender.start()
        pieces = []
        while sum(map(len, pieces)) < len(data):
            pieces.append(end.recv(1 << 16))
        sender.join()
        got[name] = b"".join(pieces)

    threads = [threading.Thread(target=exchange, args=pair) for pair in (("here", here), ("there", there))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (data, data) == (got["here"], got["there"])
    there.close()
    assert b"" == here.recv(1)
    here.close()


@pytest.mark.process
def test_a_driver_that_no_service_speaks_to_ends_itself(tmp_path: Path) -> None:
    """Nothing holds a cluster's container for ever."""
    hub = Hub(tmp_path / "run", tmp_path / "sessions", "127.0.0.1")
    drivers = ToyCluster(tmp_path / "sessions", hub, alone_s=0.4)
    conf = {"spark.master": "yarn", "spark.submit.deployMode": "cluster"}
    driver = drivers.start(python_session(3, conf=conf))
    pid = wait_until(lambda: _text(tmp_path / "sessions" / "container-3" / "pid"), what="the driver starts")
    # It has no service from the beginning: it is let in, and nobody asks for its line.
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(int(pid)), what="the driver ends")
    drivers.kill(driver)
    drivers.close()


@pytest.mark.process
def test_the_manager_is_asked_seldom(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer takes a JVM: looks at a quiet driver that follow one another at once share one."""
    drivers = ToyCluster(tmp_path / "sessions", hub, quiet_s=0.0)
    asked: list[Any] = []
    monkeypatch.setattr(drivers._applications, "look", asked.append)
    driver = drivers.start(python_session(4, conf={"spark.master": "yarn", "spark.submit.deployMode": "cluster"}))
    try:
        wait_until(lambda: drivers.lives(driver) and asked, what="the manager is asked")
        assert [True] * 20 == [drivers.lives(driver) for _ in range(20)]
        assert 1 == len(asked)
    finally:
        drivers.kill(driver)


@pytest.mark.parametrize("answers", ["refuses", "hangs up"])
def test_rows_that_the_line_did_not_bring_are_not_taken_for_fetched(tmp_path: Path, answers: str) -> None:
    """A page that made room for others is gone; a line that breaks takes its row along, which comes again."""
    here, there = socket.socketpair()
    output = {"data": {ROWS: {"pages": [{"rows": 1}]}}}

    def driver() -> None:
        assert receive(there) is not None
        send(there, {"hello": {"protocol": PROTOCOL}})
        send(there, {"events": [{"seq": 1, "event": "done", "id": 0, "output": output}]})
        asked = receive(there)
        assert asked is not None
        assert "page" == asked[0]["ask"]
        if answers == "refuses":
            send(there, {"ref": asked[0]["ref"], "error": "FileNotFoundError: made room"})
        there.close()

    thread = threading.Thread(target=driver)
    thread.start()
    ends: list[str] = []
    line = DialledLine(here, "t", 0, tmp_path, ended=lambda: ends.append("ended"))
    try:
        if answers == "refuses":
            assert [1] == [event["seq"] for row in line.events() for event in row]
        else:
            with pytest.raises(RemoteError):
                list(line.events())
        assert not page_path(str(tmp_path), 0, 0).exists()
        assert [] == ends
    finally:
        line.close()
        thread.join(60)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_lines_of_a_log_are_no_use_of_a_session() -> None:
    """They are counted, so that none is told twice, and wake nobody; what a statement does, does."""
    logged = changes_of([{"seq": 8, "event": "log", "lines": ["INFO nothing new"]}], 7)
    assert (8, True) == (logged.last_seq, logged.nothing)
    assert not changes_of([{"seq": 8, "event": "state", "state": "idle"}], 7).nothing


_REPORT = """Application Report :
\tApplication-Id : application_1_0002
\tState : {state}
\tFinal-State : {final}
\tDiagnostics : {said}
"""


@pytest.mark.parametrize(
    ("answer", "standing"),
    [
        (_REPORT.format(state="RUNNING", final="UNDEFINED", said=""), (False, None)),
        (_REPORT.format(state="FINISHED", final="SUCCEEDED", said=""), (True, 0)),
        (_REPORT.format(state="KILLED", final="KILLED", said="killed by user ann"), (True, None)),
        (_REPORT.format(state="FAILED", final="FAILED", said="AM exited with exitCode: -104"), (True, -104)),
        ("Application with id 'application_1_0002' doesn't exist in RM or Timeline Server.", (True, None)),
    ],
)
def test_yarns_answers_are_understood(answer: str, standing: tuple[bool, int | None]) -> None:
    """State, exit code and what it says of the end."""
    found = Yarn().standing(answer)
    assert found is not None
    assert standing == (found.ended, found.code)


def test_an_answer_that_is_none_ends_no_session() -> None:
    """A manager that is away has said nothing of the application."""
    assert Yarn().standing("java.net.ConnectException: Connection refused") is None
    assert Kubernetes("k8s://a", "x").standing("Unable to connect") is None


def test_kubernetes_answers_are_understood() -> None:
    """By the phase of the driver's pod."""
    pods = Kubernetes("k8s://a", "x")
    assert Standing(False, None, "Kubernetes: the driver's pod is Running") == pods.standing("\t phase: Running\n")
    assert (True, 137) == pods.standing("\t phase: Failed\n\t exit code: 137\n")[:2]  # type: ignore[index]
    for gone in ("Application not found.", "No applications found."):
        assert Standing(True, None, "Kubernetes does not know the driver's pod any more") == pods.standing(gone)
    assert "spark:nbplat-1" == pods.application("", {"pod": "spark:nbplat-1"})


def test_the_first_application_of_a_submission_is_its_own() -> None:
    """It is named before it is asked for, so that one that was made is never overlooked."""
    log = "INFO Client: Submitting application application_17_0042 to ResourceManager"
    assert "application_17_0042" == Yarn().application(log, {})
    assert "" == Yarn().application("INFO Client: Uploading resource", {})
