"""Runs Scala in the driver's JVM, by the interpreter that Spark's own jars bring along."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .cell_error import CellError
from .livy_magics import TABLE, split_lines, table_of
from .scala_output import ScalaOutput

__all__ = ["CLASS_FOLDER", "ScalaCells", "class_folder", "error_of", "local_path"]

CLASS_FOLDER = "spark.repl.class.outputDir"
"""Setting of a context: where the interpreter puts classes that executors ask for."""

_SETUP = """@transient val spark = org.apache.spark.sql.SparkSession.builder().getOrCreate()
@transient val sc = spark.sparkContext
import org.apache.spark.SparkContext._
import spark.implicits._
import spark.sql
import org.apache.spark.sql.functions._"""
_CONDITION = re.compile(r"(?:Exception|Error): \[([A-Z][A-Z0-9_.]*)\]")
_AGAIN_S = 0.25
_JOB_ENDS_S = 0.3
_MAGICS = ("json", "table")


def class_folder(folder: str) -> str:
    """The folder in a session's that holds the interpreter's classes; made when missing."""
    path = Path(folder, "scala")
    path.mkdir(mode=0o700, exist_ok=True)
    return str(path)


def local_path(uri: str) -> str:
    """Path of a file on this machine; empty for one elsewhere."""
    scheme, _, rest = uri.rpartition(":")
    return "/" + rest.lstrip("/") if scheme in ("", "file", "local") and rest.startswith("/") else ""


class _Job:
    """A piece of Scala on its way through the JVM's thread."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        # Whoever gets it decides: the one thread runs it, the other says that it will not run.
        self.turn = threading.Lock()
        self.done = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None


