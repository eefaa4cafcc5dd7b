"""`%session …` and `nbplat session …`."""

from __future__ import annotations

import time
from typing import Any

from nbplat.clock import iso
from nbplat.errors import NbplatError, RequestError
from nbplat.ui import session_here as here
from nbplat.ui.call import Call
from nbplat.ui.handlers.session_cell import follow_statement, run_python, run_query
from nbplat.ui.python_session import Session
from nbplat.ui.render.result import Result
from nbplat.ui.render.statement import title_of
from nbplat.ui.render.table import fields_html, fields_text, table_html, table_text
from nbplat.ui.session_desk import SessionDesk, open_session_desk
from nbplat.ui.spoken import spoken

__all__ = [
    "attach", "follow", "info", "list_sessions", "logs", "profiles", "run", "share", "sql", "start", "stop", "url",
]  # fmt: skip

_FIELDS = (
    "kind", "conf", "driver_memory", "driver_cores", "executor_memory", "executor_cores", "num_executors", "queue",
    "jars", "py_files", "files", "archives", "profile",
)  # fmt: skip
_CODE_CHARS = 60


def start(call: Call) -> Result:
    """Start a session, wait until it is ready, and send this notebook's cells there."""
    options = call.options
    if options.session and options.name and options.session != options.name:
        raise RequestError(
            "usage.arguments", f"two names: {options.session} and --name {options.name}", fix="give one of them"
        )
    desk = open_session_desk()
    fields = {name: getattr(options, name) for name in _FIELDS}
    fields |= {"environment": options.env, "ttl": options.ttl, "idle_timeout": options.idle}
    fields |= {name: list(value) for name, value in fields.items() if isinstance(value, tuple)}
    name = options.session or options.name
    began_s = time.monotonic()
    session = desk.start({**fields, "name": name}) if name else here.start_named(desk, here.notebook_name(), fields)
    if call.where != "cli":
        here.attach(desk, session)
    if options.wait:
        session = desk.started(session["id"], call.show)
    took = f" in {time.monotonic() - began_s:.1f} s" if options.wait else ""
    text = f"session {title_of(session)} {session['state']}{took}"
    return Result(text, value=Session(desk, session), data=session)


def attach(call: Call) -> Result:
    """Send this notebook's cells to a living session; in a shell, follow what runs there."""
    desk = open_session_desk()
    session = here.living(desk, call.options.session)
    running = [each for each in desk.statements(session["id"], limit=100) if not each["ended"]]
    if call.where == "cli":
        if running:
            return follow_statement(call, desk, session, running[-1])
        return Result(f"session {title_of(session)} {session['state']}: nothing runs", data=session)
    here.attach(desk, session)
    text = f"cells go to session {title_of(session)}, {session['state']}"
    if running:
        text += f"; statement {running[-1]['id']} {running[-1]['state']}: %session follow"
    return Result(text, value=Session(desk, session), data=session)


def list_sessions(call: Call) -> Result:
    """Every session, those that have ended included until they are stopped."""
    desk = open_session_desk()
    sessions = desk.every()
    mine = _mine(desk, call)
    header = ["id", "name", "kind", "state", "spark", "started", "here"]
    rows = [
        [
            str(each["id"]),
            each["name"] or None,
            each["kind"],
            each["state"],
            each["app"].get("version"),
            iso(each["created_ms"]),
            "yes" if each["id"] == mine else None,
        ]
        for each in sessions
    ]
    return Result(table_text(header, rows), table_html(header, rows), data=sessions)


def profiles(_call: Call) -> Result:
    """The site's profiles that this user may start sessions with."""
    told = open_session_desk().profiles()
    header = ["profile", "what", "sets", "may be changed"]
    rows = [
        [
            each["name"] + (" (default)" if each["name"] == told["default"] else ""),
            each["about"] or None,
            ", ".join(f"{key} {value}" for key, value in sorted({**each["conf"], **each["life"]}.items())) or None,
            _changeable(each),
        ]
        for each in told["profiles"]
    ]
    return Result(table_text(header, rows), table_html(header, rows), value=told["profiles"], data=told)


def share(call: Call) -> Result:
    """Say who besides its owner may look at a session, or use it."""
    desk = open_session_desk()
    session = here.chosen(desk, call.options.session)
    view, use = list(call.options.view), list(call.options.use)
    told = desk.share(session["id"], view=view, use=use)
    said = [f"{word} by {', '.join(names)}" for word, names in (("seen", view), ("used", use)) if names]
    what = f"may be {' and '.join(said)}" if said else "is its owner's alone"
    return Result(f"session {title_of(session)} {what}", value=told, data=told)


