"""Sessions over real drivers (plain Python): restarts of the service, deaths of drivers, ends in order."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from nbplat.adapters.store import open_store
from nbplat.clock import SystemClock
from nbplat.config import load_config
from nbplat.errors import Conflict, NotFound, RemoteError, RequestError
from nbplat.session.life import Limits
from nbplat.session.records import Session, SessionDraft, Statement
from nbplat.session.sessions import Sessions
from nbplat.session.states import FINAL, SessionState
from tests.fixtures.drivers import drivers_of
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process

Open = Callable[[], Sessions]


@pytest.fixture
def open_sessions(tmp_path: Path, sockets: Path) -> Iterator[Open]:
    """Open the sessions of one state folder, as each start of the service does."""
    options = {"home": str(tmp_path / "home")}
    config = load_config(options, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")
    opened: list[Sessions] = []

    def make() -> Sessions:
        for sessions in opened:
            sessions.close()
        sessions = Sessions(open_store(config, clock=SystemClock()), drivers_of(tmp_path, sockets))
        sessions.recover()
        opened.append(sessions)
        return sessions

    yield make
    last = make()
    for session in last.store.sessions(limit=1000)[1]:
        last.delete(session.id)
    for sessions in opened:
        sessions.close()
        sessions.store.close()  # type: ignore[attr-defined]


def start(sessions: Sessions, name: str = "") -> Session:
    return sessions.start(SessionDraft("python", name, "ann", "", {}, {}))


def ended(sessions: Sessions, statement: Statement) -> Statement:
    def look() -> Statement | None:
        found = sessions.store.statement(statement.session_id, statement.id)
        return found if found.state in FINAL else None

    return wait_until(look, what="the statement ends")  # type: ignore[return-value]


def run(sessions: Sessions, session: Session, code: str) -> Statement:
    return ended(sessions, sessions.submit(session.id, code, "pyspark"))


def printed(sessions: Sessions, statement: Statement) -> str:
    return "".join(one.text for one in sessions.store.chunks(statement.session_id, statement.id))


def text(statement: Statement) -> str:
    assert statement.output is not None
    return str(statement.output["data"]["text/plain"])


def test_statements_wait_while_a_session_starts(open_sessions: Open) -> None:
    """Statements sent at once after the start run in their order as soon as there is a driver."""
    sessions = open_sessions()
    session = start(sessions)
    asked = [sessions.submit(session.id, f"order = [*globals().get('order', ()), {n}]", "pyspark") for n in range(5)]
    assert "[0, 1, 2, 3, 4]" == text(run(sessions, session, "order"))
    assert all(ended(sessions, one).output == {"status": "ok", "data": {}, "dropped": 0} for one in asked)


def test_a_running_statement_outlives_the_service(open_sessions: Open) -> None:
    """A restart loses neither a session, nor its variables, nor a line that was printed meanwhile."""
    sessions = open_sessions()
    session = start(sessions)
    run(sessions, session, "kept = 41")
    slow = sessions.submit(
        session.id, "import time\nfor n in range(20):\n    print(n)\n    time.sleep(0.05)", "pyspark"
    )
    behind = sessions.submit(session.id, "kept += 1\nkept", "pyspark")
    wait_until(lambda: printed(sessions, slow), what="something is printed")
    again = open_sessions()
    assert "42" == text(ended(again, behind))
    assert "".join(f"{n}\n" for n in range(20)) == printed(again, ended(again, slow))
    assert session.id == again.store.session(session.id).id


def test_a_statement_that_no_driver_heard_of_runs_after_a_restart(open_sessions: Open) -> None:
    """What was only written down when the service died is sent by the next one, once."""
    sessions = open_sessions()
    session = start(sessions)
    run(sessions, session, "count = 0")
    sessions.close()
    written = sessions.store.add_statement(session.id, "count += 1\ncount", "pyspark")
    again = open_sessions()
    assert "1" == text(ended(again, written))
    assert "1" == text(run(open_sessions(), session, "count"))


def test_a_session_that_was_only_written_down_is_started_by_the_next_service(open_sessions: Open) -> None:
    """A service that dies between keeping a session and starting its driver loses nothing."""
    sessions = open_sessions()
    session = sessions.store.add_session(SessionDraft("python", "", "ann", "", {}, {}))
    assert "2" == text(run(open_sessions(), session, "1 + 1"))


def test_a_driver_whose_start_was_not_written_down_is_no_twin(open_sessions: Open) -> None:
    """A driver that was started just before the service died is ended, and one takes its place."""
    sessions = open_sessions()
    session = sessions.store.add_session(SessionDraft("python", "", "ann", "", {}, {}))
    stray = sessions._drivers.start(session)
    again = open_sessions()
    assert "2" == text(run(again, session, "1 + 1"))
    assert not sessions._drivers.lives(stray)
    assert stray["pid"] != again.store.session(session.id).driver["pid"]


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        ("import os\nos._exit(7)", "exit code 7", "session.died"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV", "session.died"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "out of memory", "session.memory"),
    ],
)
def test_a_session_whose_driver_died_says_why(open_sessions: Open, code: str, said: str, reason: str) -> None:
    """The session is dead with the reason, its statements end with it, and no other session notices."""
    sessions = open_sessions()
    session, other = start(sessions), start(sessions)
    fatal = sessions.submit(session.id, code, "pyspark")
    behind = sessions.submit(session.id, "1", "pyspark")
    for statement in (fatal, behind):
        output = ended(sessions, statement).output
        assert output is not None
        assert said in output["evalue"]
    found = wait_until(lambda: (one := sessions.store.session(session.id)).state == "dead" and one, what="it is dead")
    assert reason == found.reason["code"]
    with pytest.raises(Conflict, match="is dead"):
        sessions.submit(session.id, "1", "pyspark")
    assert "2" == text(run(sessions, other, "1 + 1"))


def test_a_session_whose_jvm_died_says_why(open_sessions: Open) -> None:
    """Exit code, the log's last lines and the shortage of memory are its reason, for its statements too."""
    sessions = open_sessions()
    session = start(sessions)
    code = """import gc, os, subprocess, time
[driver] = [one for one in gc.get_objects() if type(one).__name__ == 'Driver']
os.write(2, b'java.lang.OutOfMemoryError: Java heap space\\n')
driver._watch_jvm(subprocess.Popen(['sh', '-c', 'exit 3']))
time.sleep(60)"""
    output = ended(sessions, sessions.submit(session.id, code, "pyspark")).output
    assert output is not None
    assert "the session's JVM ended with exit code 3: it ran out of memory" == output["evalue"]
    assert any("OutOfMemoryError" in line for line in output["traceback"])
    found = wait_until(lambda: (one := sessions.store.session(session.id)).state == "dead" and one, what="it is dead")
    assert "session.memory" == found.reason["code"]


