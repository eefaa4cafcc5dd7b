"""The pool of warm drivers, with drivers that have no Spark: claimed once, found again, and never left behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nbplat.adapters.driver import LocalDrivers, WarmPool
from nbplat.adapters.driver.warm import warm_folders
from nbplat.clock import SystemClock
from nbplat.session.warm import WarmLimits
from tests.fixtures.drivers import Talk, python_session
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process

Open = Callable[..., WarmPool]


@pytest.fixture
def open_pool(tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Pools on one folder that do nothing by themselves; whatever they started is gone after the test."""
    monkeypatch.setattr("nbplat.adapters.driver.warm._AFTER_S", -1.0)

    pools = []

    def opened(**options: Any) -> WarmPool:
        options = {"limits": WarmLimits(free_bytes=0), "busy": lambda: False, "clock": SystemClock(), **options}
        pools.append(WarmPool(tmp_path / "sessions", sockets, tmp_path / "remote", kind="python", **options))
        return pools[-1]

    yield opened
    for pool in pools:
        pool.close()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(tmp_path) in " ".join(process.cmdline()) and process.pid != os.getpid():
                process.kill()


def drivers_with(pool: WarmPool | None, tmp_path: Path, sockets: Path) -> LocalDrivers:
    return LocalDrivers(tmp_path / "sessions", sockets, tmp_path / "remote", warm=pool)


def value(drivers: LocalDrivers, driver: dict[str, Any], code: str) -> str:
    talk = Talk(drivers, driver)
    try:
        return str(talk.run(0, code)["output"]["data"]["text/plain"])
    finally:
        talk.line.close()


def warmed(pool: WarmPool, drivers: LocalDrivers) -> dict[str, Any]:
    """Have a first session start, and wait until a driver is warm for the next one."""
    cold = drivers.start(python_session(1))
    drivers.kill(cold)

    def ready() -> Any:
        pool.look()
        return [one for one in pool.report() if one["ready"]]

    found: dict[str, Any] = wait_until(ready, what="a driver is warm")[0]
    return found


def test_a_warm_driver_serves_one_session(open_pool: Open, tmp_path: Path, sockets: Path) -> None:
    """The second session of a kind gets the warm driver, the third one starts its own."""
    pool = open_pool()
    drivers = drivers_with(pool, tmp_path, sockets)
    warm = warmed(pool, drivers)
    second = drivers.start(python_session(2))
    third = drivers.start(python_session(3))
    try:
        assert warm["pid"] == second["pid"]
        assert second["pid"] != third["pid"]
        assert [] == pool.report()
        assert "2" == value(drivers, second, "1 + 1")
        # It is a session's now: a pool that ends leaves it alone.
        pool.close()
        assert drivers.lives(second)
    finally:
        for driver in (second, third):
            drivers.kill(driver)


def test_a_session_finds_nothing_of_the_warm_up(open_pool: Open, tmp_path: Path, sockets: Path) -> None:
    """A claimed driver has the variables, folder, module path, names and empty log of one that was started for it."""
    pool = open_pool()
    drivers = drivers_with(pool, tmp_path, sockets)
    variables = "sorted((k, v) for k, v in os.environ.items() if k != 'PWD')"
    code = f"import os, sys\n({variables}, sys.path[1:], os.getcwd()[-5:], sorted(globals()))"
    cold = drivers.start(python_session(9))
    expected = value(drivers, cold, code)
    drivers.kill(cold)
    warmed(pool, drivers)
    second = drivers.start(python_session(2, conf={"spark.app.name": "mine"}))
    try:
        assert expected == value(drivers, second, code)
        assert (0, []) == drivers.log(second)
    finally:
        drivers.kill(second)


def test_a_killed_service_leaves_its_warm_drivers_to_the_next(open_pool: Open, tmp_path: Path, sockets: Path) -> None:
    """A new service keeps a warm driver that fits and gives it to a session."""
    pool = open_pool()
    warm = warmed(pool, drivers_with(pool, tmp_path, sockets))
    again = open_pool()
    again.start()
    drivers = drivers_with(again, tmp_path, sockets)
    wait_until(lambda: [one for one in again.report() if one["ready"]], what="it is found again")
    second = drivers.start(python_session(2))
    assert warm["pid"] == second["pid"]
    again.close()
    drivers.kill(second)


def test_what_fits_no_more_is_ended(
    open_pool: Open, tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new service with other variables ends the warm drivers of the old one."""
    pool = open_pool()
    warm = warmed(pool, drivers_with(pool, tmp_path, sockets))
    monkeypatch.setenv("SPARK_CONF_DIR", "/elsewhere")
    open_pool().start()
    wait_until(lambda: not psutil.pid_exists(warm["pid"]) or gone(warm["pid"]), what="it has ended")
    assert [] == warm_folders(tmp_path / "sessions")


def test_a_claim_that_was_not_written_down_leaves_no_driver(open_pool: Open, tmp_path: Path, sockets: Path) -> None:
    """A service that died between claiming and keeping the record has its driver ended, at the start of the next."""
    pool = open_pool()
    drivers = drivers_with(pool, tmp_path, sockets)
    warmed(pool, drivers)
    lost = drivers.start(python_session(2))
    kept = drivers_with(pool, tmp_path, sockets)
    open_pool().start(known={lost["folder"]})
    assert drivers.lives(lost)
    pool.abandon(2)
    wait_until(lambda: not kept.lives(lost), what="it has ended")
    assert [] == warm_folders(tmp_path / "sessions")


def test_an_unclaimed_driver_ends_when_nobody_is_there(open_pool: Open, tmp_path: Path, sockets: Path) -> None:
    """Without a service a warm driver ends itself soon."""
    pool = open_pool(alone_s=0.4)
    warm = warmed(pool, drivers_with(pool, tmp_path, sockets))
    for each in pool._kept.values():
        assert each.line is not None
        each.line.close()
    wait_until(lambda: gone(warm["pid"]), what="it ends itself")


def test_a_cold_start_ends_what_is_getting_warm(open_pool: Open, tmp_path: Path, sockets: Path) -> None:
    """A session of another kind is not slowed by a warm-up; a ready driver stays."""
    pool = open_pool()
    drivers = drivers_with(pool, tmp_path, sockets)
    drivers.kill(drivers.start(python_session(1)))
    pool.look()
    assert [False] == [one["ready"] for one in pool.report()]
    other = drivers.start(python_session(2, conf={"spark.driver.memory": "3g"}))
    assert [] == pool.report()
    drivers.kill(other)


def test_memory_ends_warm_drivers(open_pool: Open, tmp_path: Path, sockets: Path) -> None:
    """When the machine runs out of memory its warm drivers go first."""
    free = [1000]
    pool = open_pool(limits=WarmLimits(free_bytes=1000), free_bytes=lambda: free[0])
    warm = warmed(pool, drivers_with(pool, tmp_path, sockets))
    free[0] = 400
    pool.look()
    assert [] == pool.report()
    assert gone(warm["pid"])


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
