"""`%nbplat target`."""

from __future__ import annotations

from nbplat.config import load_config
from nbplat.errors import RequestError
from nbplat.ui import session_here as here
from nbplat.ui.call import Call
from nbplat.ui.kernel.target import Target, target_of
from nbplat.ui.render.result import Result
from nbplat.ui.render.statement import title_of
from nbplat.ui.session_desk import open_session_desk

__all__ = ["target"]


def target(call: Call) -> Result:
    """Say where plain cells run, and change it."""
    found, asked = _target(), call.options.target
    if asked == "local":
        found.remote = False
    elif asked == "spark":
        found.remote = True
    elif asked:
        desk = open_session_desk()
        session = here.living(desk, asked)
        here.attach(desk, session)
        found.remote = True
    return _said(found)


def _said(found: Target) -> Result:
    if not found.remote:
        return Result("plain cells run here; %nbplat target spark sends them to a session", data={"target": "local"})
    config = load_config()
    # A look starts no service: without one there is no session.
    known = here.attached(config.service_url or str(config.home)) is not None
    session = here.current(open_session_desk(config)) if known else None
    place = "a Spark session that the first one starts"
    if session is not None:
        place = f"session {title_of(session)}, {session['state']}"
    text = f"plain cells run in {place}; %%local runs one here, %nbplat target local all of them"
    return Result(text, data={"target": "spark", "session": None if session is None else session["id"]})


def _target() -> Target:
    from IPython import get_ipython

    current: object = get_ipython()  # type: ignore[no-untyped-call,unused-ignore]
    found = target_of(current) if current is not None else None
    if found is None:
        raise RequestError("kernel.target", "no notebook has loaded nbplat here", fix="%load_ext nbplat")
    return found
