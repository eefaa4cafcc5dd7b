"""Two services on one store, SQLite and a real PostgreSQL: one drives a session, the other when it is gone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.store import open_store
from nbplat.config import load_config
from nbplat.errors import Conflict
from nbplat.session.batch import BatchDraft, BatchState
from nbplat.session.batches import Batches
from nbplat.session.ports import Ending
from nbplat.session.records import Session, SessionDraft
from nbplat.session.sessions import Sessions
from nbplat.session.states import SessionState
from nbplat.session.tenure import Tenure
from nbplat.testing import FakeClock

TTL_S = 20.0
DRAFT = SessionDraft("python", "", "ann", "", {"driverMemory": "1g"}, {})


class Drivers:
    """Processes of one host, seen by every service on it; none of them listens."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.killed: list[int] = []

    def start(self, session: Session) -> dict[str, Any]:
        self.started.append(session.id)
        return {"pid": session.id, "folder": "f"}

    def lives(self, driver: Mapping[str, Any]) -> bool:
        return driver.get("pid") in self.started and driver["pid"] not in self.killed

    def open(self, driver: Mapping[str, Any], after: int) -> None:
        return None

    def left_behind(self, driver: Mapping[str, Any], after: int) -> list[dict[str, Any]]:
        return []

    def ending(self, driver: Mapping[str, Any]) -> Ending:
        return Ending(1, ())

    def kill(self, driver: Mapping[str, Any]) -> None:
        self.killed.append(driver["pid"])

    def remove(self, driver: Mapping[str, Any]) -> None:
        """There is no folder."""

    def log(self, driver: Mapping[str, Any], *, after: int = 0, limit: int = 1000) -> tuple[int, list[str]]:
        return 0, []


