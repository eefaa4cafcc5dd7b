"""Scala in a session on a real JVM, beside Python and SQL in the same driver."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from nbplat.remote.driver.scala_cell import error_of, local_path
from nbplat.session.livy_reply import statement_json
from nbplat.session.records import Chunk, Statement
from nbplat.session.states import StatementState
from tests.fixtures.drivers import Talk, drivers_of, python_session
from tests.fixtures.waiting import wait_until

CONF = {
    "spark.master": "local[2]",
    "spark.driver.memory": "800m",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.local.dir": "{session folder}",
    "spark.sql.warehouse.dir": "{session folder}/warehouse",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.shuffle.partitions": "2",
}


class ScalaTalk(Talk):
    """A talk whose cells are Scala."""

    number = -1

    def send(self, code: str, runner: str = "scala") -> int:
        self.number += 1
        self.ask("run", id=self.number, runner=runner, body={"code": code})
        return self.number

    def cell(self, code: str, runner: str = "scala") -> dict[str, Any]:
        """The output of a cell."""
        found: dict[str, Any] = self.until("done", id=self.send(code, runner))["output"]
        return found

    def text(self, code: str) -> str:
        found = self.cell(code)
        assert "data" in found, found
        return str(found["data"].get("text/plain", ""))


@pytest.fixture(scope="module")
def scala(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScalaTalk]:
    """One Scala session for the module."""
    folder = tmp_path_factory.mktemp("s")
    drivers = drivers_of(folder, folder)
    driver = drivers.start(python_session(1, "spark", CONF))
    try:
        talk = ScalaTalk(drivers, driver)
        talk.until("state", state="idle")
        yield talk
        talk.line.close()
    finally:
        drivers.kill(driver)


def of_jvm(test: Any) -> Any:
    return pytest.mark.jvm(pytest.mark.process(test))


@of_jvm
def test_values_are_told_as_the_interpreter_tells_them(scala: ScalaTalk) -> None:
    """Each value is a line with name, type and end; spark and sc are there; a comment and nothing are no errors."""
    assert "val x: Int = 5\nval y: Int = 10\n" == scala.text("val x = 5\nval y = x * 2")
    assert "val res0: Long = 3\n" == scala.text("spark.range(3).count()")
    assert scala.text("sc.appName").startswith("val res1: String = ")
    assert {} == scala.cell("// only this")["data"]
    assert {} == scala.cell("")["data"]


@of_jvm
def test_printed_text_comes_while_the_cell_runs(scala: ScalaTalk) -> None:
    """println, the error stream and Java's own streams are the cell's, in pieces, and a value beside them."""
    number = scala.send('println("fürst"); System.err.println("oops"); Thread.sleep(1500); System.out.println("x"); 7')
    scala.until("stream", id=number)
    assert not [event for event in scala.events if event["event"] == "done" and event["id"] == number]
    done = scala.until("done", id=number)
    assert ("fürst\nx\n", "oops\n") == (scala.printed(number), scala.printed(number, "stderr"))
    assert "7" in done["output"]["data"]["text/plain"]


@of_jvm
def test_classes_of_cells_travel_to_executors_and_back(scala: ScalaTalk) -> None:
    """Case classes of a cell work in closures, in results and in datasets."""
    scala.cell("case class Item(i: Int)")
    assert "Array(Item(1), Item(4))" in scala.text("sc.makeRDD(Seq(1, 4)).map(i => Item(i)).collect()")
    assert "Item(5)" in scala.text("Seq(Item(1), Item(5)).toDS().filter(_.i > 2).collect()")
    assert "12.0" in scala.text("sc.makeRDD(Seq(1, 2, 3)).map(i => Item(i).i * 2).sum()")


@of_jvm
def test_python_sql_and_scala_share_a_session(scala: ScalaTalk) -> None:
    """A view that Scala makes is read by SQL and by Python."""
    scala.cell('spark.range(5).createOrReplaceTempView("five")')
    assert [[5]] == scala.cell("SELECT count(*) AS n FROM five", "sql")["data"]["application/json"]["data"]
    assert "5" == scala.cell("spark.table('five').count()", "python")["data"]["text/plain"]


@of_jvm
def test_errors_have_livys_form_and_sparks_name(scala: ScalaTalk) -> None:
    """Code that does not compile, that raises, that is a half, and a query of a missing table are the cell's errors."""
    wrong = scala.cell("nope + 1")
    assert ("Error", "error: not found: value nope") == (wrong["ename"], wrong["evalue"])
    assert "java.lang.ArithmeticException: / by zero" == scala.cell("1 / 0")["evalue"]
    assert "Error" == scala.cell("def half(")["ename"]
    missing = scala.cell('spark.table("missing").count()')
    assert "TABLE_OR_VIEW_NOT_FOUND" == missing["error_class"]
    assert "val res" in scala.text("1 + 1")


