"""Opening the ledger: what it refuses, and how it says so."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from nbplat.adapters.store import open_store, opening
from nbplat.adapters.store.tables import HEAD, METADATA, REVISIONS, SCHEMA
from nbplat.clock import SystemClock
from nbplat.config import Config, load_config
from nbplat.errors import RemoteError, SetupError
from nbplat.testing import FakeClock


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., Config]:
    def make(**options: str) -> Config:
        values = {"home": str(tmp_path / "home"), **{key.replace("_", "."): value for key, value in options.items()}}
        return load_config(values, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")

    return make


def test_the_head_revision_is_what_the_scripts_say(configure: Callable[..., Config]) -> None:
    """The constant that spares a start the import of Alembic is true, and every revision is known."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(opening.__file__).parent / "migrations"))
    assert scripts.get_current_head() == HEAD
    assert list(REVISIONS) == [script.revision for script in reversed(list(scripts.walk_revisions()))]


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_migrations_make_the_declared_tables(
    configure: Callable[..., Config], database: str, request: pytest.FixtureRequest
) -> None:
    """What the migrations build is what the code reads and writes."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    config = configure(**({"store_url": request.getfixturevalue("postgres_url")} if database == "postgres" else {}))
    store = open_store(config, clock=FakeClock())
    with store._db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": SCHEMA})
        assert [] == compare_metadata(context, METADATA)
    store.close()


def test_an_up_to_date_start_does_without_alembic(configure: Callable[..., Config]) -> None:
    """Only a ledger of another revision pays for the migration tool."""
    config = configure()
    open_store(config, clock=FakeClock()).close()
    code = (
        "import sys, pathlib; from nbplat.adapters.store import open_store; from nbplat.clock import SystemClock;"
        "from nbplat.config import Config;"
        "open_store(Config(home=pathlib.Path(sys.argv[1])), clock=SystemClock()).close();"
        "print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, config.home], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_newer_ledger_is_refused(configure: Callable[..., Config]) -> None:
    """A state folder of a newer version is left alone; the message names folder, both revisions and the mend."""
    config = configure()
    open_store(config, clock=FakeClock()).close()
    with sqlite3.connect(config.home / "store.db") as connection:
        connection.execute("UPDATE nbplat_schema SET version_num = '9999'")
    connection.close()
    with pytest.raises(SetupError, match=r"9999.*knows 0006.*upgrade nbplat") as caught:
        open_store(config, clock=FakeClock())
    assert caught.value.code == "store.newer"
    assert caught.value.where == str(config.home)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smbfs", "fuse.sshfs"])
def test_sqlite_on_a_network_file_system_is_refused(configure: Callable[..., Config], kind: str) -> None:
    """The message names the folder and both ways out, and no file was made."""
    config = configure()
    with pytest.raises(SetupError, match=r"NBPLAT_HOME.*NBPLAT_STORE_URL") as caught:
        open_store(config, clock=FakeClock(), file_system=lambda _: kind)
    assert caught.value.code == "store.network_fs"
    assert str(config.home) in caught.value.message
    assert [] == list(config.home.iterdir())


def test_the_file_system_is_found_by_the_longest_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount inside another wins, and the last of two on one point."""
    import psutil

    class Part:
        def __init__(self, mountpoint: str, fstype: str) -> None:
            self.mountpoint, self.fstype = mountpoint, fstype

    parts = [Part("/", "overlay"), Part("/home", "ext4"), Part("/home/ann", "autofs"), Part("/home/ann", "nfs4")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: parts)
    found = [opening.file_system_of(Path(p)) for p in ("/home/ann/nb", "/home/ann", "/home/anna", "/x")]
    assert found == ["nfs4", "nfs4", "ext4", "overlay"]


def test_a_full_disk_is_told_and_loses_nothing(configure: Callable[..., Config]) -> None:
    """When the disk is full the write is refused with the mend; what was recorded stays."""
    config = configure()
    store = open_store(config, clock=FakeClock())
    store.emit("before")

    @sa.event.listens_for(store._db.engine, "checkout")
    def shrink(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA max_page_count=1")

    with pytest.raises(SetupError, match="free space") as caught:
        store.plan_units("a@1/x", [f"{n:0500d}" for n in range(1000)])
    assert caught.value.code == "store.disk_full"
    assert ["before"] == [event.kind for event in store.events()]
    assert [] == store.units("a@1/x")
    store.close()


def test_a_locked_ledger_is_told(configure: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that keeps the file locked is named as the cause."""
    monkeypatch.setattr(opening, "BUSY_S", 0.05)
    config = configure()
    store = open_store(config, clock=FakeClock())
    blocker = sqlite3.connect(config.home / "store.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(SetupError, match="locked") as caught:
        store.emit("x")
    assert caught.value.code == "store.locked"
    blocker.close()
    store.emit("x")
    store.close()


def test_a_damaged_file_is_told(configure: Callable[..., Config]) -> None:
    """A file that is no database is not overwritten."""
    config = configure()
    config.home.mkdir()
    (config.home / "store.db").write_bytes(b"no database at all " * 100)
    with pytest.raises(SetupError, match="damaged"):
        open_store(config, clock=FakeClock())


@pytest.mark.parametrize(
    ("url", "error", "code"),
    [
        ("mysql://me:secret@host/db", SetupError, "store.url"),
        ("nonsense", SetupError, "store.url"),
        ("postgresql://me:secret@127.0.0.1:1/db", RemoteError, "store.unreachable"),
    ],
)
def test_a_wrong_store_url_is_told_without_its_password(
    configure: Callable[..., Config], url: str, error: type[Exception], code: str
) -> None:
    """Another database, no address at all, a server that is not there."""
    with pytest.raises(error) as caught:
        open_store(configure(store_url=url), clock=FakeClock())
    assert getattr(caught.value, "code", None) == code
    assert "secret" not in str(caught.value)


def test_the_state_folder_is_private(configure: Callable[..., Config]) -> None:
    """A state folder that we make, and the ledger in it, are open to their owner only."""
    config = configure()
    store = open_store(config, clock=SystemClock())
    assert {path.stat().st_mode & 0o777 for path in config.home.iterdir()} == {0o600}
    store.close()
    assert config.home.stat().st_mode & 0o777 == 0o700


_SUBMITS = """
import sys
from nbplat.adapters.store import open_store
from nbplat.config import load_config

from nbplat.clock import SystemClock

store = open_store(load_config({"home": sys.argv[1]}, environ={}), clock=SystemClock())
store.plan_units("scope", ["a", "b"])
store.close()
"""


def test_a_second_store_of_one_process_leaves_the_first_one_its_locks(configure: Callable[..., Config]) -> None:
    """After another store on the same file was opened and closed here, the first still sees what others write."""
    config = configure()
    first = open_store(config, clock=SystemClock())
    first.plan_units("other", ["x"])
    open_store(config, clock=SystemClock()).close()
    subprocess.run([sys.executable, "-c", _SUBMITS, str(config.home)], check=True, timeout=60)
    assert ["a", "b"] == [unit.id for unit in first.units("scope")]
    first.close()