def test_old_statements_are_forgotten_and_ids_go_on(open_sessions: Open) -> None:
    """Beyond the limit the oldest that have ended go, with their rows; one that runs stays, and no id comes twice."""
    sessions = open_sessions()
    sessions.limits = Limits(keep_statements=5)
    session = start(sessions)
    run(sessions, session, "import collections")
    take = ended(sessions, sessions.query(session.id, "nothing", "take"))
    results = Path(sessions.store.session(session.id).driver["folder"], "results", str(take.id))
    results.mkdir(parents=True)
    for n in range(8):
        last = run(sessions, session, f"print({n})")
    assert 9 == last.id
    assert [5, 6, 7, 8, 9] == [one.id for one in sessions.store.statements(session.id)[1]]
    assert [] == sessions.store.chunks(session.id, 2)
    assert not results.exists()
    slow = sessions.submit(session.id, "import time\ntime.sleep(600)", "pyspark")
    for _ in range(8):
        behind = sessions.submit(session.id, "1", "pyspark")
    assert slow.id in [one.id for one in sessions.store.statements(session.id)[1]]
    assert 18 == behind.id


def test_a_driver_that_died_while_no_service_ran_is_reported_dead(open_sessions: Open) -> None:
    """What it had told is kept, and what was under way ends with the reason."""
    sessions = open_sessions()
    session = start(sessions)
    slow = sessions.submit(session.id, "import time\nprint('begun', flush=True)\ntime.sleep(600)", "pyspark")
    wait_until(lambda: printed(sessions, slow), what="it has begun")
    driver = sessions.store.session(session.id).driver
    sessions.close()
    os.killpg(driver["pid"], signal.SIGKILL)
    wait_until(lambda: not sessions._drivers.lives(driver), what="it has ended")
    again = open_sessions()
    assert "SessionDied" == (ended(again, slow).output or {})["ename"]
    assert "begun\n" == printed(again, slow)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('a\\ud800b\\0c')", "a\ufffdb\ufffdc\n"),
        ("print('\\U0001f600')", "\U0001f600\n"),
        ("raise ValueError('\\udc00')", ""),
        ("display({'\\ud800': 1})", '{"text/plain": "{\'\\\\ud800\': 1}"}'),
    ],
)
def test_no_character_that_code_prints_stops_a_session(open_sessions: Open, code: str, said: str) -> None:
    """Halves of pairs and NUL are replaced, whole pairs stay, and the next statement runs."""
    sessions = open_sessions()
    session = start(sessions)
    assert said == printed(sessions, run(sessions, session, code))
    assert "2" == text(run(sessions, session, "1 + 1"))


