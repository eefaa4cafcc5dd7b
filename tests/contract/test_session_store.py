"""What every store must do for sessions, over SQLite and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.store import open_store
from nbplat.config import load_config
from nbplat.errors import Conflict, NotFound
from nbplat.session.changes import changes_of
from nbplat.session.ports import SessionStore
from nbplat.session.records import SessionDraft
from nbplat.session.states import SessionState, StatementState
from nbplat.testing import FakeClock

AT = 5


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionStore]:
    options = {"home": str(tmp_path / "home")}
    if request.param == "postgres":
        options["store.url"] = request.getfixturevalue("postgres_url")
    config = load_config(options, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")
    opened = open_store(config, clock=FakeClock())
    yield opened
    opened.close()


def draft(name: str = "") -> SessionDraft:
    return SessionDraft("pyspark", name, "ann", "", {"driverMemory": "1g"}, {"spark.app.name": "é'\\"})


def event(seq: int, what: str, **values: Any) -> dict[str, Any]:
    return {"seq": seq, "at_ms": AT, "event": what, **values}


def test_a_session_is_kept_as_it_was_asked_for(store: SessionStore) -> None:
    """What is read back equals what was kept."""
    added = store.add_session(draft("mine"))
    assert added == store.session(added.id) == store.session_named("mine")
    assert {"spark.app.name": "é'\\"} == added.conf
    assert SessionState.NOT_STARTED is added.state


def test_ids_are_never_used_again(store: SessionStore) -> None:
    """A removed session's id goes to nobody, also when it was the last."""
    first = store.add_session(draft())
    last = store.add_session(draft())
    store.remove_session(last.id)
    assert first.id + 2 == store.add_session(draft()).id
    store.remove_session(last.id)
    with pytest.raises(NotFound, match=f"no session {last.id}"):
        store.session(last.id)


def test_a_name_belongs_to_one_living_session(store: SessionStore) -> None:
    """A name is refused while its session lives, and free again when it has ended."""
    first = store.add_session(draft("mine"))
    with pytest.raises(Conflict, match="has the name 'mine'"):
        store.add_session(draft("mine"))
    store.move_session(first.id, SessionState.DEAD)
    second = store.add_session(draft("mine"))
    assert second == store.session_named("mine")
    with pytest.raises(NotFound):
        store.session_named("yours")


def test_pages_are_in_order_and_count_all(store: SessionStore) -> None:
    """A page holds what was asked for, and the total counts every session that fits."""
    ids = [store.add_session(draft()).id for _ in range(5)]
    store.move_session(ids[0], SessionState.DEAD, reason={"code": "x", "message": "y", "fix": ""})
    total, page = store.sessions(skip=1, limit=2)
    assert (5, ids[1:3]) == (total, [session.id for session in page])
    assert (1, [ids[0]]) == (lambda found: (found[0], [one.id for one in found[1]]))(
        store.sessions(states=[SessionState.DEAD])
    )


def test_an_ended_session_stays_ended(store: SessionStore) -> None:
    """No late word moves a session that has ended, and its reason stays."""
    session = store.add_session(draft())
    reason = {"code": "session.died", "message": "gone", "fix": "start another"}
    store.move_session(session.id, SessionState.DEAD, reason=reason)
    assert SessionState.DEAD is store.move_session(session.id, SessionState.IDLE).state
    assert reason == store.session(session.id).reason
    with pytest.raises(Conflict, match="is dead"):
        store.add_statement(session.id, "1", "pyspark")


