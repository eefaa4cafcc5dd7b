"""`%%spark` and `%%sql`: a cell that runs in a session, shown here as it runs there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from nbplat.errors import NotFound, did_you_mean
from nbplat.ui import session_here as here
from nbplat.ui.call import Call
from nbplat.ui.python_session import Session
from nbplat.ui.render.figures import count_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.statement import title_of
from nbplat.ui.render.table import table_html, table_text
from nbplat.ui.session_desk import SessionDesk, open_session_desk
from nbplat.ui.session_rows import frame_of, has_rows, rows_left_out, rows_of
from nbplat.ui.spoken import spoken
from nbplat.ui.statement_end import StatementFailed

__all__ = [
    "CellResult",
    "follow_statement",
    "notebook_session",
    "run_code",
    "run_python",
    "run_query",
    "send",
    "spark",
    "sql",
]

_SHOWN_ROWS = 50
_SHOWN_CHARS = 200
_QUERY_ROWS = 1000
# In the session; no name that a cell would use.
_SAMPLE = "_nbplat_sample"


@dataclass(frozen=True, slots=True)
class CellResult(Result):
    """The value of a remote cell in the forms it has there, and nothing where it has none."""

    own: Mapping[str, Any] = field(default_factory=dict)

    def bundle(self) -> dict[str, Any]:
        return dict(self.own)

    def _ipython_display_(self) -> None:
        if self.own:
            raise NotImplementedError  # IPython's word for: as you do by yourself


def spark(call: Call) -> Result:
    """Run a cell's Python in the notebook's session."""
    desk = open_session_desk()
    options = call.options
    # All of them before anything is started or sent.
    bodies = {name: desk.frame(name, _local(call, name)) for name in options.frames}
    session = _session(call, desk)
    for name, body in bodies.items():
        _followed(call, desk, session, desk.send(session["id"], name, body))
    kind = _kind(call, session)
    if kind == "sql":
        return run_query(call, desk, session)
    ran = run_code(call, desk, session, kind)
    return ran if options.out is None or not options.wait else _with_frame(call, desk, session, ran)


def send(call: Call) -> Result:
    """Send a DataFrame of the notebook to a session."""
    options, desk = call.options, open_session_desk()
    name = options.called or options.frame
    body = desk.frame(name, _local(call, options.frame))
    session = here.chosen(desk, options.session)
    done = _followed(call, desk, session, desk.send(session["id"], name, body, view=options.view))
    return Result(f"{done['output']['data']['text/plain']} in session {title_of(session)}", data=done)


def sql(call: Call) -> Result:
    """Run a cell's query in the notebook's session."""
    desk = open_session_desk()
    return run_query(call, desk, _session(call, desk))


def notebook_session(call: Call, desk: SessionDesk) -> dict[str, Any]:
    """The session of this notebook's cells, started and waited for when there is none."""
    found = here.current(desk)
    return found if found is not None else _start(call, desk, {})


def run_python(call: Call, desk: SessionDesk, session: Mapping[str, Any]) -> Result:
    """Run the body as Python."""
    return run_code(call, desk, session, "pyspark")


def run_code(call: Call, desk: SessionDesk, session: Mapping[str, Any], kind: str) -> Result:
    """Run the body in a language of sessions: ``pyspark``, ``spark`` (Scala)."""
    statement = desk.submit(session["id"], call.body or "", kind)
    return follow_statement(call, desk, session, statement) if call.options.wait else _left(desk, session, statement)


def run_query(call: Call, desk: SessionDesk, session: Mapping[str, Any]) -> Result:
    """Run the body as SQL."""
    rows = _rows(call, otherwise=_QUERY_ROWS)
    query = (call.body or "").strip().rstrip(";")
    if getattr(call.options, "method", None) == "sample":
        return _sampled(call, desk, session, f"spark.sql({query!r})", rows)
    statement = desk.submit(session["id"], query, "sql", rows=rows, arrow=True)
    if not call.options.wait:
        return _left(desk, session, statement)
    done = desk.follow(statement, _title(session, statement), show=call.show, write=call.write)
    return _rows_result(desk, done, quiet=call.options.quiet, records=call.options.json)


def follow_statement(call: Call, desk: SessionDesk, session: Mapping[str, Any], statement: Mapping[str, Any]) -> Result:
    """Show a statement until it ends, and give its value."""
    done = desk.follow(statement, _title(session, statement), show=call.show, write=call.write)
    data = dict(done["output"]["data"])
    if has_rows(done["output"]):
        return _rows_result(desk, done, quiet=False, records=call.options.json)
    text = str(data.get("text/plain", ""))
    return CellResult(text, value=data.get("application/json", text), data=done, beside=True, own=data)


def _kind(call: Call, session: Mapping[str, Any]) -> str:
    """The language of a cell: what its line says, else the session's own where that is Scala, else Python."""
    asked = call.options.language or ("sql" if call.options.context == "sql" else None)
    if asked is None:
        return "spark" if session["kind"] == "spark" else "pyspark"
    return {"python": "pyspark", "scala": "spark", "sql": "sql"}[asked]


def _rows(call: Call, *, otherwise: int | None) -> int | None:
    """At most so many; None: all."""
    asked = call.options.rows
    return otherwise if asked is None else None if asked < 0 else int(asked)


