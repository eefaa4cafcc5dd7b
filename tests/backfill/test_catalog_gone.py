"""The catalog goes away while a run is on its way: a clear error, nothing lost, and the same run goes on after it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pyiceberg.catalog.sql import SqlCatalog

from nbplat.adapters.iceberg.reachable import reachable
from nbplat.backfill.states import Step
from nbplat.errors import NbplatError, RemoteError, SetupError
from nbplat.remote.kernel import stage
from nbplat.remote.task import Task
from tests.fixtures.gate import Gate
from tests.fixtures.iceberg_rest import serve
from tests.fixtures.lakehouse import Lake

SQL = "select id, x * 2D as f from base"


class Away:
    """A lake whose catalog a test can take away and bring back.

    Attributes:
        code: Of the error while it is away.
    """

    def __init__(self, lake: Lake, code: str, take: Callable[[], Any], bring: Callable[[], Any]) -> None:
        self.lake, self.code, self.take, self.bring = lake, code, take, bring


def embedded(tmp_path: Path) -> Iterator[Away]:
    lake = Lake(tmp_path / "home")
    file = lake.home / "warehouse" / "catalog.db"
    aside = file.with_name("aside.db")
    yield Away(lake, "catalog.missing", lambda: file.rename(aside), lambda: aside.rename(file))
    lake.close()


def rest(tmp_path: Path) -> Iterator[Away]:
    with serve(tmp_path / "served") as served:
        gate = Gate(int(served.url.rsplit(":", 1)[1]))
        lake = Lake(tmp_path / "home")
        url = f"http://127.0.0.1:{gate.port}"
        lake.platform.__dict__["catalog"] = reachable(type(served)(url, served.config).client())
        yield Away(lake, "catalog.unreachable", gate.shut, gate.open)
        gate.shut()
        lake.close()


def postgres(tmp_path: Path, url: str) -> Iterator[Away]:
    parts = urlsplit(url)
    assert parts.port is not None
    gate = Gate(parts.port)
    lake = Lake(tmp_path / "home")
    uri = f"postgresql+psycopg://{parts.username}@127.0.0.1:{gate.port}{parts.path}"
    lake.platform.__dict__["catalog"] = reachable(SqlCatalog("pg", uri=uri, warehouse=f"file://{tmp_path}/pg"))
    yield Away(lake, "catalog.unreachable", gate.shut, gate.open)
    gate.shut()
    lake.close()


@pytest.fixture(params=["embedded", "rest", pytest.param("postgres", marks=pytest.mark.postgres)])
def away(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Away]:
    """Each kind of catalog, with the shop in it."""
    if request.param == "postgres":
        kind = postgres(tmp_path, request.getfixturevalue("postgres_url"))
    else:
        kind = {"embedded": embedded, "rest": rest}[request.param](tmp_path)
    found = next(kind)
    found.lake.make_shop()
    yield found
    next(kind, None)


def test_gone_while_planning(away: Away) -> None:
    """No run, no file; the same request is planned when the catalog is back."""
    lake = away.lake
    before = lake.picture()
    away.take()
    with pytest.raises(NbplatError) as caught:
        lake.submit("f", SQL)
    away.bring()
    assert (away.code, True) == (caught.value.code, bool(caught.value.fix))
    assert before == lake.picture()
    assert "awaiting_promotion" == lake.state(lake.stage("f", SQL))


def test_gone_while_staging(away: Away) -> None:
    """Finished files stay done: the next try only makes the staging table."""
    lake = away.lake
    lake.submit("f", SQL)
    main = lake.table().metadata_location

    def last_piece(task: Task) -> list[dict[str, Any]]:
        results = stage(task)
        away.take()
        return results

    lake.stage_by(last_piece)
    error = lake.fail()
    away.bring()
    assert (away.code, "planned", main) == (error["code"], lake.state("f@1"), lake.table().metadata_location)
    assert 6 == lake.backfills.progress(lake.backfills.find("f@1"))["done"]
    lake.platform.parts.clear()
    assert lake.submit("f", SQL).attached
    lake.work()
    assert {1} == {unit.attempts for unit in lake.platform.store.units("f@1/stage")}
    assert 60 == len(lake.staged("f@1"))


def test_gone_while_promoting(away: Away) -> None:
    """Before the move of main: main stays as it is, and promoting again takes the left branch away and publishes."""
    lake = away.lake
    run_id, before = lake.stage("f", SQL), lake.rows()
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")

    class Leaving:
        def __init__(self, publisher: Any) -> None:
            self._publisher = publisher

        def __getattr__(self, name: str) -> Any:
            return getattr(self._publisher, name)

        def publish(self, *args: Any) -> Any:
            away.take()
            return self._publisher.publish(*args)

    lake.platform.parts["publisher"] = Leaving
    error = lake.fail()
    lake.platform.parts.clear()
    away.bring()
    assert (away.code, "awaiting_promotion") == (error["code"], lake.state(run_id))
    assert before.equals(lake.rows())
    lake.promote(run_id)
    rows = lake.rows()
    assert (rows["x"] * 2).equals(rows["f"].rename("x"))
    assert {"main", "nb-pre-f-1"} == set(lake.table().metadata.refs)


def test_gone_with_the_answer_to_the_commit(tmp_path: Path) -> None:
    """Main has moved and nobody said so: promoting again finds the run published, and rolling back undoes it."""
    kind = rest(tmp_path)
    lake = (away := next(kind)).lake
    lake.make_shop()
    run_id, before = lake.stage("f", SQL), lake.rows()
    publish = lake.catalog.commit_table

    def unanswered(table: Any, requirements: Any, updates: Any) -> Any:
        answer = publish(table, requirements, updates)
        if any(getattr(update, "ref_name", "") == "main" for update in updates):
            away.take()
            raise RemoteError("catalog.unreachable", "cut off", fix="again")
        return answer

    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    lake.catalog.commit_table = unanswered  # type: ignore[method-assign]
    error = lake.fail()
    lake.catalog.commit_table = publish  # type: ignore[method-assign]
    away.bring()
    assert ("catalog.unreachable", "awaiting_promotion") == (error["code"], lake.state(run_id))
    assert "f" in lake.rows().columns
    lake.promote(run_id)
    assert lake.backfills.find(run_id).outputs["publication"]["already"]
    lake.roll_back(run_id)
    assert before.equals(lake.rows())
    next(kind, None)


def test_locked(tmp_path: Path) -> None:
    """A catalog that another process keeps locked is told so, and the run goes on after it."""
    lake = Lake(tmp_path / "home")
    lake.make_shop()
    run_id, before = lake.stage("f", SQL), lake.rows()
    file = lake.home / "warehouse" / "catalog.db"
    impatient = SqlCatalog("nbplat", uri=f"sqlite:///{file}?timeout=0.1", warehouse=f"file://{file.parent}")
    lake.platform.__dict__["catalog"] = reachable(impatient, file)
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("begin immediate")
        error = lake.fail()
    assert ("catalog.locked", "awaiting_promotion") == (error["code"], lake.state(run_id))
    assert before.equals(lake.rows())
    lake.promote(run_id)
    lake.close()


@pytest.mark.parametrize("damage", ["gone", "no database"])
def test_a_state_folder_whose_catalog_is_broken(tmp_path: Path, damage: str) -> None:
    """A new process makes no empty catalog beside tables that exist, and names a file that is no database."""
    lake = Lake(tmp_path / "home")
    lake.make_shop()
    lake.close()
    file = lake.home / "warehouse" / "catalog.db"
    for each in file.parent.glob("catalog.db*"):
        shutil.move(each, tmp_path / each.name)
    if damage == "no database":
        file.write_text("no database " * 400)
    broken = Lake(tmp_path / "home")
    with pytest.raises((SetupError, RemoteError)) as caught:
        broken.submit("f", SQL)
    expected = {"gone": "catalog.missing", "no database": "catalog.unreachable"}[damage]
    assert (expected, True) == (caught.value.code, str(file) in caught.value.message)
    assert [] == broken.platform.store.runs()
    file.unlink(missing_ok=True)
    for each in tmp_path.glob("catalog.db*"):
        shutil.move(each, file.parent / each.name)
    broken.close()
    mended = Lake(tmp_path / "home")
    assert "awaiting_promotion" == mended.state(mended.stage("f", SQL))
    mended.close()
