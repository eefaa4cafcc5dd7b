"""Which session a notebook's cells go to: one a kernel and service, remembered until the kernel ends."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbplat.errors import Conflict, NotFound, RequestError, did_you_mean
from nbplat.job.asked_from import NOTEBOOK_VARIABLE
from nbplat.ui.render.statement import title_of
from nbplat.ui.session_desk import SessionDesk, ended_error

__all__ = [
    "attach", "attach_id", "attached", "chosen", "configure", "configured", "current", "forget", "living",
    "notebook_name", "own", "owned", "start_named",
]  # fmt: skip

# By the service's place; the id, since a name may be taken by another session later.
_current: dict[str, int] = {}
# What cells of this kernel started by themselves, which nobody has asked to keep.
_own: dict[str, set[int]] = {}
# How the next one is started: `%%configure`.
_configured: dict[str, dict[str, Any]] = {}
_TRIES = 50


def attach(desk: SessionDesk, session: Mapping[str, Any]) -> None:
    """Send the cells of this kernel to a session from now on."""
    attach_id(desk.place, int(session["id"]))


def attach_id(place: str, session_id: int) -> None:
    """As `attach`, without a look at the session: the first cell finds out whether it lives."""
    _current[place] = session_id


def forget(desk: SessionDesk, session_id: int) -> None:
    """Send no cells to a session that was stopped."""
    if _current.get(desk.place) == session_id:
        del _current[desk.place]
    _own.get(desk.place, set()).discard(session_id)


def attached(place: str) -> int | None:
    """The id of the session that cells of this kernel go to, without a look at it."""
    return _current.get(place)


def own(place: str, session_id: int) -> None:
    """Say that a session was started for this kernel's cells alone."""
    _own.setdefault(place, set()).add(session_id)


def owned(place: str) -> frozenset[int]:
    """The sessions that end with this kernel."""
    return frozenset(_own.get(place, ()))


def configure(place: str, fields: Mapping[str, Any]) -> None:
    """Say how the sessions of this kernel's cells are started from now on."""
    _configured[place] = dict(fields)


def configured(place: str) -> dict[str, Any]:
    """Fields of a request to start a session, as `configure` was told them."""
    return dict(_configured.get(place, {}))


def current(desk: SessionDesk) -> dict[str, Any] | None:
    """The session that cells of this kernel go to; None when there is none, or it was deleted.

    Raises:
        NbplatError: it has ended by itself; with the reason. The next look finds none.
    """
    number = _current.get(desk.place)
    if number is None:
        return None
    try:
        session = desk.show(number)
    except NotFound:
        del _current[desk.place]
        return None
    if session["ended"]:
        del _current[desk.place]
        raise ended_error(session)
    return session


def chosen(desk: SessionDesk, key: str | None) -> dict[str, Any]:
    """The session that a line names, else the kernel's, else the only one that lives.

    Raises:
        NotFound: there is no such session.
        RequestError: ``session.which``: several live and none is named.
    """
    if key:
        return _named(desk, key)
    if (session := current(desk)) is not None:
        return session
    living = [each for each in desk.every() if not each["ended"]]
    if len(living) == 1:
        return desk.show(living[0]["id"])
    if not living:
        raise NotFound("session.none", "no session lives", fix="start one: %session start NAME")
    names = ", ".join(each["name"] or str(each["id"]) for each in living[:8])
    raise RequestError("session.which", f"{len(living)} sessions live: {names}", fix="name one of them")


def living(desk: SessionDesk, key: str | None) -> dict[str, Any]:
    """As `chosen`. Raises NotFound too: ``session.ended``: it takes no cells any more."""
    session = chosen(desk, key)
    if session["ended"]:
        raise NotFound(
            "session.ended",
            f"session {title_of(session)} is {session['state']}",
            fix="start another: %session start",
            where=str(session["id"]),
        )
    return session


def _named(desk: SessionDesk, key: str) -> dict[str, Any]:
    try:
        return desk.show(key)
    except NotFound as exc:
        known = [each["name"] for each in desk.every() if each["name"]]
        near = did_you_mean(key, known)
        raise NotFound(
            exc.code,
            f"there is no session {key!r}",
            fix=(f"{near}, " if near else "") + f"or start it: %session start {key}",
            where=key,
        ) from None


def start_named(desk: SessionDesk, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Start a session under a name of our choice: where it is taken, ``name-2`` and so on."""
    fields = dict(fields)
    name = fields.pop("name", "") or name
    for number in range(1, _TRIES):
        try:
            return desk.start({**fields, "name": name if number == 1 else f"{name}-{number}"})
        except Conflict as exc:
            if exc.code != "session.name" or number == _TRIES - 1:
                raise
    raise AssertionError  # the loop ends by one of the two above


def notebook_name(environ: Mapping[str, str] | None = None) -> str:
    """A session's name after the notebook's file, as Jupyter tells it to its kernels; else after the working folder."""
    told = (environ if environ is not None else os.environ).get(NOTEBOOK_VARIABLE, "")
    stem = Path(told).stem if told.endswith(".ipynb") else Path.cwd().name
    name = re.sub(r"[^\w.@-]+", "-", stem).strip("-.")[:80]
    return name if re.search(r"[^\W\d]", name) else f"session-{name}".rstrip("-")
