"""Sessions and batches as a path names them, for those who may: the one way in which routes find them."""

from __future__ import annotations

from nbplat.errors import Forbidden, NotFound
from nbplat.service.asker import Refused, checked, sees_all, visible
from nbplat.session.access import Need
from nbplat.session.batch import Batch
from nbplat.session.batches import Batches
from nbplat.session.records import Session
from nbplat.session.sessions import Sessions

__all__ = ["batches_page", "found_batch", "found_session", "native_session", "sessions_page"]

_ALL = 1_000_000


def found_session(sessions: Sessions, key: str, need: Need | None = None) -> Session:
    """A session by id or name; counts as a sign of life of its user.

    Args:
        need: As `nbplat.service.asker.checked`.

    Raises:
        NotFound: there is none.
        Refused: it is another's.
    """
    session = checked(sessions.named(key), need)
    sessions.touch(session.id)
    return session


def native_session(sessions: Sessions, key: str, need: Need | None = None) -> Session:
    """As `found_session`, with refusals in our own words.

    Raises:
        NotFound: there is none, or the asker may not even look at it.
        Forbidden: ``session.access``: the asker may look and no more.
    """
    try:
        return found_session(sessions, key, need)
    except Refused as exc:
        if exc.seen:
            raise Forbidden(
                "session.access",
                f"session {key} is another's, and you may not do that with it",
                fix="ask its owner to let you in: %session share NAME --use you",
                where=key,
            ) from None
        raise NotFound(
            "session.unknown", f"there is no session {key}", fix="nbplat session list shows those that are", where=key
        ) from None


def sessions_page(sessions: Sessions, *, skip: int, limit: int) -> tuple[int, list[Session]]:
    """How many sessions the asker may look at, and a page of them in order of id."""
    if sees_all():
        return sessions.store.sessions(skip=skip, limit=limit)
    found = [session for session in sessions.store.sessions(limit=_ALL)[1] if visible(session)]
    return len(found), found[skip : skip + limit]


def found_batch(batches: Batches, key: str, need: Need | None = None) -> Batch:
    """A batch by id or name. Raises NotFound, and Refused: it is another's."""
    return checked(batches.find(key), need)


def batches_page(batches: Batches, *, skip: int, limit: int) -> tuple[int, list[Batch]]:
    """How many batches the asker may look at, and a page of them in order of id."""
    if sees_all():
        return batches.page(skip=skip, limit=limit)
    found = [batch for batch in batches.page(limit=_ALL)[1] if visible(batch)]
    return len(found), found[skip : skip + limit]
