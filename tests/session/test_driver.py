"""The process behind a session, without Spark: cells, output, interrupts, and what it leaves when it ends."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from nbplat.errors import RemoteError
from tests.fixtures.drivers import Talk
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process


def test_the_value_of_the_last_line_is_shown(talk: Talk) -> None:
    """A cell shows the value of its last statement and nothing for one without a value."""
    assert {"text/plain": "10"} == talk.run(0, "x = 5\nx * 2")["output"]["data"]
    assert {} == talk.run(1, "y = 3")["output"]["data"]
    assert {"text/plain": "15"} == talk.run(2, "x * y")["output"]["data"]


def test_printed_text_comes_while_the_cell_runs(talk: Talk) -> None:
    """Printed text is sent in pieces before the cell has ended, and in order."""
    talk.ask("run", id=0, runner="python", body={"code": "import time\nprint('first')\ntime.sleep(30)"})
    talk.until("stream", id=0)
    assert "first" in talk.printed(0)
    assert not [event for event in talk.events if event["event"] == "done"]
    assert {"is": "running"} == talk.ask("cancel", id=0)
    assert "cancelled" == talk.until("done", id=0)["status"]


def test_an_error_begins_at_the_cells_own_line(talk: Talk) -> None:
    """A traceback shows the cell's lines, the chain of causes, and none of our frames."""
    code = """def inner():
    return {}['missing']
try:
    inner()
except KeyError as exc:
    raise ValueError('outer') from exc"""
    done = talk.run(4, code)
    text = "".join(done["output"]["traceback"])
    assert "error" == done["status"]
    assert ("ValueError", "outer") == (done["output"]["ename"], done["output"]["evalue"])
    assert "return {}['missing']" in text
    assert "direct cause" in text
    assert "nbplat" not in text


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("1 +", "SyntaxError"),
        ("import sys\nsys.exit(3)", "SystemExit"),
        ("def f(): f()\nf()", "RecursionError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("class Odd(Exception):\n    def __str__(self): raise TypeError('no')\nraise Odd", "Odd"),
        ("'\\0'.encode().decode('utf-16')", "UnicodeDecodeError"),
        ("input()", "EOFError"),
    ],
)
def test_no_error_of_a_cell_ends_the_session(talk: Talk, code: str, name: str) -> None:
    """Whatever a cell raises is its own error; the next cell runs."""
    assert name == talk.run(0, code)["output"]["ename"]
    assert {"text/plain": "2"} == talk.run(1, "1 + 1")["output"]["data"]


@pytest.mark.parametrize(
    "code", ["import time\ntime.sleep(60)", "while True: pass", "import threading\nthreading.Event().wait()"]
)
def test_an_interrupt_ends_the_cell_at_once(talk: Talk, code: str) -> None:
    """A cancelled cell ends in well under a second, its state says so, and the session goes on."""
    talk.ask("run", id=0, runner="python", body={"code": code})
    talk.until("started", id=0)
    began = time.monotonic()
    assert {"is": "running"} == talk.ask("cancel", id=0)
    done = talk.until("done", id=0)
    assert ("cancelled", "KeyboardInterrupt") == (done["status"], done["output"]["ename"])
    assert time.monotonic() - began < 5.0
    assert {"text/plain": "2"} == talk.run(1, "1 + 1")["output"]["data"]


def test_a_cell_that_ignores_interrupts_is_called_stubborn(talk: Talk) -> None:
    """Code that catches the interrupt goes on running, is never called cancelled, and ends by itself."""
    code = """import time
end = time.monotonic() + 4.6
while time.monotonic() < end:
    try:
        time.sleep(0.05)
    except KeyboardInterrupt:
        pass
"""
    talk.ask("run", id=0, runner="python", body={"code": code})
    talk.until("started", id=0)
    talk.ask("cancel", id=0)
    talk.until("stubborn", id=0)
    assert not [event for event in talk.events if event["event"] == "done"]
    assert "ok" == talk.until("done", id=0)["status"]


def test_scala_without_a_jvm_says_what_would_run_it(talk: Talk) -> None:
    """A cell in Scala where no JVM is behind the driver is the cell's own error, with the mend and no traceback."""
    talk.ask("run", id=0, runner="scala", body={"code": "val x = 1"})
    done = talk.until("done", id=0)
    assert ("error", "NoJvm", []) == (done["status"], done["output"]["ename"], done["output"]["traceback"])
    assert "start a session whose master is not sc://" in done["output"]["evalue"]
    assert {"text/plain": "2"} == talk.run(1, "1 + 1")["output"]["data"]


