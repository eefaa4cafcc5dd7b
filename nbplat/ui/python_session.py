"""`nb.session(...)`: a Spark session from Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

from nbplat.errors import NotFound, did_you_mean
from nbplat.ui.python_statement import Ran, Statement, nowhere, to_screen
from nbplat.ui.render.statement import title_of
from nbplat.ui.session_desk import SessionDesk, open_session_desk

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["Session", "session"]


def session(
    name: str | int | None = None,
    *,
    new: bool = False,
    attach: bool = False,
    wait: bool = True,
    kind: str = "pyspark",
    conf: Mapping[str, Any] | None = None,
    driver_memory: str | None = None,
    driver_cores: int | None = None,
    executor_memory: str | None = None,
    executor_cores: int | None = None,
    num_executors: int | None = None,
    queue: str | None = None,
    jars: Sequence[str] = (),
    py_files: Sequence[str] = (),
    files: Sequence[str] = (),
    archives: Sequence[str] = (),
    env: str | None = None,
    ttl: str | None = None,
    idle: str | None = None,
    profile: str | None = None,
    desk: SessionDesk | None = None,
) -> Session:
    """A Spark session that outlives this process: the living one of that name, or a new one.

    Args:
        name: A name, or the id of a living session; None starts one without a name.
        new: Start one; a living session of that name is a conflict.
        attach: Do not start one when there is none.
        wait: Return when it has started; otherwise at once: statements may be sent all the same.
        kind: ``pyspark`` or ``sql``: the language of statements that name none.
        conf: Spark settings; they and the options below are for a session that is started.
        driver_memory, executor_memory: As ``2g``.
        env: Name of a built environment that driver and executors run in; None is the service's own Python.
        ttl: The session ends at this age, as ``8h``, whatever it does.
        idle: It ends when nobody has used it for so long, as ``30m``; None is the service's own limit.
        profile: Settings that the site keeps under a name; None is its default.
        desk: Where sessions are kept; None asks the service, which is started on demand.

    Raises:
        NotFound: no living session has that id, or with `attach` that name.
        Conflict: with `new`, the name is taken.
        NbplatError: what is wrong with the request, or why the session did not start.
    """
    desk = desk or open_session_desk()
    record = desk.living(name) if name is not None and not new else None
    started = record is None
    if record is None:
        if attach or isinstance(name, int):
            known = [each["name"] for each in desk.every() if each["name"]]
            raise NotFound(
                "session.unknown",
                f"no living session is called {name!r}",
                fix=did_you_mean(str(name), known) or "start it: nb.session(name)",
            )
        record = desk.start(
            {
                "name": name or "",
                "kind": kind,
                "conf": {key: _text(value) for key, value in (conf or {}).items()},
                "driver_memory": driver_memory,
                "driver_cores": driver_cores,
                "executor_memory": executor_memory,
                "executor_cores": executor_cores,
                "num_executors": num_executors,
                "queue": queue,
                "jars": list(jars),
                "py_files": list(py_files),
                "files": list(files),
                "archives": list(archives),
                "environment": env,
                "ttl": ttl,
                "idle_timeout": idle,
                "profile": profile,
            }
        )
    opened = Session(desk, record, started=started)
    if wait:
        desk.started(opened.id, lambda _: None)
    return opened


class Session:
    """One session. Used as a context manager it is stopped at the end when it was started here, else left as it is."""

    def __init__(self, desk: SessionDesk, record: Mapping[str, Any], *, started: bool = False) -> None:
        self._desk = desk
        self._started = started
        self.id = int(record["id"])
        self.name = str(record["name"])
        self.kind = str(record["kind"])

    @property
    def state(self) -> str:
        """``starting``, ``idle``, ``busy``, ``dead``, …"""
        return str(self._desk.show(self.id)["state"])

    def info(self) -> dict[str, Any]:
        """Its record, with each Spark setting and who said it; values of secrets are left out."""
        return self._desk.show(self.id)

    def run(self, code: str, *, kind: str | None = None, quiet: bool = False) -> Ran:
        """Run a cell and wait for its end; an interrupt cancels it there.

        Args:
            kind: ``pyspark`` or ``sql``; None is the session's.
            quiet: Do not print here what it prints there.

        Raises:
            StatementFailed: its code failed; with its own traceback.
            Cancelled: it was cancelled, a KeyboardInterrupt.
        """
        return self.submit(code, kind=kind).wait(quiet=quiet)

    def submit(self, code: str, *, kind: str | None = None) -> Statement:
        """Have a cell run and return at once."""
        return self._statement(self._desk.submit(self.id, code, kind))

    @overload
    def sql(self, query: str, *, rows: int | None = ..., arrow: Literal[False] = ...) -> pd.DataFrame: ...
    @overload
    def sql(self, query: str, *, rows: int | None = ..., arrow: Literal[True]) -> pa.Table: ...
    def sql(self, query: str, *, rows: int | None = 1000, arrow: bool = False) -> pd.DataFrame | pa.Table:
        """Run a query and take its first rows, each value in Spark's own type.

        Args:
            rows: At most so many, None as many as the service takes; where there are more, a warning says so.
            arrow: Return a `pyarrow.Table`; otherwise a DataFrame, where columns with nulls have nullable types.

        Raises:
            StatementFailed, Cancelled: as `run`.
        """
        return self._rows(self._desk.submit(self.id, query, "sql", rows=rows, arrow=True), arrow=arrow)

    def batches(self, query: str, *, rows: int | None = None) -> Iterator[pa.RecordBatch]:
        """Run a query and take its rows a batch at a time, so that they never have to be in memory together.

        Raises:
            StatementFailed, Cancelled: as `run`, at the first batch.
        """
        from nbplat.ui.session_rows import pages_of

        done = self._done(self._desk.submit(self.id, query, "sql", rows=rows, arrow=True))
        for page in pages_of(done["output"], lambda number: self._desk.page(done, number)):
            yield from page.to_batches()

    @overload
    def take(self, name: str, *, rows: int | None = ..., arrow: Literal[False] = ...) -> pd.DataFrame: ...
    @overload
    def take(self, name: str, *, rows: int | None = ..., arrow: Literal[True]) -> pa.Table: ...
    def take(self, name: str, *, rows: int | None = None, arrow: bool = False) -> pd.DataFrame | pa.Table:
        """The rows of a DataFrame (of Spark, pandas, Polars) or Arrow table that the session calls `name`; as `sql`."""
        return self._rows(self._desk.submit(self.id, name, "take", rows=rows), arrow=arrow)

    def send(self, frame: Any, name: str, *, view: bool = False) -> None:
        """Give the session a DataFrame of this process under a name, with every value as it is.

        Args:
            frame: A pandas or Polars DataFrame, or an Arrow table; `limits.frame_bytes` at most.
            name: A Spark DataFrame there; in a session without Spark an Arrow table.
            view: Also make it a temporary view, so that SQL finds it.

        Raises:
            RequestError: ``frame.…``: no frame, too large, or a type or value that Spark lacks; nothing is sent then.
            StatementFailed, Cancelled: as `run`.
        """
        self._done(self._desk.send(self.id, name, self._desk.frame(name, frame), view=view))

    def statement(self, number: int) -> Statement:
        """A statement that was sent before, from here or elsewhere. Raises NotFound."""
        return self._statement(self._desk.statement(self.id, number))

    def statements(self, *, limit: int = 20) -> list[dict[str, Any]]:
        """Records of the newest statements, newest first."""
        return self._desk.statements(self.id, limit=limit)

    def complete(self, code: str, cursor: int | None = None) -> list[str]:
        """What may follow at the cursor; works while a cell runs."""
        return list(self._desk.complete(self.id, code, cursor)["matches"])

    def inspect(self, code: str, cursor: int | None = None) -> str:
        """What the name at the cursor is; empty when nothing is known. Works while a cell runs."""
        return str(self._desk.inspect(self.id, code, cursor).get("text", ""))

    def logs(self, *, tail: int = 100) -> str:
        """The last lines of the driver's log."""
        return "\n".join(self._desk.log(self.id, tail=tail))

    def share(self, *, view: Sequence[str] = (), use: Sequence[str] = ()) -> None:
        """Let others look at it, or use it; replaces what was said before. ``*`` is everybody."""
        self._desk.share(self.id, view=view, use=use)

    def stop(self) -> None:
        """End it, with everything that it started. Nothing happens when it is gone."""
        try:
            self._desk.stop(self.id)
        except NotFound:
            return

    def _done(self, found: Mapping[str, Any]) -> dict[str, Any]:
        return self._desk.follow(found, self._title(found["id"]), show=nowhere, write=to_screen)

    def _rows(self, found: Mapping[str, Any], *, arrow: bool) -> pd.DataFrame | pa.Table:
        from nbplat.ui.session_rows import frame_of, rows_left_out, rows_of

        done = self._done(found)
        table = rows_of(done["output"], lambda page: self._desk.page(done, page))
        if (cut := rows_left_out(done["output"])) is not None:
            import warnings

            mend = "rows=…" if cut == "rows" else "session.result_bytes, or batches()"
            warnings.warn(f"the first {table.num_rows:,} rows; there are more ({mend})", stacklevel=3)
        return table if arrow else frame_of(table)

    def _statement(self, record: Mapping[str, Any]) -> Statement:
        return Statement(self._desk, record, self._title(record["id"]))

    def _title(self, number: int) -> str:
        return f"{self.name or self.id}[{number}]"

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._started:
            self.stop()

    def __repr__(self) -> str:
        return f"<session {title_of({'name': self.name, 'id': self.id})}>"


def _text(value: Any) -> str:
    # As Spark writes truths.
    return str(value).lower() if isinstance(value, bool) else str(value)