def _sampled(call: Call, desk: SessionDesk, session: Mapping[str, Any], frame: str, rows: int | None) -> Result:
    """A random share of a frame's rows."""
    code = f"{_SAMPLE} = {frame}.sample(False, {float(call.options.fraction)})"
    _followed(call, desk, session, desk.submit(session["id"], code, "pyspark"))
    statement = desk.submit(session["id"], _SAMPLE, "take", rows=rows)
    done = desk.follow(statement, _title(session, statement), show=call.show, write=call.write)
    return _rows_result(desk, done, quiet=call.options.quiet, records=call.options.json)


def _local(call: Call, name: str) -> Any:
    if name not in call.namespace:
        known = [each for each in call.namespace if not each.startswith("_")]
        raise NotFound(
            "frame.unknown", f"the notebook has no {name!r}", fix=did_you_mean(name, known) or "define it", where=name
        )
    return call.namespace[name]


def _followed(
    call: Call, desk: SessionDesk, session: Mapping[str, Any], statement: Mapping[str, Any]
) -> dict[str, Any]:
    return desk.follow(statement, _title(session, statement), show=call.show, write=call.write)


def _with_frame(call: Call, desk: SessionDesk, session: Mapping[str, Any], ran: Result) -> Result:
    """A cell's result with the DataFrame that `--out` names there, or that is the cell's own value, as its value.

    Where there is none, the value is what it is without a DataFrame.
    """
    # The session's `_` is the cell's value, as at any prompt.
    for name in (call.options.out, *(["_"] if ran.bundle() else [])):
        if call.options.method == "sample":
            try:
                return replace(ran, value=_sampled(call, desk, session, name, _rows(call, otherwise=None)).value)
            except StatementFailed as exc:
                if exc.ename in ("NameError", "AttributeError"):
                    continue
                raise
        statement = desk.submit(session["id"], name, "take", rows=_rows(call, otherwise=None))
        try:
            done = _followed(call, desk, session, statement)
        except StatementFailed as exc:
            if exc.ename in ("NameError", "TypeError"):
                continue
            raise
        table = rows_of(done["output"], partial(desk.page, done))
        if (cut := rows_left_out(done["output"])) is not None:
            mend = "-n" if cut == "rows" else "session.result_bytes"
            call.write("stderr", f"{call.options.out}: the first {table.num_rows:,} rows, there are more ({mend})\n")
        return replace(ran, value=frame_of(table))
    return ran


def _session(call: Call, desk: SessionDesk) -> dict[str, Any]:
    """The session that the line names; else the notebook's, which is started when there is none."""
    key, name = call.options.session or call.options.named, call.options.name
    if key:
        session = here.chosen(desk, key)
        if here.current(desk) is None:
            here.attach(desk, session)
        return session
    if name:
        session = desk.living(name) or _start(call, desk, {"name": name})
        here.attach(desk, session)
        return session
    return notebook_session(call, desk)


def _start(call: Call, desk: SessionDesk, fields: dict[str, Any]) -> dict[str, Any]:
    base = here.notebook_name()
    asked = here.configured(desk.place)
    session = desk.start({**asked, **fields}) if fields else here.start_named(desk, base, asked)
    other = ""
    if not fields and session["name"] != base:
        other = f"; {base} lives too: %session attach {base}"
    call.write("stderr", f"starting session {title_of(session)} for this notebook{other}\n")
    if not fields:
        here.own(desk.place, session["id"])
    # Before it is ready: an interrupt leaves it to the next cell.
    here.attach(desk, session)
    desk.started(session["id"], call.show)
    return session


def _left(desk: SessionDesk, session: Mapping[str, Any], statement: Mapping[str, Any]) -> Result:
    text = spoken(f"{_title(session, statement)} {statement['state']}; %session follow shows it")
    handle = Session(desk, session).statement(int(statement["id"]))
    return Result(text, value=handle, data=dict(statement), beside=True)


def _rows_result(desk: SessionDesk, done: Mapping[str, Any], *, quiet: bool, records: bool) -> Result:
    if not has_rows(done["output"]):
        raise NotFound("session.rows", "the statement gave no rows", fix="run a query")
    table = rows_of(done["output"], lambda page: desk.page(done, page))
    cut = rows_left_out(done["output"])
    frame = frame_of(table)
    if not table.num_columns:
        return CellResult("done", value=frame, data=dict(done), beside=True, own={"text/plain": "done"})
    note = count_text(table.num_rows, "row")
    if cut is not None:
        note = f"the first {note}, there are more ({'-n' if cut == 'rows' else 'session.result_bytes'})"
    if table.num_rows > _SHOWN_ROWS:
        note += f"; {_SHOWN_ROWS} shown"
    names = table.column_names
    cells = [[_cell(column[n].as_py()) for column in table.columns] for n in range(min(table.num_rows, _SHOWN_ROWS))]
    text = f"{table_text(names, cells)}\n{note}"
    page = f"{table_html(names, cells)}<div>{note}</div>"
    own = {} if quiet else {"text/plain": text, "text/html": page}
    data: dict[str, Any] = {"columns": names, "count": table.num_rows, "more": cut is not None}
    if records:
        data["rows"] = table.to_pylist()
    return CellResult("" if quiet else text, page, value=frame, data=data, beside=True, own=own)


def _cell(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, bool | int):
        return value
    text = str(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _title(session: Mapping[str, Any], statement: Mapping[str, Any]) -> str:
    return f"{session['name'] or session['id']}[{statement['id']}]"
