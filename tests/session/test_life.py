"""How long sessions live, on a clock that the test moves, over real drivers (plain Python)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.driver import LocalDrivers
from nbplat.adapters.store import open_store
from nbplat.config import load_config
from nbplat.errors import NotFound
from nbplat.session.life import Limits, is_parked
from nbplat.session.records import Session, SessionDraft
from nbplat.session.sessions import Sessions
from nbplat.session.states import FINAL, SessionState
from nbplat.testing import FakeClock
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sessions(tmp_path: Path, sockets: Path, clock: FakeClock) -> Iterator[Sessions]:
    config = load_config({"home": str(tmp_path / "home")}, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")
    store = open_store(config, clock=clock)
    drivers = LocalDrivers(tmp_path / "sessions", sockets, tmp_path / "remote", alone_s=600.0)
    opened = Sessions(store, drivers, clock=clock, limits=Limits(idle_s=0, park_s=1000, keep_s=600))
    yield opened
    for session in store.sessions(limit=1000)[1]:
        opened.delete(session.id)
    opened.close()
    store.close()


def start(sessions: Sessions, **fields: Any) -> Session:
    session = sessions.start(SessionDraft("python", "", "ann", "", fields, {}))
    wait_until(lambda: sessions.store.session(session.id).state == "idle", what="it is idle")
    return session


def ends_with(sessions: Sessions, session: Session) -> str:
    sessions.look()
    found = sessions.store.session(session.id)
    assert SessionState.DEAD is found.state
    assert not sessions._drivers.lives(found.driver)
    assert found.reason is not None
    return str(found.reason["code"])


def test_a_session_ends_at_its_ttl_whatever_it_does(sessions: Sessions, clock: FakeClock) -> None:
    """Its age counts, not its use; a statement that runs ends with it."""
    session = start(sessions, ttl="10m")
    clock.advance(599)
    sessions.look()
    assert SessionState.IDLE is sessions.store.session(session.id).state
    running = sessions.submit(session.id, "import time\ntime.sleep(600)", "pyspark")
    clock.advance(2)
    assert "session.ttl" == ends_with(sessions, session)
    assert sessions.store.statement(session.id, running.id).state in FINAL


def test_an_unused_session_ends_at_its_idle_timeout(sessions: Sessions, clock: FakeClock) -> None:
    """Somebody who asks, and a statement that runs or has just ended, count as use."""
    session = start(sessions, idleTimeout="60s")
    clock.advance(50)
    sessions.find(str(session.id))
    clock.advance(50)
    running = sessions.submit(session.id, "import time\nwhile 'go' not in globals(): time.sleep(0.01)", "pyspark")
    clock.advance(500)
    sessions.look()
    assert sessions.store.session(session.id).state not in (SessionState.DEAD, SessionState.SHUTTING_DOWN)
    sessions.cancel(session.id, running.id)
    wait_until(lambda: sessions.store.statement(session.id, running.id).state in FINAL, what="it ends")
    clock.advance(61)
    assert "session.idle" == ends_with(sessions, session)


def test_heartbeat_loss_parks_a_session_and_its_client_finds_it_again(sessions: Sessions, clock: FakeClock) -> None:
    """A laptop that slept ten minutes goes on; only after the grace the session ends."""
    session = start(sessions, heartbeatTimeoutInSecond=60)
    clock.advance(600)
    sessions.look()
    found = sessions.store.session(session.id)
    assert (SessionState.IDLE, True) == (found.state, is_parked(found, clock.now_ms()))
    sessions.find(str(session.id))
    assert not is_parked(sessions.store.session(session.id), clock.now_ms())
    clock.advance(1059)
    sessions.look()
    assert SessionState.IDLE is sessions.store.session(session.id).state
    clock.advance(2)
    assert "session.heartbeat" == ends_with(sessions, session)


def test_zero_turns_each_limit_off(sessions: Sessions, clock: FakeClock) -> None:
    """Without limits of its own or of the site a session lives for ever."""
    session = start(sessions, heartbeatTimeoutInSecond=0, ttl="0", idleTimeout="0s")
    clock.advance(10**8)
    sessions.look()
    found = sessions.store.session(session.id)
    assert (SessionState.IDLE, False) == (found.state, is_parked(found, clock.now_ms()))


def test_the_sites_limit_holds_where_the_request_has_none(sessions: Sessions, clock: FakeClock) -> None:
    """A session without an idle timeout of its own gets the site's."""
    sessions.limits = Limits(idle_s=100)
    session = start(sessions)
    clock.advance(101)
    assert "session.idle" == ends_with(sessions, session)