@of_jvm
def test_values_as_json_and_tables(scala: ScalaTalk) -> None:
    """The magics of Livy show maps, classes and lists; a name that is not there and a form that is none are errors."""
    scala.cell('case class Row2(a: Int, b: String)\nval rows = Seq(Row2(1, "x"), Row2(2, null))')
    shown = scala.cell("%json rows")["data"]["application/json"]
    assert [1, 2] == [row["a"] for row in shown]
    table = scala.cell("val more = rows\n%table more")["data"]["application/vnd.livy.table.v1+json"]
    assert ["a", "b"] == [header["name"] for header in table["headers"]]
    assert "value nothing does not exist" == scala.cell("%json nothing")["evalue"]


@of_jvm
@pytest.mark.parametrize(
    "code",
    ["Thread.sleep(60000)", "spark.range(0, 100000000000L, 1, 8).map(x => { Thread.sleep(1); x }).count()"],
)
def test_an_interrupt_ends_code_and_jobs(scala: ScalaTalk, code: str) -> None:
    """A sleeping cell and a running job are cancelled soon, and the next cell runs."""
    number = scala.send(f'println("up"); {code}')
    scala.until("stream", id=number)
    began = time.monotonic()
    scala.ask("cancel", id=number)
    assert "cancelled" == scala.until("done", id=number)["status"]
    assert time.monotonic() - began < 10.0
    assert "2" in scala.text("1 + 1")


@of_jvm
def test_code_that_does_not_hear_is_called_stubborn(scala: ScalaTalk) -> None:
    """A loop that looks at no interrupt runs on, is never called cancelled, and ends by itself."""
    end = "System.currentTimeMillis() + 6500"
    number = scala.send(f'println("up"); val end = {end}; while (System.currentTimeMillis() < end) {{}}; "done"')
    scala.until("stream", id=number)
    scala.ask("cancel", id=number)
    scala.until("stubborn", id=number)
    assert "ok" == scala.until("done", id=number)["status"]


@of_jvm
def test_completion_answers_beside_a_running_cell(scala: ScalaTalk) -> None:
    """What may follow at the cursor is told while a cell runs."""
    scala.cell("val here = 1")
    number = scala.send('println("up"); Thread.sleep(60000)')
    scala.until("stream", id=number)

    def found() -> dict[str, Any]:
        return scala.ask("complete", code="1; sc.paral", cursor=11, runner="scala")

    # A slow machine gives none in time, and then the next.
    wait_until(lambda: found()["matches"], what="a completion")
    assert {"matches": ["parallelize"], "start": 6, "end": 11} == wait_until(
        lambda: answer if (answer := found())["matches"] else None, what="a completion"
    )
    scala.ask("cancel", id=number)
    scala.until("done", id=number)


def test_the_line_that_says_it_is_the_errors_value() -> None:
    """Of a compiler's report the line with the error is the value; of an exception the first."""
    found = error_of("       ^\n       error: not found: value x\n").output
    assert ("error: not found: value x", ["       ^\n"]) == (found["evalue"], found["traceback"])
    found = error_of("\nException: [A_B] text\n  at x\n").output
    assert ("Exception: [A_B] text", "A_B") == (found["evalue"], found["error_class"])
    assert error_of("").output["evalue"]


def test_jars_of_this_machine_have_a_path() -> None:
    """A jar by path, file: or local: is on the interpreter's class path; one elsewhere is not."""
    assert ["/a.jar"] * 4 == [local_path(uri) for uri in ("/a.jar", "file:/a.jar", "file:///a.jar", "local:/a.jar")]
    assert ["", ""] == [local_path(uri) for uri in ("hdfs://h/a.jar", "a.jar")]


def test_scalas_text_keeps_its_last_line_end() -> None:
    """A Livy client gets the interpreter's text as it is, and Python's without the end of its last line."""
    fields = {"session_id": 1, "id": 0, "code": "x", "options": {}, "state": StatementState.AVAILABLE, "progress": 1.0}
    output = {"status": "ok", "data": {"text/plain": "val x: Int = 5\n"}}
    for kind, expected in (("spark", "hi\nval x: Int = 5\n"), ("pyspark", "hi\nval x: Int = 5")):
        statement = Statement(kind=kind, output=output, detail={}, started_ms=1, completed_ms=2, **fields)  # type: ignore[arg-type]
        shown = statement_json(statement, [Chunk(1, "stdout", "hi\n")])
        assert expected == shown["output"]["data"]["text/plain"]
