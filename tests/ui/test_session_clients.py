"""`nb.session`, `%session`, `%%spark`, `%%sql` and `nbplat session`: a real service, plain-Python drivers."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest
from IPython.core.error import UsageError

import nbplat as nb
from nbplat.config import Config
from nbplat.errors import Conflict, NotFound, RequestError
from nbplat.service.discovery import service_lock
from nbplat.service.lock import holder_of
from nbplat.testing.shell import CellRan, StrictShell, strict_shell
from nbplat.ui import session_here
from nbplat.ui.cli import main
from nbplat.ui.client import ServiceClient
from nbplat.ui.python_session import Session
from nbplat.ui.statement_end import Cancelled, StatementFailed
from tests.fixtures.waiting import wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

# A driver without Spark is given one of the kind that `%%sql` needs: a schema of Spark's own and rows.
FAKE_SPARK = """
import datetime as dt, gc
from decimal import Decimal
from pyspark.sql import types as T
schema = T.StructType([
    T.StructField("n", T.LongType()), T.StructField("d", T.DecimalType(38, 10)), T.StructField("f", T.DoubleType()),
    T.StructField("at", T.TimestampType()), T.StructField("s", T.StructType([T.StructField("k", T.StringType())])),
    T.StructField("m", T.MapType(T.IntegerType(), T.BinaryType())), T.StructField("n", T.DateType()),
])
at = dt.datetime(2024, 3, 31, 1, 30, 0, 123456, tzinfo=dt.timezone.utc).astimezone().replace(tzinfo=None)
row = T.Row(*schema.names)(2**60, Decimal("1.10"), float("nan"), at, T.Row("k")("it's"), {7: b"\\0\\xff"},
                           dt.date(2024, 2, 29))
empty = T.Row(*schema.names)(*[None] * 7)
class Frame:
    columns, schema = schema.names, schema
    def take(self, n): return [row, empty, row][:n]
class Context:
    def setJobGroup(self, *a, **k): pass
    def statusTracker(self): raise RuntimeError("no Spark")
    def cancelJobGroup(self, *a): pass
class Fake:
    sparkContext = Context()
    def sql(self, query):
        if "nowhere" in query: raise LookupError(query)
        return Frame()
    def stop(self): pass
[host] = [one for one in gc.get_objects() if type(one).__name__ == "SparkHost"]
host.session = Fake()
"""


@pytest.fixture(scope="module")
def service(shared_client: ServiceClient, shared_config: Config) -> Iterator[ServiceClient]:
    """A service that every surface of this process finds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBPLAT_HOME", str(shared_config.home))
        patch.setenv("JPY_SESSION_NAME", "/notebooks/My study.ipynb")
        yield shared_client
        for session in shared_client.get("/api/v1/sessions", limit=1000)["sessions"]:
            shared_client.delete(f"/api/v1/sessions/{session['id']}")


@pytest.fixture(scope="module")
def etl(service: ServiceClient) -> Session:
    """One session for the tests that leave it idle."""
    return nb.session("etl")


@pytest.fixture
def shell(service: ServiceClient) -> Iterator[StrictShell]:
    """A notebook that has no session yet."""
    session_here._current.clear()
    with strict_shell() as strict:
        yield strict
    session_here._current.clear()


@pytest.fixture
def attached(shell: StrictShell, etl: Session) -> StrictShell:
    shell.run("%session attach etl")
    return shell


def printed(ran: CellRan) -> str:
    """What a cell printed; a terminal's shell prints its value as well."""
    return ran.stdout.partition("Out[")[0]


def test_a_session_runs_code_and_keeps_its_names(etl: Session, capsys: pytest.CaptureFixture[str]) -> None:
    """Values come back, prints are shown here as well, and the names stay."""
    etl.run("kept = 41")
    ran = etl.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\nkept + 1")
    assert ("42", "out\n", "err\n") == (ran.text, ran.stdout, ran.stderr)
    told = capsys.readouterr()
    assert ("out\n", "err\n") == (told.out, told.err)
    assert "" == etl.run("print('quiet')", quiet=True).text
    assert "" == capsys.readouterr().out