def test_a_waiting_cell_that_is_cancelled_never_runs(talk: Talk) -> None:
    """What waits behind a running cell can be taken away; the running one is not touched."""
    talk.ask("run", id=0, runner="python", body={"code": "import time\ntime.sleep(0.5)\n'first'"})
    talk.ask("run", id=1, runner="python", body={"code": "ran = True"})
    assert {"is": "waiting"} == talk.ask("cancel", id=1)
    assert "cancelled" == talk.until("done", id=1)["status"]
    assert {"text/plain": "'first'"} == talk.until("done", id=0)["output"]["data"]
    assert "NameError" == talk.run(2, "ran")["output"]["ename"]
    assert {"is": "ended"} == talk.ask("cancel", id=2)


def test_a_cell_asked_for_twice_runs_once(talk: Talk) -> None:
    """A service that asks again after its own death gets no second run."""
    talk.run(0, "count = 0")
    talk.run(1, "count += 1")
    assert {"fresh": False} == talk.ask("run", id=1, runner="python", body={"code": "count += 1"})
    assert {"text/plain": "1"} == talk.run(2, "count")["output"]["data"]


def test_a_long_output_keeps_its_beginning_and_its_end(talk: Talk) -> None:
    """Between them a line says how much was left out; what is kept is no more than the limit."""
    done = talk.run(0, "for n in range(100_000): print(n)", output_limit=4000)
    begin, _, end = talk.printed(0).partition("\n… ")
    left_out = sum(len(f"{n}\n") for n in range(100_000)) - 4000
    assert left_out == done["output"]["dropped"]
    assert begin.startswith("0\n1\n2\n")
    assert f"{left_out:,} characters were left out here …\n" == end[: end.index("…") + 2]
    assert end.endswith("99998\n99999\n")
    assert 4000 == len(begin) + len(end) - len(f"{left_out:,} characters were left out here …\n")


def test_a_cell_that_prints_two_gigabytes_costs_no_memory(talk: Talk) -> None:
    """All of it is taken, neither the driver nor its log grows by it, and both ends are there."""
    talk.run(0, "import resource\npiece = 'x' * (1 << 20) + '\\n'\nprint(piece * 12)", output_limit=1 << 20)
    before = int(talk.run(1, "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss")["output"]["data"]["text/plain"])
    code = "print('first')\nfor _ in range(2048): print(piece, end='')\nprint('last')"
    done = talk.run(2, code, output_limit=1 << 20)
    after = int(talk.run(3, "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss")["output"]["data"]["text/plain"])
    assert 2048 * ((1 << 20) + 1) + len("first\nlast\n") - (1 << 20) == done["output"]["dropped"]
    assert talk.printed(2).startswith("first\nxxx")
    assert talk.printed(2).endswith("x\nlast\n")
    assert after - before < 40_000
    assert sum(file.stat().st_size for file in Path(talk.driver["folder"], "events").iterdir()) < 40 << 20


def test_bytes_that_are_no_text_are_shown_as_marks(talk: Talk) -> None:
    """Junk on `sys.stdout.buffer` is printed with marks, junk past Python goes to the log; the next cell runs."""
    talk.run(0, "import os, sys\nsys.stdout.buffer.write(b'a\\xff\\x00b\\n')\nos.write(1, bytes(range(256)))")
    assert "a\ufffd\ufffdb\n" == talk.printed(0)
    assert {"text/plain": "2"} == talk.run(1, "1 + 1")["output"]["data"]
    assert talk.drivers.log(talk.driver)[0] > 0


def test_a_value_too_large_to_be_shown_is_left_out(talk: Talk) -> None:
    """Its form is left out with a word for it; rows without end of displays are cut; small ones stay whole."""
    big = "class Big:\n    def __repr__(self): return 'big'\n    def _repr_html_(self): return 'x' * (40 << 20)\n"
    data = talk.run(0, f"{big}Big()")["output"]["data"]
    assert {"text/plain": "big\n… left out: text/html of 41,943,040 characters …"} == data
    talk.run(1, "class Some:\n    def _repr_html_(self): return 'x' * (4 << 20)\nfor _ in range(12): display(Some())")
    shown = [event["data"] for event in talk.events if event["event"] == "display" and event["id"] == 1]
    assert "… 5 more displays were left out …" == shown[-1]["text/plain"]
    assert 8 == len(shown)
    failed = talk.run(2, "try: raise ValueError('y' * (40 << 20))\nexcept ValueError as e: raise KeyError('k') from e")
    assert sum(map(len, failed["output"]["traceback"])) < 100_000


