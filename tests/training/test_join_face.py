"""The join from Python: arguments, refusals, replay of a kept plan."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from nbplat.errors import RequestError
from nbplat.training.join.open import OpenJoin
from nbplat.ui.desk import LocalDesk
from nbplat.ui.python import Local
from tests.fixtures.lakehouse import Lake


@pytest.fixture
def local(joins: Lake) -> Local:
    return Local(LocalDesk(joins.platform))


def test_a_join_is_planned_explained_and_read(local: Local) -> None:
    """Runs by name, tables with columns, dates and stage options; explain and coverage read no data."""
    join = local.training_join(
        "j.base",
        stage=["twice", {"ref": "j.thin:score", "fill": {"score": 0.0}, "present": ["score"]}],
        dates=("2026-11-01", "2026-11-03"),
        columns=["id"],
    )
    assert isinstance(join, OpenJoin)
    assert "attached by position" in join.explain()
    assert 160 == sum(cover.rows for cover in join.coverage() if cover.ref == "twice@1")
    table = pa.Table.from_batches(join.batches(50))
    assert ["id", "twice", "score", "score__present"] == table.column_names
    assert 160 == table.num_rows


def test_a_kept_plan_is_replayed(local: Local) -> None:
    """The JSON that was logged with a model reads the same rows again."""
    first = local.training_join("j.base", stage=["twice"])
    kept = json.loads(json.dumps(first.plan.record()))
    again = local.training_join("j.base", plan=kept)
    options: dict[str, Any] = {"shuffle": "window", "seed": 1}
    assert pa.Table.from_batches(first.batches(9, **options)).equals(pa.Table.from_batches(again.batches(9, **options)))
    with pytest.raises(RequestError, match=r"says all else itself"):
        local.training_join("j.base", plan=kept, on="id")
    with pytest.raises(RequestError, match=r"says all else itself"):
        local.training_join("j.base", plan=kept, dates=("2026-11-01", None))


def test_one_name_may_stand_alone(local: Local) -> None:
    """A text is one stage, key or column, never its letters."""
    several = local.training_join("j.base", stage=["j.score:score"], on=["id"], columns=["user"])
    alone = local.training_join("j.base", stage="j.score:score", on="id", columns="user")
    named = local.training_join("j.base", stage={"ref": "j.score:score"}, on=("id",), columns=("user",))
    assert {several.plan.plan_id} == {alone.plan.plan_id, named.plan.plan_id}


def test_what_a_cell_shows_of_a_join_says_what_it_is(local: Local) -> None:
    """Rows, sides and what to ask next; and of a pass how far it is and how many rows met."""
    join = local.training_join("j.base", stage=["twice", "j.thin:score"], on="id")
    shown = repr(join)
    assert "240 rows in" in shown
    assert "twice@1 → twice" in shown
    assert "j.thin → score" in shown
    batches = join.batches(50)
    assert 240 == sum(batch.num_rows for batch in batches)
    assert "240 rows in 5 batches" in repr(batches.counts)
    assert ["twice@1: 240 of 240 rows met (100.0%)", "j.thin: 216 of 240 rows met (90.0%)"] == list(
        map(repr, batches.seen)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strct": True}, r"no option 'strct'"),
        ({"stage": [{"fill": {}}]}, r"needs a ref"),
        ({"stage": [{"ref": "j.score", "filling": {}}]}, r"no 'filling'.*fill"),
        ({"dates": ("yesterday", None)}, r"window\.date"),
        ({"dates": "2026-11-01"}, r"window\.date.*two dates"),
        ({"dates": ("2026-11-01",)}, r"window\.date.*two dates"),
    ],
)
def test_options_that_are_not_known_are_refused(local: Local, options: dict[str, Any], message: str) -> None:
    """A wrong name is answered with the nearest one."""
    with pytest.raises(RequestError, match=message):
        local.training_join("j.base", **options)


def test_an_unknown_format_or_rank_is_refused(local: Local) -> None:
    """Before anything is read."""
    join = local.training_join("j.base", stage=["twice"])
    for options in (
        {"format": "list"},
        {"rank": 2, "world": 2},
        {"shuffle": "all"},
        {"equal": "cut"},
        {"window": 0},
        {"pin": True},
    ):
        with pytest.raises(RequestError, match=r"training\.option"):
            join.batches(8, **options)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"batch_rows=0"):
        join.batches(0)
