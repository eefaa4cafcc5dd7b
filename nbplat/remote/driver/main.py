"""The driver's life: start Spark, take requests, run statements, leave nothing behind."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nbplat.remote import PROTOCOL

from .cell_error import CellError, error_output
from .complete import complete, inspect_at, within
from .control import Control
from .dial import Dialer
from .display import install_display
from .event_log import EventLog
from .fitting import Shown, fitting
from .frames_in import receive_frame
from .hosts import host_of
from .jobs import JobContext, add_to_session, run_job
from .log_cap import cap_log
from .log_tail import LogTail, container_logs
from .output import Capture
from .process_guard import ProcessGuard
from .progress import Watch
from .put_file import page_piece, put_file
from .python_cell import PythonCells
from .rows import limits_of, write_rows
from .scala_cell import CLASS_FOLDER, ScalaCells, class_folder, local_path
from .sql_cell import run_sql
from .statements import Statement, Statements
from .warm_up import Claim, Outside, exercise, warm_conf

__all__ = ["Driver", "main"]

_ASK_S = 0.4
_ALONE_S = 86_400.0
_WARM_ALONE_S = 60.0
_LOOK_S = 30.0
# How long one that has ended keeps what no service has taken yet.
_LINGER_S = 600.0
# What a service that shares no disk may write into.
_FOLDERS = ("uploads", "frames")
_OUTPUT_CHARS = 8 << 20
_SQL_ROWS = 1000
# How long the end of a JVM may take to be known here, after a call to it failed.
_JVM_S = 2.0
_NO_JVM = (
    "Scala runs in the JVM of a driver, and this session's driver has none (Spark Connect takes Python and SQL only): "
    "write the cell in Python or SQL, or start a session whose master is not sc://"
)


class Driver:
    """One session's process.

    Args:
        folder: Of the session: holds ``events/``; made when missing.
        spec: ``kind`` (``pyspark``, ``sql`` or ``python``, which has no Spark), ``socket`` (path), ``token``,
            ``conf`` (Spark's settings, text to text), ``alone_s`` (after so many seconds without a service, and
            with nothing to run, it ends itself) and ``archives`` (folder of class-data archives; empty uses none).
            On a cluster ``dial`` in place of ``socket``: see `Dialer`. With ``warm`` true there is no session yet:
            ``conf`` holds what the JVM is started with, and the rest comes with the request that claims this driver.
    """

    def __init__(self, folder: str, spec: dict[str, Any]) -> None:
        self._folder = folder
        self._spec = spec
        self._claim = Claim() if spec.get("warm") else None
        self._log = EventLog(str(Path(folder) / "events"))
        self._spark = host_of(spec, self._say, lambda number, found: self._log.append("progress", id=number, **found))
        self._module = types.ModuleType("__main__")
        self._names: dict[str, Any] = self._module.__dict__
        self._statements = Statements(
            self._log,
            before=self._begin,
            after=self._end,
            cancel=lambda found: self._spark.cancel(found),
            lost=self._await_jvm,
            calls=self._spark.calls,
        )
        self._cells = PythonCells(self._names)
        self._statements.runners = {
            "python": self._run_python,
            "sql": self._run_sql,
            "scala": self._run_scala,
            "job": self._run_job,
            "take": self._run_take,
            "put": self._run_put,
        }
        self._watch = Watch(self._spark.tracker, lambda number, found: self._log.append("progress", id=number, **found))
        self._job_context: JobContext | None = None
        self._scala: ScalaCells | None = None
        self._state = "starting"
        self._stored = threading.Event()
        self._is_alone = False
        self._shown = Shown(lambda _: None)
        self._guard = ProcessGuard(self._spared, self._too_many)
        self._jvm: Any = None
        self._ending = False

    def run(self) -> int:
        """Live until asked to stop; 0 for an end in order, 1 when Spark did not start."""
        control = Control(self._spec.get("socket", ""), self._spec["token"], self._log, self._about, self._handlers())
        dialer, tail = self._dialled(control)
        cap_log()
        os.register_at_fork(after_in_child=self._forked)
        threading.Thread(target=self._end_when_alone, args=(control,), name="alone", daemon=True).start()
        try:
            # Functions of cells are pickled with the module they were defined in, by value only when it is this one.
            sys.modules["__main__"] = self._module
            if self._claim is not None and not self._claimed(self._claim):
                return 0
            if self._spec["kind"] != "python" and not self._start_spark():
                return 1
            self._names.update(self._spark.names(), display=install_display(self._show))
            self._become("idle")
            self._statements.serve()
            self._become("shutting_down")
            return 0
        finally:
            self._ending = True
            self._spark.close()
            tail.close()
            self._log.append("ended")
            if dialer is not None:
                # Its log is gone with it: a service that was restarted just now is waited for, a lost one is not.
                self._stored.wait(0.0 if self._is_alone else _LINGER_S)
                dialer.close()
            control.close()

    def _forked(self) -> None:
        """A copy of this process that a cell made tells nothing: its prints go to the log."""
        self._log.mute()
        self._statements.mute()

    def _dialled(self, control: Control) -> tuple[Dialer | None, LogTail]:
        """On a cluster: what calls the service, and what tells the container's log."""
        if "dial" not in self._spec:
            return None, LogTail((), print)
        tail = LogTail(container_logs(dict(os.environ)), lambda lines: self._log.append("log", lines=lines))
        return Dialer(self._spec["dial"], control, self._say), tail

    def _end_when_alone(self, control: Control) -> None:
        while self._claim is not None and self._claim.waits:
            warm_s = float(self._spec.get("warm_alone_s", _WARM_ALONE_S))
            time.sleep(min(_LOOK_S, warm_s / 4))
            if control.alone_s > warm_s and self._claim.give_up():
                return
        while True:
            # A claim brings its own.
            limit_s = float(self._spec.get("alone_s", _ALONE_S))
            time.sleep(min(_LOOK_S, limit_s / 4))
            if control.alone_s > limit_s and self._state == "idle" and self._statements.state == "idle":
                self._is_alone = True
                self._log.append("alone", seconds=limit_s)
                self._statements.stop()
                return

    def _claimed(self, claim: Claim) -> bool:
        """Warm up and wait for a session; False when none came."""
        outside = Outside()
        try:
            if self._spec["kind"] != "python":
                self._launch()
                self._warm_up(claim)
            if claim.waits:
                self._log.append("warm", jvm=self._spark.jvm_pid)
        except Exception as exc:  # noqa: BLE001 - whoever claimed it meanwhile must learn it, and nobody else may
            claim.give_up()
            self._log.append("failed", error=error_output(exc))
            return False
        asked = claim.wait()
        outside.restore()
        if asked is None:
            return False
        self._spec = {**self._spec, **asked}
        return True

    def _warm_up(self, claim: Claim) -> None:
        """Load Spark's classes; a session that comes meanwhile waits for no more than what has begun."""
        if not claim.waits:
            return
        self._spark.claim(warm_conf(self._spec["conf"], self._folder))
        if claim.waits:
            exercise(self._spark.session, self._folder)
        self._spark.release()
        self._spark.forget()

    def _launch(self) -> None:
        self._spark.launch(self._spec["conf"], self._spec.get("archives", ""))
        self._watch_jvm(getattr(self._spark, "process", None))
        self._log.append("launched", jvm=self._spark.jvm_pid, archive=self._spark.archive_name)

    def _start_spark(self) -> bool:
        try:
            if self._claim is None:
                self._launch()
            else:
                self._spark.prepare(self._spec["conf"])
            found = self._spark.claim(self._with_scala(self._spec["conf"]))
        except Exception as exc:  # noqa: BLE001 - whatever a JVM or a master says, the service must learn it
            self._log.append("failed", error=error_output(exc))
            return False
        self._log.append("spark", **found)
        return True

    def _watch_jvm(self, process: Any) -> None:
        """Have this process end when its JVM does: nothing runs without it."""
        if process is None:
            return
        self._jvm = process

        def mourn() -> None:
            code = process.wait()
            if not self._ending:
                self._log.append("jvm", code=code)
                os._exit(1)

        threading.Thread(target=mourn, name="jvm", daemon=True).start()

    def _await_jvm(self, exc: BaseException) -> None:
        """Never return when an error comes of the JVM's end, which is told as that and not as the cell's."""
        if self._jvm is None:
            return
        broken = isinstance(exc, (OSError, EOFError)) or type(exc).__module__.startswith("py4j")
        answered = threading.Event()
        if broken:
            # Java's own errors are py4j's as well, and an interrupt may break a connection of a JVM that is well.
            threading.Thread(target=self._ask_jvm, args=(answered,), daemon=True).start()
        deadline = time.monotonic() + (_JVM_S if broken else 0.0)
        while self._jvm.poll() is None:
            if answered.is_set() or time.monotonic() >= deadline:
                return
            time.sleep(0.01)
        threading.Event().wait()

    def _ask_jvm(self, answered: threading.Event) -> None:
        deadline = time.monotonic() + _JVM_S
        while time.monotonic() < deadline:
            try:
                self._spark.gateway.jvm.java.lang.System.nanoTime()
            except Exception:  # noqa: BLE001 - asked again: the connection may be the one that was broken
                time.sleep(0.05)
            else:
                answered.set()
                return

    def _spared(self) -> set[int]:
        return set() if self._jvm is None else {self._jvm.pid}

    def _too_many(self, count: int, limit: int) -> None:
        self._statements.end_for(
            "TooManyProcesses",
            f"the session had {count:,} processes, over session.max_processes ({limit:,}): they were ended",
        )

    def _with_scala(self, conf: dict[str, str]) -> dict[str, str]:
        """Make ready for Scala where a session may want it: executors are told at once where its classes are."""
        kind = self._spec["kind"]
        if kind not in ("spark", "shared") or self._spark.gateway is None:
            return conf
        self._spec["conf"] = conf = {CLASS_FOLDER: class_folder(self._folder), **conf}
        if kind == "spark":
            self._scala = self._new_scala()
        return conf

    def _new_scala(self) -> ScalaCells:
        return ScalaCells(self._spark.gateway, self._spec["conf"], self._folder, self._spark.begin)

    def _handlers(self) -> dict[str, Any]:
        return {
            "run": self._ask_run,
            "cancel": lambda head, _: {"is": self._statements.cancel(int(head["id"]))},
            "complete": self._ask_complete,
            "inspect": lambda head, _: within(
                _ASK_S, lambda: inspect_at(self._names, head["code"], head["cursor"]), {"found": False}
            ),
            "add": self._ask_add,
            "put": self._ask_put,
            "page": lambda head, _: page_piece(self._folder, int(head["id"]), int(head["page"]), int(head["at"])),
            "stored": self._ask_stored,
            "forget": self._ask_forget,
            "claim": self._ask_claim,
            "stop": self._ask_stop,
        }

    def _ask_run(self, head: dict[str, Any], _: bytes) -> dict[str, Any]:
        statement = Statement(
            int(head["id"]),
            str(head["runner"]),
            dict(head["body"]),
            int(head.get("output_limit", _OUTPUT_CHARS)),
            int(head.get("max_processes", 0)),
        )
        if statement.runner not in self._statements.runners:
            raise ValueError(f"nothing runs {statement.runner!r}")
        return {"fresh": self._statements.accept(statement)}

    def _ask_complete(self, head: dict[str, Any], _: bytes) -> dict[str, Any]:
        scala = self._scala
        ask: Callable[[str, int], dict[str, Any]] = partial(complete, self._names)
        if head.get("runner") == "scala":
            if scala is None:
                return {"matches": []}
            ask = scala.complete
        found: dict[str, Any] = within(_ASK_S, lambda: ask(head["code"], head["cursor"]), {"matches": []})
        return found

    def _ask_add(self, head: dict[str, Any], _: bytes) -> dict[str, Any]:
        kind, uri = str(head["kind"]), str(head["uri"])
        add_to_session(self._spark.session, kind, uri)
        if kind == "jar" and self._scala is not None and (path := local_path(uri)):
            self._scala.add_jar(path)
        return {}

    def _ask_put(self, head: dict[str, Any], _: bytes) -> dict[str, Any]:
        kind = str(head["folder"])
        if kind not in _FOLDERS:
            raise ValueError(f"there is no folder {kind!r}")
        place = Path(self._folder) / kind
        return {"path": put_file(place, str(head["name"]), int(head["at"]), str(head["data"]))}

    def _ask_stored(self, *_: Any) -> dict[str, Any]:
        """The service has everything up to our end."""
        self._stored.set()
        return {}

    def _ask_forget(self, head: dict[str, Any], _: bytes) -> dict[str, Any]:
        self._log.forget(int(head["up_to"]))
        return {}

    def _ask_claim(self, head: dict[str, Any], _: bytes) -> dict[str, Any]:
        if self._claim is None:
            raise ValueError("it has a session of its own")
        asked = {"kind": str(head["kind"]), "conf": dict(head["conf"]), "alone_s": float(head["alone_s"])}
        return {"claimed": self._claim.take(asked)}

    def _ask_stop(self, *_: Any) -> dict[str, Any]:
        if self._claim is not None and self._claim.give_up():
            return {}
        self._statements.stop()
        return {}

    def _about(self) -> dict[str, Any]:
        return {"pid": os.getpid(), "last": self._log.last, "state": self._state, "protocol": PROTOCOL}

    def _become(self, state: str) -> None:
        self._state = state
        self._log.append("state", state=state)

    def _begin(self, statement: Statement) -> None:
        self._shown = Shown(lambda bundle: self._log.append("display", id=statement.id, data=bundle))
        self._guard.begin(statement.max_processes)
        self._spark.begin(statement.id)
        self._watch.begin(statement.id)

    def _end(self) -> None:
        self._guard.end()
        self._watch.end()
        self._shown.close()

    def _show(self, bundle: dict[str, Any]) -> None:
        self._shown.show(bundle)

    def _run_python(self, statement: Statement, capture: Capture) -> dict[str, Any]:
        return fitting(
            self._cells.run(statement.id, statement.body["code"], lambda text: capture.write("stdout", text))
        )

    def _run_sql(self, statement: Statement, _: Capture) -> dict[str, Any]:
        body = statement.body
        if body.get("arrow"):
            frame = self._spark.session.sql(body["code"])
            return write_rows(frame, self._folder, statement.id, limits_of(body))
        rows = int(body.get("rows", _SQL_ROWS))
        return fitting(run_sql(self._spark.session, body["code"], rows, exact=bool(body.get("exact"))))

    def _run_scala(self, statement: Statement, capture: Capture) -> dict[str, Any]:
        if self._spark.gateway is None:
            raise CellError("NoJvm", _NO_JVM, [])
        if self._scala is None:
            self._scala = self._new_scala()
        return fitting(self._scala.run(statement.id, statement.body["code"], capture.write))

    def _run_job(self, statement: Statement, _: Capture) -> dict[str, Any]:
        if self._job_context is None:
            self._job_context = JobContext(self._spark.session)
        return run_job(self._job_context, statement.body["code"])

    def _run_take(self, statement: Statement, _: Capture) -> dict[str, Any]:
        name = statement.body["code"].strip()
        if name not in self._names:
            raise NameError(f"name {name!r} is not defined")
        return write_rows(self._names[name], self._folder, statement.id, limits_of(statement.body))

    def _run_put(self, statement: Statement, _: Capture) -> dict[str, Any]:
        body = statement.body
        file = str(Path(self._folder) / "frames" / body["file"])
        return receive_frame(self._spark.session, self._names, body["code"], file, view=bool(body.get("view")))

    def _say(self, text: str) -> None:
        print(text, file=sys.__stderr__, flush=True)


def main() -> int:
    """Read the spec of the folder given as the only argument, and serve."""
    folder = sys.argv[1]
    spec = json.loads((Path(folder) / "spec.json").read_text())
    # The thread that waits for a child or a socket must not keep the process alive.
    threading.current_thread().name = "driver"
    return Driver(folder, spec).run()