def test_a_fork_of_a_cell_is_no_second_driver(talk: Talk) -> None:
    """A copy of the process tells no event and ends with the cell; what it prints goes to the log."""
    code = """import os, multiprocessing
print('parent')
pid = os.fork()
print('copy' if pid == 0 else 'still the parent')
if pid: print(os.waitpid(pid, 0)[1])
worker = multiprocessing.get_context('fork').Process(target=print, args=('from a worker',))
if pid:
    worker.start()
    worker.join()
'end'"""
    assert {"text/plain": "'end'"} == talk.run(0, code)["output"]["data"]
    assert "parent\nstill the parent\n0\n" == talk.printed(0)
    assert {"text/plain": "2"} == talk.run(1, "1 + 1")["output"]["data"]
    assert list(range(1, len(talk.events) + 1)) == [event["seq"] for event in talk.events]
    assert {"copy", "from a worker"} <= set(talk.drivers.log(talk.driver)[1])


def test_a_session_with_too_many_processes_is_tidied(talk: Talk) -> None:
    """A cell that starts processes without end fails with the count and the setting; the processes are gone."""
    code = """import os, time
while True:
    if os.fork() == 0:
        while True:
            try: time.sleep(600)
            except KeyboardInterrupt: pass
    time.sleep(0.001)"""
    done = talk.run(0, code, max_processes=60)
    assert ("error", "TooManyProcesses") == (done["status"], done["output"]["ename"])
    assert "over session.max_processes (60)" in done["output"]["evalue"]
    count = "len([p for p in os.listdir('/proc') if p.isdecimal() and open(f'/proc/{p}/stat').read().rpartition(')')[2]"
    alive = f"{count}.split()[3] == str(os.getsid(0)) and ' Z ' not in open(f'/proc/{{p}}/stat').read()])"
    assert int(talk.run(1, alive, max_processes=60)["output"]["data"]["text/plain"]) < 10


def test_a_driver_ends_with_its_jvm_and_says_how(talk: Talk) -> None:
    """The end of the JVM is told with its code, and the cell's own error for it is not."""
    code = """import gc, os, signal, subprocess, sys, time
[driver] = [one for one in gc.get_objects() if type(one).__name__ == 'Driver']
child = subprocess.Popen(['sleep', '600'])
driver._watch_jvm(child)
os.write(2, b'java.lang.OutOfMemoryError: Java heap space\\n')
os.kill(child.pid, signal.SIGKILL)
raise ConnectionRefusedError('the JVM is gone')"""
    talk.ask("run", id=0, runner="python", body={"code": code})
    wait_until(lambda: not talk.drivers.lives(talk.driver), what="the driver ends")
    left = talk.drivers.left_behind(talk.driver, 0)
    assert {"event": "jvm", "code": -signal.SIGKILL}.items() <= left[-1].items()
    assert "done" not in [event["event"] for event in left]
    assert any("OutOfMemoryError" in line for line in talk.drivers.ending(talk.driver).tail)


def test_completion_and_inspection_answer_beside_a_running_cell(talk: Talk) -> None:
    """Names, attributes and keys are found while a cell runs."""
    talk.run(
        0, "table = {'amount': 1, 'country': 2}\ndef double(value: int) -> int:\n    'Twice.'\n    return 2 * value"
    )
    talk.ask("run", id=1, runner="python", body={"code": "while True: pass"})
    talk.until("started", id=1)
    assert ["table"] == talk.ask("complete", code="x = tabl", cursor=8)["matches"]
    assert "items" in talk.ask("complete", code="table.it", cursor=8)["matches"]
    assert {"matches": ["amount"], "start": 7, "end": 8} == talk.ask("complete", code="table['a", cursor=8)
    assert {"matches": [], "start": 4, "end": 4} == talk.ask("complete", code="1 + ", cursor=4)
    found = talk.ask("inspect", code="double(3)", cursor=4)
    assert found["text"].startswith("double(value: int) -> int")
    assert "Twice." in found["text"]
    assert {"found": False} == talk.ask("inspect", code="nothing_here", cursor=3)
    talk.ask("cancel", id=1)


def test_a_property_that_hangs_does_not_hang_completion(talk: Talk) -> None:
    """A user's property that never returns costs its own answer and no other."""
    talk.run(0, "import time\nclass Slow:\n    @property\n    def column(self): time.sleep(600)\nslow = Slow()")
    began = time.monotonic()
    assert {"found": False} == talk.ask("inspect", code="slow.column.x", cursor=12)
    assert time.monotonic() - began < 5.0
    assert "Slow" in talk.ask("complete", code="Sl", cursor=2)["matches"]