def info(call: Call) -> Result:
    """One session: state, Spark, statements, and each setting with who said it."""
    desk = open_session_desk()
    session = here.chosen(desk, call.options.session)
    statements = desk.statements(session["id"], limit=10)
    app = session["app"]
    facts: list[tuple[str, Any]] = [
        ("session", title_of(session)),
        ("state", session["state"]),
        ("kind", session["kind"]),
        ("profile", session["profile"]),
        ("owner", session["owner"]),
        *((f"{level} by", ", ".join(names)) for level, names in session["access"].items() if names),
        ("started", iso(session["created_ms"])),
        ("ends at age", session["ttl"]),
        ("ends unused after", session["idle_timeout"]),
        ("spark", app.get("version")),
        ("master", app.get("master")),
        ("application", app.get("app_id")),
        ("spark ui", app.get("ui")),
        ("python", app.get("python")),
    ]
    if session["error"]:
        facts += [("error", session["error"]["message"]), ("fix", spoken(session["error"]["fix"]))]
    ran = (["statement", "state", "code"], [[str(s["id"]), _state(s), _short(s["code"])] for s in statements])
    conf = (["setting", "value", "from"], [[each["key"], each["value"], each["origin"]] for each in session["conf"]])
    text = "\n\n".join([fields_text(facts), table_text(*ran), table_text(*conf)])
    page = fields_html(facts) + table_html(*ran) + f"<details><summary>settings</summary>{table_html(*conf)}</details>"
    return Result(text, page, value=session, data={**session, "statements": statements})


def logs(call: Call) -> Result:
    """The log of a session's driver."""
    desk = open_session_desk()
    session = here.chosen(desk, call.options.session)
    lines = desk.log(session["id"], tail=call.options.tail or 100_000)
    return Result("\n".join(lines), data={"session": session["id"], "log": lines})


def stop(call: Call) -> Result:
    """End a session with everything that it started."""
    desk = open_session_desk()
    session = here.chosen(desk, call.options.session)
    desk.stop(session["id"])
    here.forget(desk, session["id"])
    return Result(f"session {title_of(session)} stopped", data={"stopped": session["id"]})


def run(call: Call) -> Result:
    """Run Python in a session."""
    desk = open_session_desk()
    return run_python(call, desk, here.chosen(desk, call.options.session))


def sql(call: Call) -> Result:
    """Run a query in a session."""
    desk = open_session_desk()
    return run_query(call, desk, here.chosen(desk, call.options.session))


def follow(call: Call) -> Result:
    """Show a statement from its beginning until it ends."""
    desk = open_session_desk()
    session = here.chosen(desk, call.options.session)
    number = call.options.statement
    if number is None:
        newest = desk.statements(session["id"], limit=1)
        if not newest:
            mend = "nbplat session run" if call.where == "cli" else "%%spark"
            raise RequestError(
                "session.statement", f"session {title_of(session)} has run nothing", fix=f"run a cell: {mend}"
            )
        number = newest[0]["id"]
    return follow_statement(call, desk, session, desk.statement(session["id"], number))


def url(call: Call) -> Result:
    """The address for Livy clients, and where their password is."""
    desk = open_session_desk()
    config, client = desk.config, desk.client
    place = config.service_token_file if config.service_url else str(config.home / "run" / "service.json")
    facts: list[tuple[str, Any]] = [
        ("url", client.url),
        ("user", "any"),
        ("password", client.token if call.options.show_token else f"the token in {place}"),
        ("sparkmagic", "nbplat kernel install --sparkmagic"),
    ]
    data = {"url": client.url, "token_file": place}
    if call.options.show_token:
        data["token"] = client.token
    return Result(fields_text(facts), fields_html(facts), value=data, data=data)


def _changeable(profile: dict[str, Any]) -> str:
    rules = [f"{rule['option']} {rule['said']}" for rule in profile["allow"]]
    if not profile["only"]:
        return "; ".join([*rules, "anything else" if rules else "anything"])
    return "; ".join(rules) or "nothing"


def _mine(desk: SessionDesk, call: Call) -> int | None:
    if call.where == "cli":
        return None
    try:
        session = here.current(desk)
    except NbplatError:  # it has ended: the list shows how
        return None
    return None if session is None else int(session["id"])


def _state(statement: dict[str, Any]) -> str:
    failed = statement["ended"] and (statement["output"] or {}).get("status") == "error"
    return "failed" if failed and statement["state"] == "available" else str(statement["state"])


def _short(code: str) -> str:
    line = " ".join(code.split())
    return line if len(line) <= _CODE_CHARS else f"{line[:_CODE_CHARS]}…"
