"""Warm drivers and class-data archives on a real JVM."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.driver import LocalDrivers, WarmPool
from nbplat.adapters.driver.archives import ArchiveWriter
from nbplat.adapters.driver.command import FOLDER
from nbplat.clock import SystemClock
from nbplat.remote.driver.class_archive import Archive, archive_for, sweep
from nbplat.remote.driver.spark_host import spark_home
from nbplat.session.warm import Recipe, WarmLimits, recipe_of
from tests.fixtures.drivers import Talk, python_session
from tests.fixtures.waiting import wait_until

pytestmark = [pytest.mark.jvm, pytest.mark.process]

OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Duser.timezone=UTC"
CONF = {
    "spark.master": "local[2]",
    "spark.app.name": "mine",
    "spark.driver.memory": "800m",
    "spark.driver.extraJavaOptions": f"{OPTIONS} -Djava.io.tmpdir={FOLDER} -Dmine=yes",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.local.dir": FOLDER,
    "spark.sql.warehouse.dir": f"{FOLDER}/warehouse",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.shuffle.partitions": "2",
}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archive of `CONF`, written as it is after a first session."""
    folder = tmp_path_factory.mktemp("archives")
    writer = ArchiveWriter(folder / "work", folder / "remote", folder / "archives")
    recipe = recipe_of("", CONF)
    assert recipe is not None

    assert writer.begin("key", Recipe(sys.executable, recipe.conf))
    wait_until(lambda: (writer.look(), not writer.writes)[1], what="the archive is written", limit_s=400)
    return folder / "archives"


def run(drivers: LocalDrivers, driver: dict[str, Any], *codes: str) -> tuple[list[str], dict[str, Any]]:
    """The values of cells, and what the driver said of its JVM's start."""
    talk = Talk(drivers, driver)
    try:
        values = [talk.run(at, code)["output"] for at, code in enumerate(codes)]
        return [str(value["data"]["text/plain"]) for value in values], talk.until("launched")
    finally:
        talk.line.close()


def test_a_claimed_session_is_as_if_it_were_started_for_its_user(
    archives: Path, tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warm driver on the archive has the session's settings, folder and Java options, and no trace of the warm-up."""
    monkeypatch.setattr("nbplat.adapters.driver.warm._AFTER_S", -1.0)
    pool = WarmPool(
        tmp_path / "sessions",
        sockets,
        tmp_path / "remote",
        WarmLimits(free_bytes=0),
        clock=SystemClock(),
        busy=lambda: False,
        archives=archives,
    )
    drivers = LocalDrivers(tmp_path / "sessions", sockets, tmp_path / "remote", warm=pool, archives=archives)
    asked = python_session(2, "pyspark", {**CONF, "spark.x": "y"})
    assert pool.claim(asked, "python-that-is-not-there", 60.0) is None

    assert pool.claim(asked, sys.executable, 60.0) is None
    pool._hopeless.update(key for key in pool._used if pool._used[key][0].interpreter != sys.executable)
    # The writer has nothing to do: the archive is there.
    wait_until(lambda: (pool.look(), [one for one in pool.report() if one["ready"]])[1], what="warm", limit_s=120)
    driver = drivers.start(asked)
    try:
        assert driver["folder"].startswith(str(tmp_path / "sessions" / "warm-"))
        values, launched = run(
            drivers,
            driver,
            "spark.range(10).count()",
            "sc.appName, sc.master, spark.conf.get('spark.x'), spark.conf.get('spark.sql.shuffle.partitions')",
            "sc._jvm.System.getProperty('mine'), sc._jvm.System.getProperty('java.io.tmpdir')",
            "[key for key, value in sc.getConf().getAll() if 'warm-warehouse' in value or value == 'warm']",
            "spark.catalog.listTables(), [n for n in dir() if not n.startswith('_')]",
            "sc.parallelize([1, 2, 3]).map(lambda x: x + 1).sum()",
        )
        folder = driver["folder"]
        assert ["10", "('mine', 'local[2]', 'y', '2')", f"('yes', '{folder}')", "[]"] == values[:4]
        assert ["([], ['display', 'sc', 'spark', 'sqlContext'])", "9"] == values[4:]
        assert next(archives.glob("*.jsa")).stem == launched["archive"]
    finally:
        pool.close()
        drivers.kill(driver)


def test_a_broken_archive_costs_nothing_but_time(archives: Path, tmp_path: Path, sockets: Path) -> None:
    """A session starts though the archive has other bytes in its middle; one that was cut short is not even tried."""
    folder = tmp_path / "archives"
    folder.mkdir()
    whole = next(archives.glob("*.jsa"))
    data = bytearray(whole.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = bytes(range(256)) * 16
    broken = Archive(folder / whole.name)
    broken.path.write_bytes(data)
    broken.note({"bytes": len(data)})
    drivers = LocalDrivers(tmp_path / "sessions", sockets, tmp_path / "remote", archives=folder)
    driver = drivers.start(python_session(1, "pyspark", CONF))
    try:
        assert ["3"] == run(drivers, driver, "spark.range(3).count()")[0]
    finally:
        drivers.kill(driver)
    if broken.path.exists():
        broken.path.write_bytes(data[:1000])
        assert not broken.whole


def test_archives_are_named_after_jvm_and_class_path(tmp_path: Path) -> None:
    """A jar, a heap of another kind or an option of the JVM makes another archive; properties and sizes do not."""
    home = spark_home()
    jar = tmp_path / "a.jar"
    jar.write_bytes(b"one")

    def name(**conf: str) -> str:
        found = archive_for(str(tmp_path), {f"spark.driver.{key}": value for key, value in conf.items()}, home)
        assert found is not None
        return found.path.name

    assert name() == name(memory="2g", extraJavaOptions="-Da=b -XX:TieredStopAtLevel=1 -Xss2m")
    assert name() != name(memory="40g")
    assert name() != name(extraJavaOptions="-XX:+UseSerialGC")
    first = name(extraClassPath=str(jar))
    jar.write_bytes(b"other")
    assert len({name(), first, name(extraClassPath=str(jar))}) == 3
    theirs = {"spark.driver.extraJavaOptions": "-XX:SharedArchiveFile=/mine.jsa"}
    assert archive_for(str(tmp_path), theirs, home) is None


def test_old_archives_are_swept(tmp_path: Path) -> None:
    """Archives unused for two weeks, those beyond the newest four, and halves of them are deleted."""

    now_s = 2_000_000_000.0
    for age, name in enumerate("abcdef"):
        found = Archive(tmp_path / f"{name}.jsa")
        found.path.write_bytes(b"data")
        found.note({"bytes": 4})
        used = now_s - age * 3600 if name != "b" else now_s - 15 * 86_400
        os.utime(found.path, (used, used))
    (tmp_path / "x.7.new").write_bytes(b"half")
    os.utime(tmp_path / "x.7.new", (1.0, 1.0))
    sweep(str(tmp_path), now_s)
    assert ["a.jsa", "c.jsa", "d.jsa", "e.jsa"] == sorted(path.name for path in tmp_path.glob("*.jsa"))
    assert [] == list(tmp_path.glob("*.new"))
    assert Archive(tmp_path / "a.jsa").whole
