"""The retail story as runs: trained before promotion, kept with provenance, replayed, held, released."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from nbplat.errors import Conflict, DataError, NbplatError, RequestError
from nbplat.training.result import TrainingResult
from nbplat.ui.cli import main
from nbplat.ui.desk import LocalDesk
from nbplat.ui.handlers.training_result import training_result
from nbplat.ui.python import Local
from nbplat.ui.spoken import in_shell
from tests.fixtures.lakehouse import Lake, demo

__all__ = ["demo"]

TRAIN = "retail.train"
SPEND = """SELECT base.example_id, coalesce(sum(e.amount), 0) AS spend_90d
FROM base LEFT JOIN retail.events e
  ON e.customer_id = base.customer_id AND e.event_type = 'purchase'
  AND e.event_ts < base.label_ts AND e.event_ts >= base.label_ts - INTERVAL 90 DAYS
GROUP BY base.example_id"""
MODEL = "from sklearn.linear_model import SGDClassifier\nmodel = SGDClassifier(loss='log_loss', random_state=7)\n"
TARGET: dict[str, Any] = {"label": "label", "time": "label_ts"}


@pytest.fixture(scope="module")
def staged(demo: Lake) -> str:
    """`spend_90d@1`, staged and not promoted."""
    return demo.stage("spend_90d", SPEND, TRAIN, keys=("example_id",), as_of="label_ts")


@pytest.fixture(scope="module")
def local(demo: Lake) -> Local:
    return Local(LocalDesk(demo.platform))


@pytest.fixture(scope="module")
def first(local: Local, staged: str) -> TrainingResult:
    """Trained with the default model on the staged column."""
    result = local.training_join(TRAIN, stage=["spend_90d"], name="buys_again", **TARGET)
    assert isinstance(result, TrainingResult)
    return result


def _cli(demo: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    monkeypatch.setenv("NBPLAT_HOME", str(demo.home))
    monkeypatch.setenv("NBPLAT_LIMITS_THREADS", "1")
    assert 0 == main(["training", *words])
    return capsys.readouterr().out


def _tags(demo: Lake, table: str) -> list[str]:
    return [ref for ref in demo.table(table).metadata.refs if ref.startswith("nb-join-")]


def _staging(demo: Lake, run: str) -> str:
    return str(demo.backfills.find(run).outputs["staging_table"])


def test_the_staged_column_lifts_the_auc_before_it_is_promoted(first: TrainingResult) -> None:
    """0.523 without, 0.661 with, and the paired interval of the gain lies above 0."""
    assert first.auc_with is not None
    assert first.gain is not None
    assert ("0.523", "0.661") == (f"{first.auc_without.value:.3f}", f"{first.auc_with.value:.3f}")
    assert 0 < first.gain.low < first.gain.value < first.gain.high


def test_the_run_keeps_what_it_was_made_of(demo: Lake, first: TrainingResult) -> None:
    """Plan, snapshots of base and staging table, runs, code, seed, environment: all in the record, which reads back."""
    run = demo.platform.store.run("training", first.run)
    told = run.outputs["provenance"]
    assert ["spend_90d@1"] == told["runs"]
    assert {TRAIN, _staging(demo, "spend_90d@1")} == set(told["snapshots"])
    assert demo.table(TRAIN).current_snapshot().snapshot_id == told["snapshots"][TRAIN]
    assert ("", 7, 64) == (told["source"], told["seed"], len(told["code_hash"]))
    assert {"python", "packages", "runs_in"} == set(told["environment"])
    assert first.plan_id == told["plan_id"] == run.identity
    again = TrainingResult.from_record({**json.loads(json.dumps(run.outputs)), "run": run.id})
    assert again == first


def test_the_result_says_who_waited_and_draws_both_models(first: TrainingResult) -> None:
    """One greppable line for each figure; in HTML a picture without a script, in the page's own colours."""
    shown = training_result(first)
    first_line, *rest = shown.text.splitlines()
    assert first_line.startswith("AUC without 0.523 [")
    assert any(line.startswith("wait share ") and "models waited" in line for line in rest)
    assert any(line.startswith("coverage of spend_90d@1: 1,943 of 1,943 rows (100.0%)") for line in rest)
    assert any("rows/s" in line for line in rest)
    assert any("%training replay buys_again@1" in line for line in rest)
    html = shown.html or ""
    assert 2 == html.count("<polyline")
    assert "currentColor" in html
    assert "<script" not in html
    assert 0 <= first.wait_share <= 1