def test_an_ended_session_is_listed_for_a_while(sessions: Sessions, clock: FakeClock) -> None:
    """Ten minutes after its end it is forgotten with its folder."""
    session = start(sessions)
    sessions.end(session.id, {"code": "x", "message": "enough", "fix": ""})
    folder = Path(sessions.store.session(session.id).driver["folder"])
    clock.advance(599)
    sessions.look()
    assert "enough" == (sessions.store.session(session.id).reason or {})["message"]
    clock.advance(2)
    sessions.look()
    with pytest.raises(NotFound):
        sessions.find(str(session.id))
    assert not folder.exists()


def test_an_end_that_was_cut_short_is_finished_by_the_next_service(sessions: Sessions, clock: FakeClock) -> None:
    """The reason of a session that was being ended when the service died stays."""
    session = start(sessions)
    reason = {"code": "session.ttl", "message": "old", "fix": ""}
    sessions.close()
    sessions.store.move_session(session.id, SessionState.SHUTTING_DOWN, reason=reason)
    again = Sessions(sessions.store, sessions._drivers, clock=clock)
    again.recover()
    wait_until(lambda: again.store.session(session.id).state == "dead", what="it is dead")
    assert reason == again.store.session(session.id).reason
    again.close()


def test_the_time_without_a_service_counts_as_nobodys(sessions: Sessions, clock: FakeClock) -> None:
    """A session whose user could not ask, since no service ran, is not ended at the next start."""
    session = start(sessions, idleTimeout="60s")
    sessions.close()
    clock.advance(3600)
    again = Sessions(sessions.store, sessions._drivers, clock=clock)
    again.recover()
    again.look()
    assert SessionState.IDLE is again.store.session(session.id).state
    clock.advance(61)
    assert "session.idle" == ends_with(again, session)
    again.close()


def test_the_time_that_the_machine_slept_counts_as_nobodys(sessions: Sessions, clock: FakeClock) -> None:
    """A laptop that was closed over night, with its service on it, finds its session parked and not ended."""
    session = start(sessions, heartbeatTimeoutInSecond=60)
    clock.advance(600)
    sessions.look()
    clock.suspend(40_000)
    sessions.look()
    found = sessions.store.session(session.id)
    assert (SessionState.IDLE, True) == (found.state, is_parked(found, clock.now_ms()))
    clock.advance(1061)
    assert "session.heartbeat" == ends_with(sessions, session)


def test_a_driver_without_a_service_ends_itself(tmp_path: Path, sockets: Path, clock: FakeClock) -> None:
    """No driver waits for ever for a service that never comes; the next one says why it went."""
    config = load_config({"home": str(tmp_path / "home")}, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")
    store = open_store(config, clock=clock)
    drivers = LocalDrivers(tmp_path / "sessions", sockets, tmp_path / "remote", alone_s=0.4)
    opened = Sessions(store, drivers, clock=clock)
    session = start(opened)
    opened.close()
    driver = store.session(session.id).driver
    wait_until(lambda: not drivers.lives(driver), what="the driver has ended")
    again = Sessions(store, drivers, clock=clock)
    again.recover()
    wait_until(lambda: store.session(session.id).state == "dead", what="it is dead")
    assert "session.alone" == (store.session(session.id).reason or {})["code"]
    again.delete(session.id)
    again.close()
    store.close()
