"""Runs DuckDB SQL over Arrow data: one bounded database a thread, kept from task to task."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from .failure import KernelError

__all__ = ["database", "duckdb_errors", "open_database", "quoted", "reason", "run_query", "with_tables"]

_OWN = threading.local()


def database(settings: Mapping[str, Any]) -> Any:
    """This thread's DuckDB connection with these limits; opened when there is none, or other limits are asked for.

    Args:
        settings: ``threads`` (0: every core), ``memory_bytes`` (above it DuckDB spills) and
            ``spill_folder`` (None: the temporary folder).
    """
    wanted = (settings["threads"], settings["memory_bytes"], settings["spill_folder"])
    if getattr(_OWN, "limits", None) != wanted:
        if getattr(_OWN, "connection", None) is not None:
            _OWN.connection.close()
        _OWN.connection = open_database(settings)
        _OWN.limits = wanted
    return _OWN.connection


def open_database(settings: Mapping[str, Any]) -> Any:
    """A connection to a database of its own with these limits; the caller closes it."""
    import duckdb

    config: dict[str, Any] = {
        "memory_limit": f"{max(settings['memory_bytes'] >> 20, 1)}MiB",
        "temp_directory": settings["spill_folder"] or tempfile.gettempdir(),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    if settings["threads"]:
        config["threads"] = settings["threads"]
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET TimeZone = 'UTC'")
    # A body reads what it is given: no file by name, no extension fetched.
    connection.execute("SET enable_external_access = false")
    return connection


@contextlib.contextmanager
def with_tables(connection: Any, tables: Mapping[str, Any]) -> Iterator[None]:
    """Show Arrow data under names inside the block."""
    try:
        for name, table in tables.items():
            connection.register(name, table)
        yield
    finally:
        for name in tables:
            connection.unregister(name)


@contextlib.contextmanager
def duckdb_errors(*, of_body: bool = True) -> Iterator[None]:
    """Raise DuckDB's errors as ours: memory and disk are the machine's, the rest the body's.

    Args:
        of_body: False in a block that runs none of the user's SQL: what is left over is then a bug.
    """
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as exc:
        raise KernelError(
            "local.memory",
            f"the local engine ran out of memory: {reason(exc)}",
            fix="raise limits.memory_bytes",
            kind="SetupError",
        ) from None
    except duckdb.IOException as exc:
        raise KernelError(
            "local.disk", f"spilling failed: {reason(exc)}", fix="make room on the disk", kind="SetupError"
        ) from None
    except duckdb.Error as exc:
        if not of_body:
            raise
        raise KernelError(
            "body.values",
            f"the body fails on this data: {reason(exc)}",
            fix="guard the expression (CASE, NULLIF)",
        ) from None


def run_query(query: str, tables: Mapping[str, Any], settings: Mapping[str, Any]) -> pa.Table:
    """The query's result over the tables.

    Raises:
        KernelError: ``body.values`` for what the data makes impossible (division by zero, overflow),
            ``local.memory``, ``local.disk``.
    """
    connection = database(settings)
    with duckdb_errors(), with_tables(connection, tables):
        return connection.sql(query).to_arrow_table()


def quoted(names: Sequence[str], table: str = "") -> list[str]:
    """The names as SQL identifiers, with the table before them when it is given."""
    before = f"{table}." if table else ""
    return [before + '"' + name.replace('"', '""') + '"' for name in names]


def reason(exc: Exception) -> str:
    """The first line of DuckDB's message, without its category."""
    return str(exc).splitlines()[0].split("Error: ", 1)[-1]
