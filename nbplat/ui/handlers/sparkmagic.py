"""The magics of sparkmagic's notebooks, carried out by sessions of the service."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from nbplat.errors import Forbidden, NotFound, RequestError
from nbplat.ui import session_here as here
from nbplat.ui.call import Call
from nbplat.ui.handlers import session as session_verbs
from nbplat.ui.handlers.session_cell import notebook_session, run_code
from nbplat.ui.python_session import Session
from nbplat.ui.render.printed_table import PrintedTables
from nbplat.ui.render.result import Result
from nbplat.ui.render.statement import title_of
from nbplat.ui.render.table import fields_html, fields_text
from nbplat.ui.session_configure import read_configure
from nbplat.ui.session_desk import SessionDesk, open_session_desk

__all__ = [
    "add", "cleanup", "cleanup_magic", "config", "configure_magic", "delete", "delete_magic", "info", "info_magic",
    "logs", "logs_magic", "pretty_magic", "send_to_spark_magic",
]  # fmt: skip

_KINDS = {"python": "pyspark", "scala": "spark", "sql": "sql"}


def configure_magic(call: Call) -> Result:
    """Say how this notebook's session is started; with ``-f`` start it anew."""
    fields, desk = read_configure(call.body or ""), open_session_desk()
    session = _living(desk)
    if session is not None and not call.options.force:
        raise RequestError(
            "usage.configure",
            f"session {title_of(session)} runs already",
            fix="add -f to start another with these settings",
        )
    here.configure(desk.place, fields)
    if session is None:
        return _configured(desk, "the next session is started with these settings")
    if session["id"] in here.owned(desk.place):
        desk.stop(session["id"])
    here.forget(desk, session["id"])
    return _configured(desk, f"session {title_of(notebook_session(call, desk))} runs with these settings")


def config(call: Call) -> Result:
    """Say how the next session is started."""
    desk = open_session_desk()
    here.configure(desk.place, read_configure(call.body or ""))
    return _configured(desk, "the next session is started with these settings")


def add(call: Call) -> Result:
    """Start a session under a name, or attach to it."""
    options, desk = call.options, open_session_desk()
    session = desk.living(options.named) if options.skip else None
    if session is None:
        fields = {**here.configured(desk.place), "name": options.named, "kind": _KINDS[options.language]}
        session = desk.start(fields)
    here.attach(desk, session)
    session = desk.started(session["id"], call.show)
    if options.url and options.url.rstrip("/") != desk.client.url:
        call.write("stderr", f"-u {options.url} is left aside: sessions are those of {desk.client.url}\n")
    return Result(f"cells go to session {title_of(session)}", value=Session(desk, session), data=session)


def info(call: Call) -> Result:
    """Every session, and the settings of the next one."""
    listed = session_verbs.list_sessions(call)
    desk = open_session_desk()
    fields = here.configured(desk.place)
    if not fields:
        return listed
    said = _configured(desk, "the next session is started with:")
    return replace(listed, text=f"{listed.text}\n\n{said.text}", html=f"{listed.html or ''}{said.html or ''}")


def logs(call: Call) -> Result:
    """The log of a session's driver."""
    return session_verbs.logs(_asking(call, session=call.options.named, tail=0))


def delete(call: Call) -> Result:
    """End a session by its name or id."""
    key = call.options.named or (None if call.options.number is None else str(call.options.number))
    if key is None:
        raise RequestError("usage.arguments", "which session is to end?", fix="name it: %spark delete -s NAME")
    return session_verbs.stop(_asking(call, session=key))


def cleanup(call: Call) -> Result:
    """End the sessions that this notebook started."""
    desk = open_session_desk()
    mine = here.owned(desk.place)
    return _ended(desk, [each for each in desk.every() if each["id"] in mine])


def info_magic(call: Call) -> Result:
    """As `%spark info`."""
    return info(call)


def logs_magic(call: Call) -> Result:
    """The log of this notebook's session."""
    desk = open_session_desk()
    if _living(desk) is None:
        return Result("no session has been started: there is no log yet")
    return session_verbs.logs(_asking(call, session=None, tail=0))


def cleanup_magic(call: Call) -> Result:
    """End every session of the asker's."""
    if not call.options.force:
        raise RequestError(
            "usage.cleanup", "every session of yours would end, this notebook's as well", fix="add -f to do it"
        )
    desk = open_session_desk()
    return _ended(desk, desk.every())


def delete_magic(call: Call) -> Result:
    """End another session by its id."""
    options, desk = call.options, open_session_desk()
    session = _living(desk)
    if session is not None and session["id"] == options.number:
        raise RequestError(
            "usage.delete",
            f"session {options.number} is this notebook's own",
            fix="%session stop ends it, and so does the kernel's end",
        )
    if not options.force:
        raise RequestError("usage.delete", f"what is in session {options.number} would be lost", fix="add -f to do it")
    return session_verbs.stop(_asking(call, session=str(options.number)))


def send_to_spark_magic(call: Call) -> Result:
    """Send a text or a DataFrame."""
    options, desk = call.options, open_session_desk()
    name = options.called or options.variable
    if options.variable not in call.namespace:
        raise NotFound(
            "frame.unknown",
            f"the notebook has no {options.variable!r}",
            fix="define it: %%local runs a cell here",
            where=options.variable,
        )
    value = call.namespace[options.variable]
    if options.kind == "df":
        body = desk.frame(name, value if options.rows is None else value[: options.rows])
        session = notebook_session(call, desk)
        statement = desk.send(session["id"], name, body)
    else:
        if not name.isidentifier():
            raise RequestError("frame.name", f"{name!r} cannot be a variable", fix="give a Python name: -n NAME")
        session = notebook_session(call, desk)
        statement = desk.submit(session["id"], f"{name} = {str(value)!r}", "pyspark")
    desk.follow(statement, title_of(session), show=call.show, write=call.write)
    return Result(f"{options.variable} is {name} in session {title_of(session)}")


def pretty_magic(call: Call) -> Result:
    """Run Python and draw the tables that it prints."""
    desk = open_session_desk()
    tables = PrintedTables(call.write)
    options = SimpleNamespace(**{**vars(call.options), "wait": True, "json": False})
    told = replace(call, write=tables.write, options=options)
    try:
        return run_code(told, desk, notebook_session(call, desk), "pyspark")
    finally:
        tables.close()


def _living(desk: SessionDesk) -> dict[str, Any] | None:
    session = here.attached(desk.place)
    return None if session is None else here.current(desk)


def _asking(call: Call, **options: Any) -> Call:
    return replace(call, options=SimpleNamespace(**{**vars(call.options), **options}))


def _configured(desk: SessionDesk, said: str) -> Result:
    fields = here.configured(desk.place)
    shown = [(name, value) for name, value in fields.items() if name != "conf"]
    shown += sorted(fields.get("conf", {}).items())
    return Result(f"{said}\n{fields_text(shown)}".rstrip(), f"<div>{said}</div>{fields_html(shown)}", data=fields)


def _ended(desk: SessionDesk, sessions: list[dict[str, Any]]) -> Result:
    gone, left = [], []
    for session in sessions:
        try:
            desk.stop(session["id"])
        except NotFound:
            continue
        except Forbidden:
            left.append(title_of(session))
            continue
        here.forget(desk, session["id"])
        gone.append(title_of(session))
    text = f"ended: {', '.join(gone)}" if gone else "no session to end"
    if left:
        text += f"; not yours to end: {', '.join(left)}"
    return Result(text, data={"ended": gone, "left": left})