def test_values_show_their_richest_forms(talk: Talk) -> None:
    """HTML, images and JSON of a value are sent by type; `display` shows before the cell has ended."""
    code = """class Rich:
    def _repr_html_(self): return '<b>hi</b>'
    def _repr_png_(self): return b'png'
    def __repr__(self): return 'rich'
"""
    talk.run(0, code)
    done = talk.run(1, "display(Rich())\nRich()")
    assert {"text/plain": "rich", "text/html": "<b>hi</b>", "image/png": "cG5n"} == done["output"]["data"]
    assert done["output"]["data"] == talk.until("display", id=1)["data"]


def test_livys_magics_give_json_tables_and_pictures(talk: Talk) -> None:
    """The three magics of Livy give their types, and an unfit value is the cell's error, not the session's end."""
    done = talk.run(0, "rows = [{'a': 1, 'b': 'x'}, {'a': None, 'b': 2.5}]\n%table rows")
    table = done["output"]["data"]["application/vnd.livy.table.v1+json"]
    assert [{"name": "a", "type": "INT_TYPE"}, {"name": "b", "type": "STRING_TYPE"}] == table["headers"]
    assert [[1, "x"], [None, "2.5"]] == table["data"]
    assert {"application/json": [1, {"k": None}]} == talk.run(1, "x = [1, {'k': None}]\n%json x")["output"]["data"]
    assert "TypeError" == talk.run(2, "y = object()\n%json y")["output"]["ename"]
    assert "NameError" == talk.run(3, "%json nothing")["output"]["ename"]
    assert {"text/plain": "1"} == talk.run(4, "1")["output"]["data"]


def test_a_cells_future_statement_holds_for_the_next(talk: Talk) -> None:
    """Annotations are evaluated unless the session says otherwise, and then for every later cell."""
    code = "def f(x: int): ...\nf.__annotations__['x']"
    assert {"text/plain": "<class 'int'>"} == talk.run(0, code)["output"]["data"]
    talk.run(1, "from __future__ import annotations")
    assert {"text/plain": "'int'"} == talk.run(2, code)["output"]["data"]


def test_top_level_await_works(talk: Talk) -> None:
    """A cell may await, and cells share one event loop."""
    talk.run(0, "import asyncio\nlock = asyncio.Lock()\nawait lock.acquire()")
    assert {"text/plain": "True"} == talk.run(1, "await asyncio.sleep(0)\nlock.locked()")["output"]["data"]


def test_a_new_line_reads_on_where_the_last_one_stopped(talk: Talk, tmp_path: Path) -> None:
    """Events told while nobody listened come with the next line, each once."""
    away, told = tmp_path / "away", tmp_path / "told"
    code = f"""import os, time
while not os.path.exists({str(away)!r}):
    time.sleep(0.01)
for n in range(5):
    print(n, flush=True)
    if n == 2:
        open({str(told)!r}, "w").close()
    time.sleep(0.05)"""
    talk.ask("run", id=0, runner="python", body={"code": code})
    talk.until("started", id=0)
    talk.line.close()
    away.touch()
    wait_until(told.exists, what="something is told")
    talk.connect()
    talk.until("done", id=0)
    assert "0\n1\n2\n3\n4\n" == talk.printed(0)
    assert list(range(1, len(talk.events) + 1)) == [event["seq"] for event in talk.events]


def test_a_wrong_token_gets_nothing(talk: Talk) -> None:
    """A caller without the token is told so and learns no event."""
    from nbplat.adapters.driver.line import Line

    with pytest.raises(RemoteError, match="refuses our token"):
        Line(talk.driver["socket"], "wrong", 0)


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("import os\nprint('last words', flush=True)\nos._exit(7)", 7),
        ("import os, signal\nprint('last words', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_what_a_dead_driver_told_can_still_be_read(talk: Talk, code: str, ended: int) -> None:
    """The events and the exit code of a process that died are in its folder."""
    talk.ask("run", id=0, runner="python", body={"code": code})
    wait_until(lambda: not talk.drivers.lives(talk.driver), what="the driver ends")
    left = talk.drivers.left_behind(talk.driver, 0)
    assert "last words\n" == "".join(event["text"] for event in left if event["event"] == "stream")
    assert ended == talk.drivers.ending(talk.driver).code


def test_stop_ends_the_process_in_order(talk: Talk) -> None:
    """A driver that is asked to stop interrupts its cell and ends with code 0."""
    talk.ask("run", id=0, runner="python", body={"code": "while True: pass"})
    talk.until("started", id=0)
    talk.ask("stop")
    wait_until(lambda: not talk.drivers.lives(talk.driver), what="the driver ends")
    assert 0 == talk.drivers.ending(talk.driver).code
    assert "ended" == talk.drivers.left_behind(talk.driver, 0)[-1]["event"]
