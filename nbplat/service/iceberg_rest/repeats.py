"""Requests that a client sends again because it never got the answer, carried out once.

A client whose connection broke in the middle of a commit cannot know whether the commit was made. The protocol lets it
send the same `Idempotency-Key` again: what was done under a key is written down in the very transaction that did it, so
that a service which was killed in between answers the second request with what the first one did.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Engine, MetaData, Table, Text, delete, insert, select
from sqlalchemy.exc import IntegrityError

__all__ = ["LIFETIME", "Done", "Repeats"]

LIFETIME = "PT1H"
"""How long a key is good for, as ``/v1/config`` tells clients."""

_KEPT_MS = 2 * 3_600_000

_METADATA = MetaData()
_DONE = Table(
    "nbplat_iceberg_done",
    _METADATA,
    Column("key", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("done", Text, nullable=False),
)

_key: ContextVar[str] = ContextVar("idempotency_key", default="")


@dataclass(frozen=True, slots=True)
class Done:
    """What a request did.

    Attributes:
        location: The metadata file that it published; empty when it published none, or several.
        content: The answer's JSON where it is none of a metadata file; None for an empty answer.
    """

    location: str = ""
    content: dict[str, Any] | None = None


class Repeats:
    """What was done under each key.

    Args:
        engine: Of the catalog's database; the table is made when it is missing.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        _METADATA.create_all(engine)

    @contextmanager
    def under(self, key: str) -> Iterator[None]:
        """Everything that `note` is told in here, on this thread, belongs to the key; an empty key notes nothing."""
        token = _key.set(key)
        try:
            yield
        finally:
            _key.reset(token)

    def find(self, key: str) -> Done | None:
        """What was done under a key; None when nothing was."""
        with self._engine.connect() as db:
            row = db.execute(select(_DONE.c.done).where(_DONE.c.key == key)).first()
        return None if row is None else Done(**json.loads(row[0]))

    def note(self, db: Connection, location: str = "") -> None:
        """Write down, in the transaction that does it, what the current request does.

        Raises:
            IntegrityError: another request of the same key did it meanwhile; the transaction must not commit.
        """
        if key := _key.get():
            self._insert(db, key, Done(location))

    def note_answer(self, key: str, content: dict[str, Any] | None) -> None:
        """Write down the answer of a request that changed no pointer; nothing happens when something is noted."""
        try:
            with self._engine.begin() as db:
                self._insert(db, key, Done(content=content))
        except IntegrityError:
            return  # the same request came twice at once: the other one's answer is this one's

    def _insert(self, db: Connection, key: str, done: Done) -> None:
        now = time.time_ns() // 1_000_000
        db.execute(delete(_DONE).where(_DONE.c.at_ms < now - _KEPT_MS))
        record = json.dumps({"location": done.location, "content": done.content})
        db.execute(insert(_DONE).values(key=key, at_ms=now, done=record))