class House:
    """A store, a clock, a host's drivers, and services that come and go."""

    def __init__(self, store: Any, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.drivers = Drivers()
        self.open: list[Sessions] = []

    def service(self, name: str, host: str = "h1") -> Sessions:
        tenure = Tenure(self.store, name, host, ttl_s=TTL_S)
        drivers: Any = self.drivers if host == "h1" else Drivers()
        sessions = Sessions(self.store, drivers, clock=self.clock, tenure=tenure)
        self.open.append(sessions)
        sessions.recover()
        return sessions

    @staticmethod
    def kill(service: Sessions) -> None:
        """As by a signal: nothing is given back."""
        service._let_go()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    options = {"home": str(tmp_path / "home")}
    if request.param == "postgres":
        options["store.url"] = request.getfixturevalue("postgres_url")
    config = load_config(options, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")
    clock = FakeClock()
    store = open_store(config, clock=clock)
    made = House(store, clock)
    yield made
    for service in made.open:
        service.close()
    store.close()


def test_a_session_is_driven_by_one_service(house: House) -> None:
    """The other shows it and refuses to touch it, with the one that drives it named."""
    a, b = house.service("a"), house.service("b")
    session = a.start(DRAFT)
    b.recover()
    b.keep_tenure()
    assert ([session.id], []) == (list(a._live), list(b._live))
    assert session.id == b.find(str(session.id)).id
    for touch in (
        lambda: b.submit(session.id, "1", "pyspark"),
        lambda: b.delete(session.id),
        lambda: b.end(session.id, {"code": "x", "message": "y", "fix": ""}),
        lambda: b.complete(session.id, "x", 1),
        lambda: b.cancel(session.id, 0),
    ):
        with pytest.raises(Conflict, match="another service, a"):
            touch()
    b.look()
    assert SessionState.STARTING is house.store.session(session.id).state
    assert [] == house.drivers.killed


def test_another_service_takes_over_when_the_first_is_gone(house: House) -> None:
    """Not before its lease has lapsed; then statements go on there, and no second driver is started."""
    a, b = house.service("a"), house.service("b")
    session = a.start(DRAFT)
    house.kill(a)
    house.clock.advance(TTL_S - 1)
    b.keep_tenure()
    assert [] == list(b._live)
    house.clock.advance(2)
    b.keep_tenure()
    assert [session.id] == list(b._live) == house.drivers.started
    assert {"service": "b", "host": "h1", "driverMemory": "1g"} == dict(house.store.session(session.id).request)
    assert 0 == b.submit(session.id, "1", "pyspark").id


def test_a_service_that_was_thought_gone_lets_go(house: House) -> None:
    """It finds out with its next sign of life, leaves the session alone, and starts others as before."""
    a, b = house.service("a"), house.service("b")
    session = a.start(DRAFT)
    house.clock.advance(TTL_S + 1)
    b.keep_tenure()
    a.keep_tenure()
    assert ([], [session.id]) == (list(a._live), list(b._live))
    a.keep_tenure()
    assert [] == list(a._live)
    with pytest.raises(Conflict, match="another service, b"):
        a.submit(session.id, "1", "pyspark")
    second = a.start(DRAFT)
    b.keep_tenure()
    assert ([second.id], [session.id]) == (list(a._live), list(b._live))


def test_a_restart_finds_its_own_at_once(house: House) -> None:
    """The same state folder needs no lease to lapse, however it ended."""
    a = house.service("a")
    session = a.start(DRAFT)
    house.kill(a)
    assert [session.id] == list(house.service("a")._live)


def test_a_service_that_ends_well_is_followed_at_once(house: House) -> None:
    """It gives its lease back, and its drivers run on."""
    a, b = house.service("a"), house.service("b")
    session = a.start(DRAFT)
    a.close()
    b.keep_tenure()
    assert [session.id] == list(b._live)
    assert [] == house.drivers.killed


def test_drivers_of_another_host_are_left_alone(house: House) -> None:
    """What cannot be seen is not called dead, by no service and after no time."""
    a, far = house.service("a"), house.service("far", host="h2")
    session = a.start(DRAFT)
    house.kill(a)
    house.clock.advance(TTL_S * 10)
    far.keep_tenure()
    far.look()
    assert [] == list(far._live)
    assert SessionState.STARTING is house.store.session(session.id).state
    assert [session.id] == list(house.service("a")._live)


class Processes:
    """Batches of one host."""

    def __init__(self) -> None:
        self.alive: set[int] = set()

    def refusal(self, path: str) -> None:
        return None

    def start(self, batch: Any) -> dict[str, Any]:
        self.alive.add(batch.id)
        return {"pid": batch.id, "folder": "f"}

    def lives(self, process: Mapping[str, Any]) -> bool:
        return process["pid"] in self.alive

    def ending(self, process: Mapping[str, Any]) -> Ending:
        return Ending(0, ())

    def kill(self, process: Mapping[str, Any]) -> None:
        self.alive.discard(process["pid"])

    def log(self, process: Mapping[str, Any], *, after: int = 0, limit: int = 1000) -> tuple[int, list[str]]:
        return 0, []

    def remove(self, process: Mapping[str, Any]) -> None:
        """There is no folder."""


def test_a_batch_of_another_host_is_not_called_dead(house: House) -> None:
    """Its own host's services see how it ends; the others show what is known."""

    def batches(name: str, host: str, processes: Any) -> Batches:
        return Batches(house.store, processes, house.clock, tenure=Tenure(house.store, name, host))

    here = Processes()
    a, beside, far = batches("a", "h1", here), batches("b", "h1", here), batches("far", "h2", Processes())
    batch = a.start(BatchDraft("", "ann", {"file": "/x"}, {}))
    far.recover()
    far.look()
    assert BatchState.RUNNING is far.find(str(batch.id)).state
    with pytest.raises(Conflict, match="runs on h1"):
        far.delete(batch.id)
    here.alive.clear()
    assert BatchState.SUCCESS is beside.find(str(batch.id)).state
