"""`%%spark` and `%%sql`: a cell that runs in a session, shown here as it runs there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbplat.errors import NotFound
from nbplat.ui import session_here as here
from nbplat.ui.call import Call
from nbplat.ui.python_session import Session
from nbplat.ui.render.figures import count_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.statement import title_of
from nbplat.ui.render.table import table_html, table_text
from nbplat.ui.session_desk import SessionDesk, open_session_desk
from nbplat.ui.session_rows import frame_of, has_rows, rows_left_out, rows_of

__all__ = ["CellResult", "follow_statement", "run_python", "run_query", "spark", "sql"]

_SHOWN_ROWS = 50
_SHOWN_CHARS = 200


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
    return run_python(call, desk, _session(call, desk))


def sql(call: Call) -> Result:
    """Run a cell's query in the notebook's session."""
    desk = open_session_desk()
    return run_query(call, desk, _session(call, desk))


def run_python(call: Call, desk: SessionDesk, session: Mapping[str, Any]) -> Result:
    """Run the body as Python."""
    statement = desk.submit(session["id"], call.body or "", "pyspark")
    return follow_statement(call, desk, session, statement) if call.options.wait else _left(desk, session, statement)


def run_query(call: Call, desk: SessionDesk, session: Mapping[str, Any]) -> Result:
    """Run the body as SQL."""
    rows = call.options.rows
    statement = desk.submit(session["id"], (call.body or "").strip().rstrip(";"), "sql", rows=rows, arrow=True)
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


def _session(call: Call, desk: SessionDesk) -> dict[str, Any]:
    """The session that the line names; else the notebook's, which is started when there is none."""
    key, name = call.options.session, call.options.name
    if key:
        session = here.chosen(desk, key)
        if here.current(desk) is None:
            here.attach(desk, session)
        return session
    if name:
        session = desk.living(name) or _start(call, desk, {"name": name})
        here.attach(desk, session)
        return session
    found = here.current(desk)
    return found if found is not None else _start(call, desk, {})


def _start(call: Call, desk: SessionDesk, fields: dict[str, Any]) -> dict[str, Any]:
    base = here.notebook_name()
    session = desk.start(fields) if fields else here.start_named(desk, base, {})
    other = ""
    if not fields and session["name"] != base:
        other = f"; {base} lives too: %session attach {base}"
    call.write("stderr", f"starting session {title_of(session)} for this notebook{other}\n")
    # Before it is ready: an interrupt leaves it to the next cell.
    here.attach(desk, session)
    desk.started(session["id"], call.show)
    return session


def _left(desk: SessionDesk, session: Mapping[str, Any], statement: Mapping[str, Any]) -> Result:
    text = f"{_title(session, statement)} {statement['state']}; %session follow shows it"
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
