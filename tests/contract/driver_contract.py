"""What every place for sessions does: one contract, from a process beside the service to a driver on a cluster."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from nbplat.session.records import Session
from nbplat.session.results import rows_described
from nbplat.session.states import SessionState
from tests.fixtures.backends import Backend, Stage, killed_service
from tests.fixtures.waiting import wait_until

__all__ = ["DriverContract", "SparkContract", "staged"]


def staged(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A service that took over from one that was killed while a statement ran; its session is `adopted`.

    At the end nothing of any session is left.
    """
    folder = tmp_path_factory.mktemp(backend.name)
    sockets = Path(tempfile.mkdtemp(prefix="nbs"))
    killed_service(backend, folder, sockets, {"spark.nbtest.marker": "seven"})
    made = Stage(backend, folder, sockets)
    try:
        made.sessions.recover()
        yield made
    finally:
        drivers = made.sessions._drivers
        for session in made.sessions.store.sessions(limit=100)[1]:
            driver = made.sessions.store.session(session.id).driver
            made.sessions.delete(session.id)
            assert not drivers.lives(driver)
            wait_until(lambda place=Path(driver["folder"]): not place.exists(), limit_s=60, what="its folder goes")
        made.close()
        # A JVM's workers and executors among them; folders that are gone count by their old name.
        wait_until(lambda: not _working_in(folder), limit_s=20, what="every process ends")
        shutil.rmtree(sockets, ignore_errors=True)


