"""Open the store: the right database, on a fit file system, at a revision this version knows."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc as sa_exc

from nbplat.adapters.store.database import WRITE_OPTION, Database
from nbplat.adapters.store.failures import translate
from nbplat.adapters.store.sql_job_store import SqlJobStore
from nbplat.adapters.store.tables import HEAD, REVISIONS, SCHEMA
from nbplat.clock import Clock
from nbplat.config import Config, redact_url
from nbplat.errors import SetupError

__all__ = ["BUSY_S", "file_system_of", "open_store"]

BUSY_S = 30

_NETWORK = ("nfs", "cifs", "smb", "afp", "webdav", "davfs", "9p", "fuse.sshfs", "fuse.s3fs", "lustre", "gpfs", "beegfs")


def file_system_of(folder: Path) -> str:
    """The type of the file system that holds `folder` (``ext4``, ``nfs4``); empty when the machine does not tell."""
    import psutil

    best, kind = -1, ""
    for part in psutil.disk_partitions(all=True):
        mount = Path(part.mountpoint)
        # ">=": a later mount on the same point covers an earlier one.
        if (folder == mount or mount in folder.parents) and len(mount.parts) >= best:
            best, kind = len(mount.parts), part.fstype
    return kind


def open_store(config: Config, *, clock: Clock, file_system: Callable[[Path], str] = file_system_of) -> SqlJobStore:
    """Open the ledger, and bring an older one up to date.

    Args:
        file_system: Tells the type of the file system under a folder; a test passes its own.

    Raises:
        SetupError: ``store.newer`` for a ledger of a newer version, ``store.network_fs`` for SQLite on
            a network file system, ``store.url`` for a database we do not know, and what the machine
            lacks (rights, space).
        RemoteError: the PostgreSQL server fails or does not answer.
    """
    if config.sqlite_store:
        database = Database(_sqlite_engine(config, file_system), clock, place=str(config.home / "store.db"))
    else:
        database = Database(_postgres_engine(config), clock, place=redact_url(config.store_url))
    try:
        _bring_up_to_date(database)
    except BaseException:
        database.close()
        raise
    return SqlJobStore(database)


def _sqlite_engine(config: Config, file_system: Callable[[Path], str]) -> sa.Engine:
    path = config.home / "store.db"
    try:
        config.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise SetupError(
            "home.not_writable",
            f"the state folder {config.home} cannot be made: {exc.strerror}",
            fix="set NBPLAT_HOME to a folder you may write",
        ) from exc
    kind = file_system(config.home.resolve())
    if kind.lower().startswith(_NETWORK):
        raise SetupError(
            "store.network_fs",
            f"the state folder {config.home} is on a network file system ({kind}), where SQLite's WAL loses data",
            fix="set NBPLAT_HOME to a folder on a local disk, or NBPLAT_STORE_URL to a PostgreSQL database",
            where=str(config.home),
        )
    _switch_to_wal(path)
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_S}, pool_size=4, max_overflow=60
    )

    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        # NORMAL: a killed process loses nothing; a power cut may lose the last commits, which are then done again.
        connection.execute("PRAGMA synchronous=NORMAL")

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        write = connection.get_execution_options().get(WRITE_OPTION)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _make_file(path: Path) -> None:
    """Make the file for its owner, whatever the umask: SQLite gives its side files the same mode.

    One that is there is not opened: closing it again would drop the locks that another store of this very process
    holds on it (POSIX), and SQLite would take that store for gone.
    """
    if path.exists():
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _switch_to_wal(path: Path) -> None:
    """WAL stays set in the file. Racing switches ignore the busy time-out, hence the tries."""
    deadline = time.monotonic() + BUSY_S
    try:
        _make_file(path)
    except OSError as exc:
        raise SetupError(
            "store.not_writable",
            f"the job store cannot be written: {exc.strerror}",
            fix="give your user the right to write this folder, or set NBPLAT_HOME to another",
            where=str(path),
        ) from exc
    while True:
        try:
            connection = sqlite3.connect(path, timeout=BUSY_S)
            try:
                if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                    connection.execute("PRAGMA journal_mode=WAL")
            finally:
                connection.close()
            return
        except sqlite3.DatabaseError as exc:
            if "locked" not in str(exc) or time.monotonic() > deadline:
                wrapped = sa_exc.OperationalError("PRAGMA journal_mode=WAL", None, exc)
                raise translate(wrapped, place=str(path), sqlite=True) from exc
            time.sleep(0.02)


def _postgres_engine(config: Config) -> sa.Engine:
    shown = redact_url(config.store_url)
    try:
        url = sa.make_url(config.store_url)
    except sa_exc.ArgumentError as exc:
        raise _bad_url(shown) from exc
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise _bad_url(shown)
    try:
        return sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            pool_size=4,
            max_overflow=16,
            connect_args={"connect_timeout": 10},
        )
    except ModuleNotFoundError as exc:
        raise SetupError(
            "store.driver", "the PostgreSQL driver is not installed", fix="pip install 'nbplat[postgres]'"
        ) from exc


def _bad_url(shown: str) -> SetupError:
    return SetupError(
        "store.url",
        f"store.url {shown!r} is no PostgreSQL address",
        fix="write it as postgresql://user@host/database, or leave it empty for SQLite in the state folder",
    )


def _bring_up_to_date(database: Database) -> None:
    if _check_revision(database) == HEAD:
        return
    with database.write() as write:
        # Another process may have done it while we waited for the lock.
        if _revision(write.connection) != HEAD:
            _migrate(write.connection)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(SCHEMA):
        return None
    table = sa.table(SCHEMA, sa.column("version_num"))
    return connection.execute(sa.select(table.c.version_num)).scalar_one_or_none()


def _check_revision(database: Database) -> str | None:
    with database.read() as connection:
        found = _revision(connection)
    if found is not None and found not in REVISIONS:
        raise SetupError(
            "store.newer",
            f"the job store {database.place} was written by a newer nbplat (revision {found}, this one knows {HEAD})",
            fix="upgrade nbplat, or set NBPLAT_HOME to another folder",
            where=str(Path(database.place).parent) if database.sqlite else database.place,
        )
    return found


def _migrate(connection: sa.Connection) -> None:
    # Alembic costs 0.2 s to import; an up-to-date start does without.
    from alembic import command
    from alembic.config import Config as AlembicConfig

    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