@pytest.mark.parametrize("text", ["a\0", "\ud800"])
def test_text_that_cannot_be_kept_is_refused(open_sessions: Open, text: str) -> None:
    """Code and names with NUL or half a pair are refused before anything is kept; nothing is found by them."""
    sessions = open_sessions()
    session = start(sessions)
    with pytest.raises(RequestError, match="NUL"):
        sessions.submit(session.id, text, "pyspark")
    with pytest.raises(RequestError, match="NUL"):
        start(sessions, text)
    with pytest.raises(NotFound):
        sessions.find(text)
    assert 1 == sessions.store.sessions()[0]


def test_deleting_leaves_no_process_and_no_folder(open_sessions: Open, tmp_path: Path) -> None:
    """A deleted session is gone with its processes, those of its cells too, while a cell runs."""
    sessions = open_sessions()
    session = start(sessions)
    code = "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\nprint(child.pid, flush=True)\nchild.wait()"
    running = sessions.submit(session.id, code, "pyspark")
    child = int(wait_until(lambda: printed(sessions, running), what="the child has started"))
    driver = sessions.store.session(session.id).driver
    sessions.delete(session.id)
    with pytest.raises(NotFound):
        sessions.find(str(session.id))
    assert not sessions._drivers.lives(driver)
    wait_until(lambda: not _runs(child), what="the cell's own process ends")
    assert not Path(driver["folder"]).exists()
    assert not Path(driver["socket"]).exists()


def test_a_session_that_was_being_deleted_is_deleted_by_the_next_service(open_sessions: Open) -> None:
    """A service that dies in the middle of a deletion leaves no orphan."""
    sessions = open_sessions()
    session = start(sessions)
    run(sessions, session, "1")
    driver = sessions.store.session(session.id).driver
    sessions.store.move_session(session.id, SessionState.SHUTTING_DOWN)
    again = open_sessions()
    assert (0, []) == again.store.sessions()
    assert not sessions._drivers.lives(driver)


def test_cancel_is_quick_and_true(open_sessions: Open) -> None:
    """A running statement is cancelled when its code has ended; a waiting one before any driver never runs."""
    sessions = open_sessions()
    session = start(sessions)
    early = sessions.submit(session.id, "early = 1", "pyspark")
    assert "cancelled" == sessions.cancel(session.id, early.id).state or "1" == text(run(sessions, session, "early"))
    loop = sessions.submit(session.id, "while True: pass", "pyspark")
    wait_until(lambda: sessions.store.statement(session.id, loop.id).state == "running", what="it runs")
    began = time.monotonic()
    sessions.cancel(session.id, loop.id)
    assert "cancelled" == ended(sessions, loop).state
    assert time.monotonic() - began < 5.0
    assert "2" == text(run(sessions, session, "1 + 1"))
    with pytest.raises(NotFound):
        sessions.cancel(session.id, 99)


def test_an_interpreter_that_is_missing_is_the_sessions_error(open_sessions: Open, tmp_path: Path) -> None:
    """A session whose process cannot start is in error, with what was tried."""
    sessions = open_sessions()
    sessions._drivers._interpreter = lambda _: str(tmp_path / "no-python")  # type: ignore[attr-defined]
    session = start(sessions)
    found = wait_until(lambda: (one := sessions.store.session(session.id)).state == "dead" and one, what="it ends")
    assert "exit code 127" in found.reason["message"]
    assert any("no-python" in line for line in found.reason["tail"])
    with pytest.raises(RemoteError):
        sessions.complete(session.id, "x", 1)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
