"""What every store must do for batches, over SQLite and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nbplat.adapters.store import open_store
from nbplat.config import load_config
from nbplat.errors import Conflict, NotFound
from nbplat.session.batch import BatchDraft, BatchState, BatchStore
from nbplat.session.records import SessionDraft
from nbplat.testing import FakeClock

PROCESS = {"pid": 1, "born": 2.5, "folder": "/x"}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BatchStore]:
    options = {"home": str(tmp_path / "home")}
    if request.param == "postgres":
        options["store.url"] = request.getfixturevalue("postgres_url")
    config = load_config(options, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")
    opened = open_store(config, clock=FakeClock(5))
    yield opened
    opened.close()


def draft(name: str = "") -> BatchDraft:
    return BatchDraft(name, "ann", {"file": "/job.py", "args": ["é'\\"]}, {"spark.x": "1"})


def test_a_batch_is_kept_as_it_was_asked_for(store: BatchStore) -> None:
    """What is read back equals what was kept."""
    added = store.add_batch(draft("nightly"))
    assert added == store.batch(added.id) == store.batch_named("nightly")
    assert ({"file": "/job.py", "args": ["é'\\"]}, {"spark.x": "1"}, "ann") == (added.request, added.conf, added.owner)
    assert (BatchState.NOT_STARTED, 5, None) == (added.state, added.created_ms, added.ended_ms)


def test_ids_are_apart_from_sessions_and_never_used_again(store: BatchStore) -> None:
    """Batches count for themselves, and a removed one's id goes to nobody."""
    store.add_session(SessionDraft("pyspark", "", "", "", {}, {}))  # type: ignore[attr-defined]
    first = store.add_batch(draft())
    last = store.add_batch(draft())
    assert (1, 2) == (first.id, last.id)
    store.remove_batch(last.id)
    store.remove_batch(last.id)
    assert 3 == store.add_batch(draft()).id
    with pytest.raises(NotFound, match="no batch 2"):
        store.batch(2)


def test_a_name_belongs_to_one_living_batch(store: BatchStore) -> None:
    """A name is refused while its batch lives, and free again when it has ended."""
    first = store.add_batch(draft("nightly"))
    with pytest.raises(Conflict, match="has the name 'nightly'"):
        store.add_batch(draft("nightly"))
    store.move_batch(first.id, BatchState.SUCCESS)
    second = store.add_batch(draft("nightly"))
    assert second == store.batch_named("nightly")
    with pytest.raises(NotFound):
        store.batch_named("hourly")


def test_an_ended_batch_stays_ended(store: BatchStore) -> None:
    """No late word moves it, and its reason and its process stay."""
    batch = store.add_batch(draft())
    store.move_batch(batch.id, BatchState.RUNNING, process=PROCESS)
    reason = {"code": "batch.failed", "message": "x", "fix": "", "tail": []}
    ended = store.move_batch(batch.id, BatchState.DEAD, reason=reason)
    assert (PROCESS, 5, reason) == (ended.process, ended.ended_ms, ended.reason)
    assert ended == store.move_batch(batch.id, BatchState.RUNNING) == store.batch(batch.id)


def test_batches_are_listed_in_pages(store: BatchStore) -> None:
    """In order of id, with the count of all."""
    for _ in range(4):
        store.add_batch(draft())
    total, found = store.batches(skip=1, limit=2)
    assert (4, [2, 3]) == (total, [batch.id for batch in found])