def test_events_told_twice_change_nothing_twice(store: SessionStore) -> None:
    """A row of events that comes again, alone or with newer ones, is taken once."""
    session = store.add_session(draft())
    store.add_statement(session.id, "print(1)", "pyspark")
    rows = [
        event(1, "state", state="idle"),
        event(2, "started", id=0),
        event(3, "stream", id=0, name="stdout", text="1\n"),
        event(4, "done", id=0, status="ok", output={"data": {"text/plain": "é"}, "dropped": 0}),
    ]
    store.apply(session.id, changes_of(rows[:3], 0))
    store.apply(session.id, changes_of(rows[:3], 0))
    store.apply(session.id, changes_of(rows, store.session(session.id).last_seq))
    found = store.statement(session.id, 0)
    assert (StatementState.AVAILABLE, 1.0, AT, AT) == (
        found.state,
        found.progress,
        found.started_ms,
        found.completed_ms,
    )
    assert {"status": "ok", "data": {"text/plain": "é"}, "dropped": 0} == found.output
    assert [(3, "stdout", "1\n")] == [(one.seq, one.name, one.text) for one in store.chunks(session.id, 0)]
    assert (4, SessionState.IDLE) == (store.session(session.id).last_seq, store.session(session.id).state)


def test_statements_are_numbered_from_zero(store: SessionStore) -> None:
    """Each session counts its own statements, and they are listed either way."""
    session = store.add_session(draft())
    for code in ("a", "b", "c"):
        store.add_statement(session.id, code, "sql")
    total, found = store.statements(session.id, newest_first=True, limit=2)
    assert (3, [(2, "c"), (1, "b")]) == (total, [(one.id, one.code) for one in found])
    with pytest.raises(NotFound, match="no statement 3"):
        store.statement(session.id, 3)
    with pytest.raises(NotFound):
        store.statements(session.id + 1)


def test_cancelling_lasts_until_the_code_has_ended(store: SessionStore) -> None:
    """A cancelled statement is `cancelling` until its driver says its end; one never sent is cancelled at once."""
    session = store.add_session(draft())
    for _ in range(3):
        store.add_statement(session.id, "x", "pyspark")
    store.cancelling(session.id, 0, sent=True)
    store.apply(session.id, changes_of([event(1, "started", id=0)], 0))
    assert StatementState.CANCELLING is store.statement(session.id, 0).state
    store.apply(session.id, changes_of([event(2, "done", id=0, status="ok", output={"data": {}, "dropped": 0})], 1))
    assert StatementState.AVAILABLE is store.statement(session.id, 0).state
    assert StatementState.AVAILABLE is store.cancelling(session.id, 0, sent=True).state
    assert StatementState.CANCELLED is store.cancelling(session.id, 1, sent=False).state
    assert [2] == [one.id for one in store.open_statements(session.id)]


def test_statements_of_a_dead_driver_end_with_its_reason(store: SessionStore) -> None:
    """What waited or ran gets the reason as its output, and what was being cancelled is cancelled."""
    session = store.add_session(draft())
    for _ in range(3):
        store.add_statement(session.id, "x", "pyspark")
    store.apply(session.id, changes_of([event(1, "done", id=0, status="ok", output={"data": {}, "dropped": 0})], 0))
    store.cancelling(session.id, 1, sent=True)
    lost = {"status": "error", "ename": "SessionDied", "evalue": "gone", "traceback": []}
    store.end_statements(session.id, lost)
    _, found = store.statements(session.id)
    assert ["available", "cancelled", "available"] == [one.state for one in found]
    assert ["ok", None, "error"] == [one.output and one.output["status"] for one in found]


def test_old_statements_are_forgotten_in_one_go(store: SessionStore) -> None:
    """Those that have ended beyond the newest `keep` go with what they printed; open ones stay; numbers go on."""
    session = store.add_session(draft())
    for _ in range(1203):
        store.add_statement(session.id, "1", "pyspark")
    done = [event(n + 1, "done", id=n, status="ok", output={"data": {}}) for n in range(1203) if n != 2]
    printed = [event(2000 + n, "stream", id=n, name="stdout", text="x") for n in (1, 1202)]
    store.apply(session.id, changes_of([*done, *printed], 0))
    assert [0, 1, *range(3, 1200)] == store.forget_statements(session.id, 3)
    assert [2, 1200, 1201, 1202] == [one.id for one in store.statements(session.id)[1]]
    assert ([], 1) == (store.chunks(session.id, 1), len(store.chunks(session.id, 1202)))
    assert [] == store.forget_statements(session.id, 3)
    store.forget_statements(session.id, 0)
    assert 1203 == store.add_statement(session.id, "1", "pyspark").id