def test_a_session_is_attached_by_name_and_id(etl: Session) -> None:
    """The living one of a name is taken, `new` refuses it, `attach` starts nothing."""
    assert [etl.id, etl.id] == [nb.session("etl").id, nb.session(etl.id).id]
    with pytest.raises(Conflict, match="etl"):
        nb.session("etl", new=True)
    with pytest.raises(NotFound, match="elt") as refused:
        nb.session("elt", attach=True)
    assert "did you mean etl?" == refused.value.fix
    with pytest.raises(NotFound):
        nb.session(999_999)


def test_a_session_that_was_started_here_ends_with_its_block(service: ServiceClient, etl: Session) -> None:
    """A context manager stops what it started and leaves what it found."""
    with nb.session("short", conf={"spark.x": True}) as short:
        assert "3" == short.run("1 + 2").text
        assert {"spark.x": "true"} == {"spark.x": "true"} | {e["key"]: e["value"] for e in short.info()["conf"]}
    with pytest.raises(NotFound):
        nb.session("short", attach=True)
    with nb.session("etl"):
        pass
    assert "idle" == etl.state


def test_two_notebooks_share_a_session(etl: Session) -> None:
    """Each sees the names of both and the output of its own cells; cells take turns, whoever sends them."""
    other = nb.session("etl", attach=True)
    first = etl.submit("import time\nshared = ['one']\nprint('from one')\ntime.sleep(0.5)\nshared")
    second = other.submit("shared.append('two')\nprint('from two')\nshared")
    with ThreadPoolExecutor() as both:
        ran = list(both.map(lambda statement: statement.wait(quiet=True), (first, second)))
    assert [("from one\n", "['one']"), ("from two\n", "['one', 'two']")] == [(one.stdout, one.text) for one in ran]
    with pytest.raises(StatementFailed, match="division"):
        other.run("1 / 0")
    assert "['one', 'two']" == etl.run("shared").text


def test_a_failed_cell_raises_with_its_own_traceback(etl: Session) -> None:
    """The error holds the class, the text and the cell's lines, and none of ours."""
    with pytest.raises(StatementFailed) as failed:
        etl.run("def f():\n    return 1 / 0\nf()")
    assert ("ZeroDivisionError", "division by zero") == (failed.value.ename, failed.value.evalue)
    assert any("return 1 / 0" in line for line in failed.value.traceback)
    assert "nbplat" not in "".join(failed.value.traceback)


def test_a_statement_is_left_running_and_followed_later(etl: Session) -> None:
    """What it printed before is shown again from its beginning."""
    left = etl.submit("import time\nprint('begun', flush=True)\ntime.sleep(0.5)\n'end'")
    assert "begun\n" == left.wait(quiet=True).stdout
    assert ("begun\n", "end") == (
        (again := etl.statement(left.number).wait(quiet=True)).stdout,
        again.data["text/plain"][1:-1],
    )
    assert left.number == etl.statements(limit=1)[0]["id"]


def test_a_statement_cancelled_elsewhere_is_an_interrupt_here(etl: Session) -> None:
    """It ends when its code has ended."""
    left = etl.submit("import time\ntime.sleep(60)")
    wait_until(lambda: left.state == "running", what="it runs")
    left.cancel()
    with pytest.raises(Cancelled, match="cancelled"):
        left.wait()


def test_an_interrupt_cancels_the_remote_code_and_waits_for_its_end(etl: Session) -> None:
    """Ctrl-C reaches the code of the session; what it printed while ending is still shown."""
    code = "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(60)\nfinally:\n    print('tidied')"
    left = etl.submit(code)
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    told: list[str] = []

    def interrupt() -> None:
        wait_until(lambda: told, what="it is followed")
        signal.pthread_kill(main_thread, signal.SIGINT)

    pressing = threading.Thread(target=interrupt)
    pressing.start()
    statement = {"session": etl.id, "id": left.number}
    with pytest.raises(KeyboardInterrupt, match=r"^it was cancelled$"):
        etl._desk.follow(statement, "it", show=lambda _: None, write=lambda _, text: told.append(text))
    pressing.join()
    assert ("begun\ntidied\n", "cancelled") == ("".join(told), left.state)