def test_a_kept_run_is_listed_and_shown(
    demo: Lake, first: TrainingResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its number or its name alone, as it was shown when it was trained."""
    listed = _cli(demo, monkeypatch, capsys, "list")
    assert "buys_again@1" in listed
    assert "0.661" in listed
    assert in_shell(training_result(first).text) == _cli(demo, monkeypatch, capsys, "show", "buys_again").rstrip("\n")
    monkeypatch.setenv("NBPLAT_HOME", str(demo.home))
    assert 2 == main(["training", "show", "buy_again"])
    assert "did you mean buys_again" in capsys.readouterr().err


def test_snapshots_are_held_and_an_expiry_leaves_what_they_need(demo: Lake, first: TrainingResult) -> None:
    """Base and staging table carry a tag; the staged files stay whatever the age, and naming the run says why."""
    staging = _staging(demo, "spend_90d@1")
    assert 1 == len(_tags(demo, TRAIN)) == len(_tags(demo, staging))
    swept = demo.platform.expirer.expire(older_than_ms=0, dry_run=True)
    assert "%training release" in swept.kept["spend_90d@1"]
    assert not [each for each in swept.leftovers if each.run == "spend_90d@1"]
    before = demo.picture()
    with pytest.raises(Conflict, match=r"expire\.held.*nb-join-.*%training release"):
        demo.platform.expirer.expire(["spend_90d@1"], older_than_ms=0, dry_run=False)
    assert before == demo.picture()


def test_a_replay_gives_the_same_figures(
    demo: Lake, first: TrainingResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the kept plan, with nothing but its name; and from a cell's text the same."""
    assert "replay of buys_again@1: the same figures" in _cli(demo, monkeypatch, capsys, "replay", "buys_again@1")
    own = Local(LocalDesk(demo.platform)).training_join(TRAIN, stage=["spend_90d"], name="own", model=MODEL, **TARGET)
    assert "replay of own@1: the same figures" in _cli(demo, monkeypatch, capsys, "replay", "own")
    assert own.run == "own@1"


def test_a_model_that_was_an_object_is_not_replayed(
    demo: Lake, first: TrainingResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its record cannot make it again, and says so with the way out."""
    from sklearn.naive_bayes import GaussianNB

    options = {"name": "object", "model": GaussianNB(), "epochs": 1, "hold": False}
    Local(LocalDesk(demo.platform)).training_join(TRAIN, **options, **TARGET)
    monkeypatch.setenv("NBPLAT_HOME", str(demo.home))
    assert 2 == main(["training", "replay", "object"])
    assert "training.no_replay" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "kind", "code"),
    [
        ({"stage": ["spent_90d"]}, NbplatError, r"run\.unknown"),
        ({"stage": ["spend_90d prefix"]}, RequestError, r"write prefix="),
        ({"stage": ["spend_90d prefx=a"]}, RequestError, r"did you mean prefix"),
        ({"stage": ["spend_90d replace=yes"]}, RequestError, r"write replace"),
        ({"stage": ["spend_90d fill=a"]}, RequestError, r"fill=COLUMN:VALUE"),
        ({"stage": ["spend_90d fill=spend_90d:none"]}, RequestError, r"training\.fill"),
        ({"stag": ["spend_90d"]}, RequestError, r"did you mean stage"),
        ({"min_coverage": 2}, RequestError, r"min_coverage=2"),
        ({"world": 0}, RequestError, r"--world 0"),
        ({"shuffle": "rows"}, RequestError, r"shuffle='rows'"),
        ({"features": ["spend_90d"], "stage": ["spend_90d"]}, NbplatError, r"training\.column|training\.clash"),
        ({"dates": ("2031-01-01", None)}, DataError, r"training\.empty"),
        ({"model": "x = 1"}, RequestError, r"binds no model"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_changed(
    demo: Lake, local: Local, first: TrainingResult, options: dict[str, Any], kind: type[NbplatError], code: str
) -> None:
    """Each with its code and a mend; no run is kept, no snapshot tagged."""
    before = demo.picture()
    with pytest.raises(kind, match=code) as caught:
        local.training_join(TRAIN, **TARGET, **options)
    assert caught.value.fix
    assert before == demo.picture()


def test_a_model_that_fails_leaves_no_tag(demo: Lake, local: Local, first: TrainingResult) -> None:
    """What was held for it is let go; what another run holds stays."""
    bad = "class Bad:\n    def partial_fit(self, X, y): raise ValueError('no')\n    def predict_proba(self, X): ...\n"
    tags = _tags(demo, TRAIN)
    for stage in ([], ["spend_90d"]):
        with pytest.raises(ValueError, match="no"):
            local.training_join(TRAIN, stage=stage, model=bad + "model = Bad()", **TARGET)
    assert tags == _tags(demo, TRAIN)


def test_ranks_in_step_see_every_row_and_the_plan_says_how_many(local: Local, first: TrainingResult) -> None:
    """Dealt to ranks and shuffled, the model still learns; the same again gives the same figures."""
    options: dict[str, Any] = {"world": 3, "shuffle": "window", "seed": 5, "epochs": 2, "hold": False}
    one, two = (local.training_join(TRAIN, stage=["spend_90d"], **options, **TARGET) for _ in range(2))
    assert 1_943 == one.rows_train + one.rows_test
    assert (one.auc_with, one.gain) == (two.auc_with, two.gain)
    assert not one.kept_in_memory


def test_after_promotion_the_same_request_gives_the_same_batches_and_figures(
    demo: Lake,
    local: Local,
    first: TrainingResult,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It reads the base column then; the replay reads the old snapshot still; released, the staged files may go."""
    request: dict[str, Any] = {"stage": ["spend_90d"], "columns": ["example_id", "label"]}
    options: dict[str, Any] = {"batch_rows": 100, "shuffle": "window", "seed": 3}
    staged = list(local.training_join(TRAIN, **request).batches(**options))
    demo.promote("spend_90d@1")
    join = local.training_join(TRAIN, **request)
    assert {"base"} == {side.how for unit in join.plan.units for side in unit.sides}
    assert staged == list(join.batches(**options))
    again = local.training_join(TRAIN, stage=["spend_90d"], name="buys_again", **TARGET)
    assert (first.auc_without, first.auc_with) == (again.auc_without, again.auc_with)
    assert "the same figures" in _cli(demo, monkeypatch, capsys, "replay", "buys_again@1")

    assert "would release" in _cli(demo, monkeypatch, capsys, "release", "--older-than", "0s", "--dry-run")
    said = _cli(demo, monkeypatch, capsys, "release", "own@1", "buys_again@2", "buys_again@1")
    assert "the snapshots of own@1 stay: another run reads by the same plan" in said
    assert [] == _tags(demo, TRAIN) == _tags(demo, _staging(demo, "spend_90d@1"))
    swept = demo.platform.expirer.expire(["spend_90d@1"], older_than_ms=0, dry_run=False)
    assert {"staging table", "staged file"} <= {each.kind for each in swept.leftovers}
    kept = demo.platform.store.run("training", "buys_again@1").plan["join"]
    with pytest.raises(Conflict, match=r"training\.file_gone"):
        pa.Table.from_batches(local.training_join(TRAIN, plan=kept).batches())