class ScalaCells:
    """The Scala side of a session.

    The interpreter runs on a JVM thread of its own, so that an interrupt reaches the code and not the line to the JVM.
    Made before the context, on the thread that makes that too, results of Spark's jobs may hold objects of the cells'
    own classes: what reads them takes its class loader from there. Made later, only datasets may.

    Args:
        gateway: py4j's.
        conf: The session's settings.
        folder: Of the session.
        begin: Called with the statement's id on the thread that runs it, to set Spark's job group.
    """

    def __init__(self, gateway: Any, conf: dict[str, str], folder: str, begin: Callable[[int], Any]) -> None:
        self._jvm = gateway.jvm
        self._conf = conf
        self._begin = begin
        self._ready = False
        self._wake = threading.Event()
        # Held while a job ends and while one is interrupted: an interrupt that comes late would hit the next.
        self._ending = threading.Lock()
        self._next: _Job | None = None
        self._thread: Any = None
        self._main: Any = None
        self._text: Any = None
        self._completer: Any = None
        self._output = ScalaOutput(folder, gateway)
        threading.Thread(target=self._serve, name="scala", daemon=True).start()
        loader = self._do(_Job(self._make))
        self._jvm.java.lang.Thread.currentThread().setContextClassLoader(loader)

    def run(self, number: int, code: str, write: Callable[[str, str], Any]) -> dict[str, Any]:
        """Run a cell on the main thread.

        Args:
            code: Scala; lines ``%json NAME`` and ``%table NAME`` show a value as data.
            write: Takes what is printed: the stream's name and text.

        Returns:
            What the interpreter says of each value, by MIME type; empty when there is none.

        Raises:
            CellError: the code does not compile, or raises.
            KeyboardInterrupt: it was interrupted and has ended.
        """
        if not self._ready:
            self._do(_Job(self._prepare))
        shown: dict[str, Any] = {}
        told: list[str] = []
        for piece in split_lines(code, _MAGICS):
            if piece.is_magic:
                shown = self._shown(piece.text)
            else:
                shown = {}
                told.append(self._do(_Job(partial(self._interpret, number, piece.text, write))))
        text = "".join(told)
        return {**({"text/plain": text} if text and not shown else {}), **shown}

    def complete(self, code: str, cursor: int) -> dict[str, Any]:
        """As `nbplat.remote.driver.complete.complete`, for Scala; also while a cell runs."""
        if not self._ready:
            return {"matches": [], "start": cursor, "end": cursor}
        found = self._completer.complete(code, cursor, True)
        candidates = found.candidates()
        names = {str(candidates.apply(at).name()) for at in range(min(candidates.length(), 500))}
        return {"matches": sorted(names), "start": int(found.cursor()), "end": cursor}

    def add_jar(self, path: str) -> None:
        """Let code that comes later use the classes of a jar on this machine."""
        url = self._jvm.java.io.File(path).toURI().toURL()
        self._main.addUrlsToClassPath(self._jvm.PythonUtils.toSeq([url]))

    # -- the main thread ---------------------------------------------------------------------------
    def _do(self, job: _Job) -> Any:
        interrupted = False
        while not job.done.is_set():
            try:
                # Again and again: an interrupt may come between any two of these.
                self._next = job
                self._wake.set()
                job.done.wait(1.0)
            except KeyboardInterrupt:
                interrupted = True
                if job.turn.acquire(blocking=False):
                    raise
                threading.Thread(target=self._interrupt, args=(job,), name="interrupt", daemon=True).start()
        if job.error is not None:
            if interrupted:
                raise KeyboardInterrupt from None
            raise job.error
        return job.value

    def _interrupt(self, job: _Job) -> None:
        # A cancelled Spark job ends its cell by itself. An interrupt as well would meet what comes behind it, and an
        # interrupted compiler has its files closed under it.
        if job.done.wait(_JOB_ENDS_S):
            return
        # More than once: the compiler, which comes first, swallows it.
        for _ in range(3):
            with self._ending:
                if self._thread is not None and not job.done.is_set():
                    self._thread.interrupt()
            if job.done.wait(_AGAIN_S):
                return

    # -- the interpreter's thread ------------------------------------------------------------------
    def _serve(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            job = self._next
            if job is None or not job.turn.acquire(blocking=False):
                continue
            try:
                job.value = job.work()
            except BaseException as exc:  # noqa: BLE001 - raised again where it is waited for
                job.error = exc
            with self._ending:
                job.done.set()

    def _make(self) -> Any:
        jvm = self._jvm
        self._thread = jvm.java.lang.Thread.currentThread()
        settings = jvm.scala.tools.nsc.Settings()
        getattr(settings.usejavacp(), "value_$eq")(True)
        # Jars that came with the session are in a loader of Spark's and not on the JVM's class path.
        settings.embeddedDefaults(self._thread.getContextClassLoader())
        classes = self._conf.get(CLASS_FOLDER, "")
        options = ["-Yrepl-class-based", *(["-Yrepl-outdir", classes] if classes else [])]
        jars = [jar for jar in self._conf.get("spark.jars", "").split(",") if jar]
        if paths := [path for jar in jars if (path := local_path(jar))]:
            options += ["-classpath", ":".join(paths)]
        settings.processArguments(jvm.PythonUtils.toList(options), True)
        self._text = jvm.java.io.ByteArrayOutputStream()
        printer = jvm.java.io.PrintWriter(self._text, True)
        shell = jvm.scala.tools.nsc.interpreter.shell
        self._main = jvm.scala.tools.nsc.interpreter.IMain(settings, shell.ReplReporterImpl(settings, printer))
        loader = self._main.classLoader()
        self._thread.setContextClassLoader(loader)
        self._completer = shell.ReplCompletion(self._main, shell.Accumulator())
        return loader

    def _prepare(self) -> None:
        """Give cells their first names; once, and anew when it was interrupted."""
        if self._said(_SETUP) != "Success":
            raise CellError("Error", f"Scala did not start: {self._text.toString().strip()[-500:]}", [])
        self._ready = True
        # The first one makes a compiler; nobody should wait for that at the cursor.
        self._completer.complete("sc.", 3, True)

    def _interpret(self, number: int, code: str, write: Callable[[str, str], Any]) -> str:
        # What is left of an interrupt that came too late for the one before.
        self._jvm.java.lang.Thread.interrupted()
        self._begin(number)
        self._output.begin(write)
        try:
            said = self._said(code)
            text = str(self._text.toString())
            if said == "Incomplete" or (said == "Error" and not text.strip()):
                # A comment alone, or a half: in braces the one is empty and the other an error.
                said = self._said(f"{{\n{code}\n}}")
                text = str(self._text.toString())
        finally:
            self._output.end()
        if said != "Success":
            raise error_of(text)
        return text

    def _said(self, code: str) -> str:
        self._text.reset()
        return str(self._main.interpret(code).toString())

    def _shown(self, line: str) -> dict[str, Any]:
        magic, _, rest = line[1:].strip().partition(" ")
        name = rest.strip()
        value = self._main.valueOfTerm(name)
        if not name or value.isEmpty():
            raise CellError("Error", f"value {name} does not exist", [])
        try:
            data = json.loads(self._json(value.get()))
        except Exception as exc:  # noqa: BLE001 - whatever json4s says of a value it cannot write
            raise CellError("Error", f"{name} has no form in JSON: {str(exc).splitlines()[0]}", []) from None
        return {"application/json": data} if magic == "json" else {TABLE: table_of(data)}

    def _json(self, value: Any) -> str:
        def module(name: str) -> Any:
            return self._jvm.java.lang.Class.forName(f"{name}$").getField("MODULE$").get(None)

        formats = module("org.json4s.DefaultFormats")
        tree = module("org.json4s.Extraction").decompose(value, formats)
        return str(module("org.json4s.jackson.JsonMethods").mapper().writeValueAsString(tree))


def error_of(text: str) -> CellError:
    """What the interpreter printed of a failure, in Livy's form: ``Error``, the line that says it, and the rest."""
    lines = text.splitlines(keepends=True)
    told = [at for at, line in enumerate(lines) if "error:" in line] or [
        at for at, line in enumerate(lines) if line.strip()
    ]
    if not told:
        return CellError("Error", "the interpreter says nothing", [])
    first = told[0]
    condition = _CONDITION.search(text)
    rest = lines[:first] + lines[first + 1 :]
    return CellError("Error", lines[first].strip(), rest, condition[1] if condition else "")