def test_sql_rows_keep_spark_types(etl: Session) -> None:
    """Big integers, decimals, NaN beside null, instants, nested values, bytes, and two columns of one name."""
    etl.run(FAKE_SPARK)
    with pytest.warns(UserWarning, match="the first 2 rows"):
        rows = etl.sql("SELECT anything", rows=2, arrow=True)
    assert [
        pa.int64(), pa.decimal128(38, 10), pa.float64(), pa.timestamp("us", "UTC"), pa.struct([("k", pa.string())]),
        pa.map_(pa.int32(), pa.binary()), pa.date32(),
    ] == rows.schema.types  # fmt: skip
    first = [column[0].as_py() for column in rows.columns]
    assert [2**60, "1.1000000000", "2024-03-31T01:30:00.123456+00:00", {"k": "it's"}, [(7, b"\0\xff")]] == [
        first[0], str(first[1]), first[3].isoformat(), first[4], first[5],
    ]  # fmt: skip
    assert first[2] != first[2]
    assert [None] * 7 == [column[1].as_py() for column in rows.columns]
    frame = etl.sql("SELECT anything", rows=3)
    assert ["n", "d", "f", "at", "s", "m", "n"] == list(frame.columns)
    assert 2**60 == frame.iloc[2, 0]
    assert [False, True, False] == frame.iloc[:, 0].isna().tolist()
    with pytest.raises(StatementFailed, match="nowhere"):
        etl.sql("SELECT * FROM nowhere")


def test_the_first_spark_cell_starts_a_session_named_after_the_notebook(shell: StrictShell) -> None:
    """It says so, later cells go there, and another notebook of that name gets one beside it."""
    first = shell.run("%%spark\nx = 6\nprint('hi')\nx * 7")
    assert "starting session My-study (" in first.stderr
    assert ("hi\n", {"text/plain": "42"}) == (printed(first), first.value.bundle())
    assert first.stdout.rstrip().endswith("]: 42")
    assert "7" == shell.run("%%spark\nx + 1").value.text
    session_here._current.clear()
    second = shell.run("%%spark\n'x' in globals()")
    assert "starting session My-study-2 (" in second.stderr
    assert "%session attach My-study" in second.stderr
    assert "False" == second.value.text
    shell.run("%session attach My-study")
    assert "6" == shell.run("%%spark\nx").value.text
    for name in ("My-study", "My-study-2"):
        assert f"session {name} (" in shell.run(f"%session stop {name}").value.text
    assert "True" == shell.run("%%spark --name My-study\n'x' not in globals()").value.text
    shell.run("%session stop")


def test_a_spark_cell_without_a_value_shows_nothing(attached: StrictShell) -> None:
    """No empty output is left in the notebook."""
    ran = attached.run("%%spark\ny = 1")
    assert ("", [], {}) == (printed(ran), list(ran.outputs), ran.value.bundle())


def test_displays_of_a_session_are_displays_here(attached: StrictShell) -> None:
    """Rich values come in every form they have there, in their order."""
    code = (
        "%%spark\nclass Rich:\n    def _repr_html_(self): return '<b>rich</b>'\ndisplay(Rich())\nprint('after')\nRich()"
    )
    ran = attached.run(code)
    assert ["<b>rich</b>"] == [each["text/html"] for each in ran.outputs]
    assert ("after\n", "<b>rich</b>") == (printed(ran), ran.value.bundle()["text/html"])


def test_a_failed_cell_is_one_red_block(attached: StrictShell) -> None:
    """The block names the exception and session, then the cell's own lines; nothing of ours is in it."""
    ran = attached.fails("%%spark\nvalues = []\nvalues[3]")
    assert isinstance(ran.error, StatementFailed)
    assert "IndexError in etl[" in ran.stdout + ran.stderr
    assert "values[3]" in ran.stdout + ran.stderr
    assert "statement_end" not in ran.stdout + ran.stderr


def test_a_cell_in_the_background_is_followed_by_a_line(attached: StrictShell) -> None:
    """`--background` returns a handle at once; `%session follow` shows it from its beginning."""
    left = attached.run("%%spark --background\nimport time\ntime.sleep(0.3)\nprint('late')\n5").value
    assert "%session follow shows it" in left.text
    followed = attached.run(f"%session follow --statement {left.value.number}")
    assert ("late\n", "5") == (printed(followed), followed.value.text)


