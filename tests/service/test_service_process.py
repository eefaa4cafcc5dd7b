"""The service as a process: found, started once, restarted, refused, stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from nbplat.adapters.store import open_store
from nbplat.clock import SystemClock
from nbplat.config import Config
from nbplat.errors import RemoteError, RequestError, SetupError
from nbplat.service.discovery import environ_of, module_command, read_info, worker_lock, write_info
from nbplat.service.lock import holder_of
from nbplat.ui.client import ServiceClient, find_or_start, stop_service
from tests.fixtures.service import TOY, processes_of
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process

FIND = (
    "import sys; from nbplat.config import load_config; from nbplat.ui.client import find_or_start;"
    "c = find_or_start(load_config(), factory=sys.argv[1]); print(c.url, c.get('/api/v1/status')['service']['pid'])"
)


def test_racing_starts_make_one_service(service_config: Config) -> None:
    """Three processes that need a service at once get the same one, with one worker."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", FIND, TOY], env=environ_of(service_config), stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    answers = {racer.communicate(timeout=60)[0] for racer in racers}
    assert {0} == {racer.returncode for racer in racers}
    assert 1 == len(answers)
    wait_until(lambda: holder_of(worker_lock(service_config)), what="a worker")
    assert 2 == len(processes_of(service_config))


def test_only_the_owner_can_read_and_no_log_holds_the_token(service_config: Config) -> None:
    """Folders are 0700, files with secrets and logs 0600, and the token is in service.json alone."""
    client = find_or_start(service_config, factory=TOY)
    token = (read_info(service_config) or {})["token"]
    client.get("/api/v1/events", run_id=token)
    with pytest.raises(RequestError):
        ServiceClient(client.url, token + "x").get("/api/v1/status")
    wait_until(lambda: holder_of(worker_lock(service_config)), what="a worker")
    stop_service(service_config)
    home = service_config.home
    assert {0o700} == {stat.S_IMODE((home / name).stat().st_mode) for name in ("", "run", "logs")}
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in files}
    assert ["service.json"] == [path.name for path in files if token.encode() in path.read_bytes()]


def test_port_and_token_stay_and_a_taken_port_is_refused(service_config: Config) -> None:
    """A restart answers under the same address and token; when another program has the port, the error names it."""
    find_or_start(service_config, factory=TOY)
    stop_service(service_config)
    before = read_info(service_config) or {}
    port = before["port"]
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        with pytest.raises(SetupError, match=rf"port {port} .*taken") as caught:
            find_or_start(service_config, factory=TOY)
    assert caught.value.code == "service.port_taken"
    if sys.platform == "linux":
        assert str(os.getpid()) in caught.value.message
    assert find_or_start(service_config, factory=TOY).url == before["url"]
    after = read_info(service_config) or {}
    assert before["token"] == after["token"]
    assert before["pid"] != after["pid"]


def test_a_newer_state_folder_is_refused_by_the_start(service_config: Config) -> None:
    """The service's own reason reaches the one who needed it, and nothing is left running."""
    store = open_store(service_config, clock=SystemClock())
    with store._db.write() as write:
        write.connection.exec_driver_sql("UPDATE nbplat_schema SET version_num = '9999'")
    store.close()
    with pytest.raises(SetupError, match="written by a newer nbplat") as caught:
        find_or_start(service_config, factory=TOY)
    assert caught.value.code == "store.newer"
    assert [] == processes_of(service_config)


def test_a_start_that_breaks_shows_its_log(service_config: Config) -> None:
    """A platform that cannot be imported ends the start with an error and a log id, at once."""
    with pytest.raises(Exception, match=r"internal\.bug") as caught:
        find_or_start(service_config, factory="no_such_module:open_platform")
    detail = getattr(caught.value, "detail_id", None)
    assert detail
    assert detail in (service_config.home / "logs" / "service.log").read_text()


def test_another_version_is_told(service_config: Config) -> None:
    """A client meets a running service of another version with a clear message."""
    find_or_start(service_config, factory=TOY)
    write_info(service_config, {**(read_info(service_config) or {}), "version": "9.9"})
    with pytest.raises(SetupError, match=r"is nbplat 9\.9"):
        find_or_start(service_config, factory=TOY)


def test_a_teams_service_by_url(service_config: Config, tmp_path: Path) -> None:
    """service.url and a token file reach a service that this machine did not start; a wrong one is told."""
    local = find_or_start(service_config, factory=TOY)
    token = tmp_path / "token"
    token.write_text((read_info(service_config) or {})["token"] + "\n")
    team = replace(service_config, service_url=local.url, service_token_file=str(token))
    assert find_or_start(team).get("/api/v1/health") == {"status": "ok"}
    token.write_text("wrong")
    with pytest.raises(RequestError, match="token"):
        find_or_start(team)
    stop_service(service_config)
    with pytest.raises(RemoteError, match="NBPLAT_URL"):
        find_or_start(team)
    with pytest.raises(RequestError, match="token file"):
        find_or_start(replace(team, service_token_file=str(tmp_path / "none")))


def test_the_foreground_service_stops_on_a_signal(service_config: Config) -> None:
    """nbplat serve says its address, refuses a second one, and ends within seconds while a long poll waits."""
    command = module_command("nbplat.service.main", "--foreground", "--platform", TOY)
    service_config.home.mkdir()
    environ = environ_of(service_config)
    serving = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert serving.stdout is not None
    info = read_info(service_config) if "nbplat serves at" in serving.stdout.readline() else None
    assert info is not None
    second = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert (2, "service.running") == (second.returncode, json.loads(second.stdout)["code"])
    client = ServiceClient(info["url"], info["token"])
    answered: list[object] = []
    poll = threading.Thread(target=lambda: answered.append(client.get("/api/v1/events", wait_s=30)))
    poll.start()
    wait_until(lambda: holder_of(worker_lock(service_config)), what="a worker")
    serving.send_signal(signal.SIGTERM)
    assert 0 == serving.wait(10)
    poll.join(10)
    assert [{"events": [], "next_after": 0}] == answered
    serving.stdout.close()
    assert [] == processes_of(service_config)


def test_an_open_bind_needs_tls_or_the_flag(service_config: Config) -> None:
    """Another address than loopback is refused before anything listens."""
    everywhere = replace(service_config, service_host="0.0.0.0")  # noqa: S104
    with pytest.raises(SetupError, match=r"service\.tls_cert"):
        find_or_start(everywhere, factory=TOY)
    # It has said why and is about to end.
    wait_until(lambda: not processes_of(service_config), what="the end of the service that was refused")
    find_or_start(replace(everywhere, service_allow_plain=True), factory=TOY)