def _working_in(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if str(folder) in process.cwd() and process.pid != os.getpid():
                found.append(process.pid)
    return found


class DriverContract:
    """For a class that has a fixture `stage`, which `staged` gives."""

    @pytest.fixture(autouse=True)
    def gap(self, stage: Stage, request: pytest.FixtureRequest) -> None:
        """What a place never does is said, and fails when it does it after all."""
        if why := stage.backend.gaps.get(request.node.originalname):
            request.node.add_marker(pytest.mark.xfail(reason=f"never, because {why}", strict=True))

    @pytest.fixture
    def adopted(self, stage: Stage) -> Session:
        """The session that the killed service had started."""
        return stage.sessions.store.sessions()[1][0]

    def test_a_statement_that_ran_while_its_service_was_killed_loses_nothing(
        self, stage: Stage, adopted: Session
    ) -> None:
        """Every line that it printed and every variable is there for the next service."""
        slow = stage.ended(stage.sessions.store.statement(adopted.id, 1))
        assert slow.output is not None
        assert "".join(f"{n}\n" for n in range(20)) == (stage.printed(slow) or slow.output["data"]["text/plain"] + "\n")
        assert "42" == stage.value(adopted, "kept + 1")

    def test_output_comes_while_the_statement_runs(self, stage: Stage, adopted: Session) -> None:
        """What a cell prints is there before it ends."""
        running = stage.sessions.submit(adopted.id, "import time\nprint('begun', flush=True)\ntime.sleep(3)", "pyspark")
        wait_until(lambda: "begun\n" == stage.printed(running), limit_s=2.5, what="it prints")
        stage.sessions.cancel(adopted.id, running.id)
        stage.ended(running)

    def test_a_cancel_ends_the_code(self, stage: Stage, adopted: Session) -> None:
        """A cell that would run for minutes is cancelled within seconds, truly, and the next one runs."""
        running = stage.sessions.submit(adopted.id, "import time\ntime.sleep(120)", "pyspark")
        wait_until(lambda: stage.sessions.store.statement(adopted.id, running.id).state == "running", what="it runs")
        began = time.monotonic()
        stage.sessions.cancel(adopted.id, running.id)
        assert "cancelled" == stage.ended(running).state
        assert time.monotonic() - began < 8.0
        assert "2" == stage.value(adopted, "1 + 1")

    def test_a_failed_cell_says_where(self, stage: Stage, adopted: Session) -> None:
        """Its error has name, value and the cell's own line, and the session goes on."""
        output = stage.run(adopted, "def inner():\n    raise ValueError('no')\ninner()").output
        assert output is not None
        assert ("error", "ValueError", "no") == (output["status"], output["ename"], output["evalue"])
        assert "raise ValueError('no')" in "".join(output["traceback"])

    def test_names_are_completed(self, stage: Stage, adopted: Session) -> None:
        """Of the session's own variables, while a cell runs as well."""
        stage.run(adopted, "landed_rows = [1, 2]")
        running = stage.sessions.submit(adopted.id, "import time\ntime.sleep(1.5)", "pyspark")
        wait_until(lambda: stage.sessions.store.statement(adopted.id, running.id).state == "running", what="it runs")
        found = stage.sessions.complete(adopted.id, "landed_", 7)
        assert {"matches": ["landed_rows"], "start": 0, "end": 7} == found
        stage.ended(running)

    def test_names_are_inspected(self, stage: Stage, adopted: Session) -> None:
        """What a variable of the session is."""
        stage.run(adopted, "landed_columns = [1, 2]")
        assert stage.sessions.inspect(adopted.id, "landed_columns", 5)["found"]

    def test_the_drivers_log_is_read_here(self, stage: Stage, adopted: Session) -> None:
        """What other programs of a cell write goes to the driver's log, whose end is given first."""
        stage.run(adopted, "import subprocess\nsubprocess.run(['sh', '-c', 'echo said by a child >&2'])")
        wait_until(
            lambda: "said by a child" in stage.sessions.log(adopted.id, after=-10)[1],
            limit_s=30,
            what="the log says it",
        )

    def test_an_uploaded_file_reaches_the_driver(self, stage: Stage, adopted: Session) -> None:
        """A module that was put into the session's folder is imported, also where no disk is shared."""
        place = Path(stage.sessions.folder(adopted.id)) / "contract_module.py"
        place.write_text("WORD = 'sent'\n")
        stage.sessions.add(adopted.id, "pyfile", str(place))
        assert "'sent'" == stage.value(adopted, "import contract_module\ncontract_module.WORD")

    def test_rows_go_both_ways_as_arrow(self, stage: Stage, adopted: Session) -> None:
        """A DataFrame of the notebook comes back equal, by pages that are files of the service's host."""
        table = pa.table({"name": ["it's", '\\ "', None], "n": [1, 2, 3]})
        file = stage.sessions.new_frame(adopted.id)
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        bound = stage.ended(stage.sessions.put(adopted.id, "sent", file)).output
        assert bound is not None
        assert "ok" == bound["status"], bound
        back = stage.ended(stage.sessions.query(adopted.id, "sent", "take"))
        rows = rows_described(back.output, adopted.id, back.id)
        assert 3 == rows["rows"]
        with pa.OSFile(str(stage.sessions.page(adopted.id, back.id, 0))) as source:
            assert table.to_pydict() == pa.ipc.open_stream(source).read_all().to_pydict()

    def test_a_driver_that_died_says_how(self, stage: Stage) -> None:
        """Its session is dead with a reason, and so is what ran in it; no other session notices."""
        if stage.backend.kind != "python" and not stage.backend.options.get("session.deploy_mode"):
            pytest.skip("a second Spark for this alone: the driver's end is the same code")
        session = stage.sessions.start(stage.draft())
        stage.run(session, "1", limit_s=180)
        fatal = stage.sessions.submit(session.id, "import os\nos._exit(7)", "pyspark")
        assert "SessionDied" == (stage.ended(fatal, 120).output or {})["ename"]
        found = wait_until(
            lambda: (one := stage.sessions.store.session(session.id)).state == "dead" and one, what="dead"
        )
        assert found
        assert found.reason is not None
        assert "session.died" == found.reason["code"]

    def test_a_deleted_session_leaves_nothing(self, stage: Stage) -> None:
        """Its driver is gone when the answer comes, while a cell runs and before the session is ready."""
        if stage.backend.kind != "python":
            pytest.skip("a second Spark for this alone: the shared session is looked at when it is deleted")
        busy, early = stage.sessions.start(stage.draft()), stage.sessions.start(stage.draft())
        drivers = [stage.sessions.store.session(one.id).driver for one in (busy, early)]
        stage.sessions.delete(early.id)
        stage.run(busy, "1")
        stage.sessions.submit(busy.id, "import time\ntime.sleep(600)", "pyspark")
        stage.sessions.delete(busy.id)
        assert not [one for one in drivers if stage.sessions._drivers.lives(one)]
        assert SessionState.IDLE == stage.sessions.store.sessions()[1][0].state


class SparkContract(DriverContract):
    """And what those with Spark do besides."""

    def test_the_sessions_conf_reaches_spark(self, stage: Stage, adopted: Session) -> None:
        """What was asked for is set there, and the session says where it runs."""
        assert "'seven'" == stage.value(adopted, "spark.conf.get('spark.nbtest.marker')")
        app = stage.sessions.store.session(adopted.id).app
        assert (True, stage.sessions.store.session(adopted.id).conf["spark.master"]) == (
            bool(app["app_id"]),
            app["master"],
        )

    def test_a_job_runs_on_the_executors_and_tells_how_far_it_is(self, stage: Stage, adopted: Session) -> None:
        """Python on the workers, and progress by tasks while they work."""
        code = (
            "import time\nfrom pyspark.sql.functions import udf\n"
            "slow = udf(lambda n: time.sleep(0.6) or n, 'long')\n"
            "spark.range(0, 4, 1, 4).select(slow('id').alias('n')).agg({'n': 'sum'}).collect()[0][0]"
        )
        ran = stage.run(adopted, code)
        assert ran.output is not None
        assert "6" == ran.output.get("data", {}).get("text/plain"), ran.output
        assert ran.detail["total"] >= 4

    def test_sql_runs(self, stage: Stage, adopted: Session) -> None:
        """With its types."""
        ran = stage.ended(stage.sessions.submit(adopted.id, "SELECT 1.5BD AS d", "sql", {"exact": True}))
        assert ran.output is not None
        assert [["1.5"]] == ran.output["data"]["application/json"]["data"]

    def test_a_spark_job_is_cancelled(self, stage: Stage, adopted: Session) -> None:
        """Its tasks end with the cell, and the session is free."""
        code = (
            "import time\nfrom pyspark.sql.functions import udf\n"
            "spark.range(0, 40, 1, 40).select(udf(lambda n: time.sleep(20) or n, 'long')('id')).collect()"
        )
        running = stage.sessions.submit(adopted.id, code, "pyspark")
        wait_until(
            lambda: stage.sessions.store.statement(adopted.id, running.id).detail.get("active"),
            limit_s=60,
            what="its tasks run",
        )
        stage.sessions.cancel(adopted.id, running.id)
        assert "cancelled" == stage.ended(running, 20).state
        assert "2" == stage.value(adopted, "1 + 1")