def test_a_sql_cell_gives_a_table_and_a_dataframe(attached: StrictShell, etl: Session) -> None:
    """`-o` binds a DataFrame, `-n` cuts and says so, `-q` shows nothing; a template is filled in."""
    etl.run(FAKE_SPARK)
    ran = attached.run("%%sql -o top -n 2\nSELECT anything;")
    page = ran.value.bundle()["text/html"]
    assert "the first 2 rows, there are more (-n)" in page
    assert "<script" not in page
    assert 2 == len(attached.variables["top"])
    assert {} == attached.run("%%sql -q -o top\nSELECT anything").value.bundle()
    assert 3 == len(attached.variables["top"])
    attached.set(table="nowhere")
    assert "SELECT * FROM nowhere" in str(attached.fails("%%sql\nSELECT * FROM {{ table }}").error)


@pytest.fixture(scope="module")
def plain(service: ServiceClient) -> Session:
    """A session that no test gives a Spark."""
    return nb.session("plain")


def test_frames_go_to_a_session_and_come_back(plain: Session) -> None:
    """Every value survives the way there and back; a name, type or value that cannot is refused and nothing is sent."""
    table = pa.table({"q": ['it\'s \\ "q"\n', None], "n": [2**63 - 1, None], "a b": [[1, None], []]})
    plain.send(table, "sent")
    assert table.equals(plain.take("sent", arrow=True))
    with pytest.warns(UserWarning, match="the first 1 rows"):
        assert ['it\'s \\ "q"\n'] == list(plain.take("sent", rows=1)["q"])
    before = plain.statements(limit=1)[0]["id"]
    for value, name, said in (
        (table, "not a name", "cannot be a variable"),
        (5, "five", "not a DataFrame"),
        (pa.table({"t": pa.array([1], pa.timestamp("ns"))}), "t", "microseconds"),
        (pa.table({}), "empty", "no columns"),
    ):
        with pytest.raises(RequestError, match=said):
            plain.send(value, name)
    assert before == plain.statements(limit=1)[0]["id"]
    with pytest.raises(StatementFailed, match="nothing_there"):
        plain.take("nothing_there")


def test_a_query_is_read_batch_by_batch(etl: Session) -> None:
    """Rows come in batches and need not be in memory together."""
    etl.run(FAKE_SPARK)
    assert 3 == sum(batch.num_rows for batch in etl.batches("SELECT anything"))


def test_a_spark_cell_takes_frames_along_and_brings_one_back(shell: StrictShell, plain: Session) -> None:
    """`-i` sends variables before the cell runs, `-o` binds what the session calls so, or the cell's own value."""
    shell.run("%session attach plain")
    shell.set(left=pa.table({"x": [1, 2]}), right=pa.table({"y": ["a"]}))
    shell.run("%%spark -i left -i right -o both\nboth = left.append_column('y', left['x'])\n7")
    assert [[1, 1], [2, 2]] == shell.variables["both"].to_numpy().tolist()
    assert [1] == list(shell.run("%%spark -o top -n 1\nleft").value.value["x"])
    assert "2" == shell.run("%%spark -o n\nleft.num_rows").value.value
    shell.run("%session send left --as other")
    assert "2" == shell.run("%%spark\nother.num_rows").value.text
    last = plain.statements(limit=1)[0]["id"]
    assert "did you mean left?" in str(shell.fails("%%spark -i left -i lefd\n1").error)
    shell.set(five=5)
    assert "not a DataFrame" in str(shell.fails("%%spark -i left -i five\n1").error)
    assert last == plain.statements(limit=1)[0]["id"]


def test_a_session_has_an_age_and_an_idle_limit(service: ServiceClient, shell: StrictShell) -> None:
    """Both are given at its start and shown; what is no time is refused."""
    with nb.session("brief", ttl="8h", idle="30m") as brief:
        assert ("8h", "30m") == (brief.info()["ttl"], brief.info()["idle_timeout"])
        assert "8h" in shell.run("%session info brief").value.text
    with pytest.raises(RequestError, match="soon"):
        nb.session("brief", ttl="soon")
    assert "write 90s" in str(shell.fails("%session start x --idle 0s").error)


def test_a_session_without_a_spark_ui_says_how_to_get_one(attached: StrictShell) -> None:
    """The error names the setting."""
    assert "spark.ui.enabled=true" in str(attached.fails("%session ui").error)


def test_lines_of_a_session(attached: StrictShell, etl: Session) -> None:
    """List, info, logs and url say what a person needs, and never the token unless asked."""
    assert "etl" in attached.run("%session list").value.text
    info = attached.run("%session info").value
    assert f"etl ({etl.id})" in info.text
    assert "python" in info.data["kind"]
    assert [] != attached.run("%session logs").value.data["log"] or True
    url = attached.run("%session url").value
    assert etl._desk.client.url in url.text
    assert etl._desk.client.token not in url.json() + url.text
    assert etl._desk.client.token in attached.run("%session url --show-token").value.text


