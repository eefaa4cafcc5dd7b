"""Database errors become ours here, and only here."""

from __future__ import annotations

import sqlalchemy.exc as sa_exc

from nbplat.errors import NbplatError, RemoteError, SetupError

__all__ = ["DISK_FULL", "translate"]

DISK_FULL = "53100"
"""PostgreSQL's SQLSTATE (appendix A of its manual) for a full disk."""


def translate(exc: sa_exc.DBAPIError | sa_exc.TimeoutError, *, place: str, sqlite: bool) -> NbplatError:
    """Say what the database's failure means for a person.

    Args:
        place: The SQLite file, or the store's URL with its password hidden.
        sqlite: Whether the store is SQLite.
    """
    if isinstance(exc, sa_exc.TimeoutError):
        return RemoteError(
            "store.busy", "no free connection to the job store", fix="try again in a moment", where=place
        )
    text = str(exc.orig).lower()
    return _sqlite(text, place) if sqlite else _postgres(text, getattr(exc.orig, "sqlstate", None), place)


def _sqlite(text: str, place: str) -> NbplatError:
    if "disk is full" in text:
        return SetupError(
            "store.disk_full",
            "the disk of the job store is full",
            fix="free space on that disk, then run it again: what was recorded is safe",
            where=place,
        )
    if "locked" in text or "busy" in text:
        return SetupError(
            "store.locked",
            "another process kept the job store locked for 30 s",
            fix="end the program that holds store.db open (a database browser, a backup), then try again",
            where=place,
        )
    if "readonly" in text or "unable to open" in text:
        return SetupError(
            "store.not_writable",
            "the job store cannot be written",
            fix="give your user the right to write this folder, or set NBPLAT_HOME to another",
            where=place,
        )
    if "malformed" in text or "not a database" in text:
        return SetupError(
            "store.damaged",
            "the job store is damaged",
            fix="move store.db away (or restore a copy): tables and staged files are not in it",
            where=place,
        )
    return SetupError(
        "store.failed", f"the job store failed: {text}", fix="mend the disk or folder, then try again", where=place
    )


def _postgres(text: str, sqlstate: str | None, place: str) -> NbplatError:
    if sqlstate == DISK_FULL:
        return RemoteError(
            "store.disk_full", "the disk of the job store's server is full", fix="free space on the server", where=place
        )
    if sqlstate is not None and sqlstate[:2] not in ("08", "57"):
        return RemoteError(
            "store.failed",
            f"the job store refused a statement ({sqlstate}): {text.splitlines()[0]}",
            fix="check the rights of the store's user, then try again",
            where=place,
        )
    return RemoteError(
        "store.unreachable",
        "the job store's server does not answer",
        fix="start PostgreSQL, or correct store.url (NBPLAT_STORE_URL)",
        where=place,
    )
