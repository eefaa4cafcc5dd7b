"""`%session ui`: where a session's Spark UI is, and whether it can be reached from here."""

from __future__ import annotations

import html
import socket
from urllib.parse import urlsplit

from nbplat.errors import SetupError
from nbplat.ui import session_here as here
from nbplat.ui.call import Call
from nbplat.ui.render.result import Result
from nbplat.ui.render.statement import title_of
from nbplat.ui.session_desk import ended_error, open_session_desk

__all__ = ["ui"]

_LIMIT_S = 2.0


def ui(call: Call) -> Result:
    """The address of a session's Spark UI.

    Raises:
        SetupError: ``session.ui``: the session runs without one.
    """
    desk = open_session_desk()
    session = here.chosen(desk, call.options.session)
    if session["ended"]:
        raise ended_error(session)
    url = session["app"].get("ui")
    if not url:
        raise SetupError(
            "session.ui",
            f"session {title_of(session)} has no Spark UI",
            fix="start it with one: %session start NAME --conf spark.ui.enabled=true",
        )
    reached = _answers(url)
    parts = urlsplit(url)
    text = f"Spark UI of session {title_of(session)}: {url}"
    note = (
        ""
        if reached
        else f"it does not answer from here; from a machine that reaches {parts.hostname}: "
        f"ssh -L {parts.port}:{parts.hostname}:{parts.port} HOST, then http://localhost:{parts.port}"
    )
    link = f'<a href="{html.escape(url)}" target="_blank" rel="noopener">{html.escape(text)}</a>'
    page = f"<div>{link}</div>" + (f"<div>{html.escape(note)}</div>" if note else "")
    data = {"session": session["id"], "url": url, "reached": reached}
    return Result(f"{text}\n{note}".rstrip(), page, value=url, data=data)


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), _LIMIT_S):
            return True
    except OSError:
        return False