def test_profiles_are_listed_and_sessions_shared(
    attached: StrictShell, etl: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the site offers, and who was let in, from lines, a shell and Python."""
    shown = attached.run("%session profiles")
    assert "small" in str(shown.value)
    assert "default (default)" in str(shown.value)
    assert "seen by * and used by bob" in str(attached.run("%session share --use bob --view '*'").value)
    assert ["bob"] == etl.info()["access"]["use"]
    assert "used by" not in str(attached.run("%session share").value)
    etl.share(view=["cy"])
    assert "view by" in str(attached.run("%session info").value)
    assert 0 == main(["session", "profiles", "--json"])
    assert {"default", "small"} == {each["name"] for each in json.loads(capsys.readouterr().out)["profiles"]}
    etl.share()


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("%session attach elt", NotFound, "did you mean etl?"),
        ("%%spark elt\n1", NotFound, "%session start elt"),
        ("%session start 12", RequestError, "not digits alone"),
        ("%session start x --name y", UsageError, "two names: x and --name y"),
        ("%session start x --conf spark.master=yarn", RequestError, "spark.master"),
        ("%session start etl", Conflict, "etl"),
        ("%session follow --statement 99999", NotFound, "99999"),
        ("%session start x --driver-memory much", RequestError, "write 2g"),
        ("%%spark --named x\n1", UsageError, "Did you mean --name?"),
    ],
)
def test_bad_lines_say_how_to_mend_them(attached: StrictShell, line: str, error: type[Exception], said: str) -> None:
    """Each is refused with the nearest name or the right form, and starts nothing."""
    before = len(attached.run("%session list").value.data)
    ran = attached.fails(line)
    assert isinstance(ran.error, error)
    assert said in str(ran.error)
    assert before == len(attached.run("%session list").value.data)


def test_a_kernels_session_that_died_is_said_once(shell: StrictShell) -> None:
    """The next cell tells why; the one after starts another."""
    shell.run("%session start doomed")
    ran = shell.fails("%%spark\nimport os\nos._exit(3)")
    assert "exit code 3" in str(ran.error)
    assert "exit code 3" in str(shell.fails("%%spark\n1").error)
    assert "1" == shell.run("%%spark\n1").value.text
    shell.run("%session stop")


def test_a_stream_outlives_the_service(etl: Session, shared_config: Config) -> None:
    """Killed in the middle of a cell, the service is back by itself and nothing of the output is lost or told twice."""
    left = etl.submit("import time\nfor n in range(30):\n    print(n, flush=True)\n    time.sleep(0.1)\n'end'")

    def kill() -> None:
        wait_until(lambda: left.state == "running", what="it runs")
        os.kill(int((holder_of(service_lock(shared_config)) or {})["pid"]), signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    ran = left.wait(quiet=True)
    killing.join()
    assert ("".join(f"{n}\n" for n in range(30)), "'end'") == (ran.stdout, ran.text)


def test_the_command_line_runs_code_in_a_session(
    etl: Session, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard output is the cell's, the value its last line; a failed cell gives exit code 2 and its traceback."""
    script = tmp_path / "job.py"
    script.write_text("print('printed')\n6 * 7\n")
    assert 0 == main(["session", "run", "etl", "--python", str(script)])
    assert "printed\n42\n" == capsys.readouterr().out
    script.write_text("1 / 0\n")
    assert 2 == main(["session", "run", "etl", "--python", str(script)])
    assert "ZeroDivisionError in etl[" in capsys.readouterr().err
    etl.submit("import time\ntime.sleep(0.5)\nprint('late')")
    assert 0 == main(["session", "attach", "etl"])
    assert "late\n" in capsys.readouterr().out
    assert 0 == main(["session", "attach", "etl"])
    assert "nothing runs" in capsys.readouterr().out
    assert 0 == main(["session", "list", "--json"])
    assert etl.id in [each["id"] for each in json.loads(capsys.readouterr().out)]
    assert 2 == main(["session", "run", "none", "--python", str(script)])
    assert "there is no session 'none'" in capsys.readouterr().err
