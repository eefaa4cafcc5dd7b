"""Training on real tables: the demo lakehouse, staged Parquet files, scikit-learn."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB

from nbplat.adapters.iceberg.catalog import load_table, open_catalog
from nbplat.adapters.iceberg.join_source import IcebergJoinSource
from nbplat.adapters.sklearn import SklearnKit
from nbplat.config import load_config
from nbplat.demo import EVENTS, TRAIN, load_demo
from nbplat.errors import DataError, RequestError
from nbplat.remote.training.join import join
from nbplat.terms import Progress, StagedColumns, StagedFile, canonical_json
from nbplat.training.evaluate import bootstrap_aucs
from nbplat.training.explain import explain_plan, explain_result
from nbplat.training.join import JoinSpec, Stage, plan_join
from nbplat.training.join.open import OpenJoin
from nbplat.training.join.tasks import TaskMaker
from nbplat.training.plan import TrainingPlan, plan_training
from nbplat.training.result import TrainingResult
from nbplat.training.run import run_training
from nbplat.training.spec import TrainingSpec

QUARTER_US = 90 * 86_400_000_000
JOIN = JoinSpec(TRAIN, stage=(Stage("orders_90d@1"),))
SPEC = TrainingSpec("repeat_buyer", JOIN)


@dataclass
class Lake:
    catalog: SqlCatalog
    source: IcebergJoinSource
    folder: Path
    run: StagedColumns

    def staged_columns(self, run_id: str) -> StagedColumns:
        assert self.run.run_id == run_id
        return self.run

    def plan(self, spec: TrainingSpec = SPEC) -> TrainingPlan:
        return plan_training(spec, self.source, self)

    def open(self, plan: TrainingPlan) -> OpenJoin:
        return OpenJoin(plan.join, self.source, tensors=dict, trees=list)

    def train(self, plan: TrainingPlan, kit: SklearnKit | None = None, **options: Any) -> TrainingResult:
        return run_training(plan, self.open(plan), kit or SklearnKit(), **options)


def _orders_by_customer(catalog: SqlCatalog) -> dict[int, np.ndarray[Any, Any]]:
    events = load_table(catalog, EVENTS).scan(row_filter="event_type = 'purchase'").to_arrow()
    first: dict[tuple[int, str], int] = {}
    times = events["event_ts"].cast(pa.int64()).to_pylist()
    for *key, at in zip(events["customer_id"].to_pylist(), events["invoice_no"].to_pylist(), times, strict=True):
        first[key[0], key[1]] = min(at, first.get((key[0], key[1]), at))
    found: dict[int, list[int]] = {}
    for (customer, _), at in first.items():
        found.setdefault(customer, []).append(at)
    return {customer: np.sort(ats) for customer, ats in found.items()}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("lake")
    catalog = open_catalog(load_config({"home": str(folder)}, environ={}, cwd=folder, user_file=folder / "none"))
    assert isinstance(catalog, SqlCatalog)
    load_demo(catalog)
    orders = _orders_by_customer(catalog)
    source = IcebergJoinSource(catalog)
    columns = ("example_id", "customer_id", "label_ts")
    bare = plan_join(JoinSpec(TRAIN, columns=columns, max_unit_bytes=1), source, None)  # type: ignore[arg-type]
    maker = TaskMaker(bare, source)
    files = []
    for number, unit in enumerate(bare.units):
        [file] = unit.files
        rows = join(maker.task(unit)).table
        times = rows["label_ts"].cast(pa.int64()).to_pylist()
        counts = [
            int(np.searchsorted(orders[c], at) - np.searchsorted(orders[c], at - QUARTER_US)) or None
            for c, at in zip(rows["customer_id"].to_pylist(), times, strict=True)
        ]
        path = folder / f"staged-{number}.parquet"
        staged = {
            "example_id": rows["example_id"],
            "nb_file": pa.array([file.path] * len(rows)),
            "nb_pos": pa.array(range(len(rows)), pa.int64()),
            "orders_90d": pa.array(counts, pa.int64()),
        }
        pq.write_table(pa.table(staged), path)
        files.append(StagedFile(file.path, path.as_uri(), len(rows), path.stat().st_size, True, "d"))
    run = StagedColumns("orders_90d@1", bare.base, (("orders_90d", "long"),), tuple(files), promoted=False)
    yield Lake(catalog, source, folder, run)
    catalog.engine.dispose()


def test_the_staged_column_shows_its_gain_before_promotion(lake: Lake) -> None:
    """Without history the AUC is near a coin's, with the staged order count it is near 0.7, and the gain is sure."""
    shown: list[Progress] = []
    result = lake.train(lake.plan(), SklearnKit(), progress=shown.append)
    assert 0.45 < result.auc_without.value < 0.57
    assert result.auc_with is not None
    assert 0.66 < result.auc_with.value < 0.74
    assert result.gain is not None
    assert result.gain.low > 0.08
    assert (1_360, 583) == (result.rows_train, result.rows_test)
    assert {"orders_90d": 730} == result.nulls
    assert Progress(1_943 * 21, 1_943 * 21, "rows") == replace(shown[-1], what="")
    assert re.fullmatch(r"[\d,]+ rows/s, waits \d+ %", shown[-1].what)
    assert [p.done for p in shown] == sorted(p.done for p in shown)
    assert result.auc_with.value == json.loads(canonical_json(result.record()))["auc_with"]["value"]


def test_the_reported_auc_is_that_of_the_returned_models(lake: Lake) -> None:
    """Scoring the later examples with the returned model gives the reported AUC."""
    plan = lake.plan()
    result = lake.train(plan, SklearnKit())
    rows = pa.Table.from_batches(lake.open(plan).batches(64))
    times = np.asarray(rows["label_ts"].cast(pa.int64()))
    test = times >= np.sort(times)[int(0.7 * len(times))]
    plain = np.column_stack([np.asarray(rows[name], dtype=float) for name in plan.features])
    orders = np.asarray(rows["orders_90d"].to_pandas(), dtype=float)
    columns = np.column_stack([plain, np.nan_to_num(orders), ~np.isnan(orders)])[test]
    scores = result.models["with"].decision_function(columns)
    assert result.auc_with is not None
    assert pytest.approx(result.auc_with.value) == roc_auc_score(np.asarray(rows["label"])[test], scores)
    scores = result.models["without"].decision_function(plain[test])
    assert pytest.approx(result.auc_without.value) == roc_auc_score(np.asarray(rows["label"])[test], scores)


def test_the_same_plan_gives_the_same_figures_from_memory_and_from_files(lake: Lake) -> None:
    """Keeping the batches or reading them in every epoch changes nothing but the time."""
    plan = lake.plan(replace(SPEC, epochs=2))
    kept = lake.train(plan, SklearnKit())
    read = lake.train(plan, SklearnKit(), keep_bytes=0)
    assert (True, False) == (kept.kept_in_memory, read.kept_in_memory)
    assert (kept.auc_without, kept.auc_with, kept.gain) == (read.auc_without, read.auc_with, read.gain)
    assert 4 * kept.batches == read.batches


def test_without_a_staged_run_only_one_model_is_trained(lake: Lake) -> None:
    """Nothing joined, nothing compared."""
    result = lake.train(lake.plan(replace(SPEC, join=JoinSpec(TRAIN), epochs=1)), SklearnKit())
    assert (None, None, ["without"]) == (result.auc_with, result.gain, list(result.models))
    assert "no staged run was joined" in explain_result(result)[0]


def test_a_users_own_model_is_copied_and_trained(lake: Lake) -> None:
    """Any object with partial_fit and predict_proba learns, and the user's own stays untouched."""
    own = GaussianNB()
    result = lake.train(lake.plan(replace(SPEC, epochs=1)), SklearnKit(own))
    assert isinstance(result.models["with"], GaussianNB)
    assert not hasattr(own, "classes_")
    assert result.gain is not None
    assert result.gain.value > 0
    assert "GaussianNB" in result.preprocessing[1]


def test_a_model_without_partial_fit_is_refused() -> None:
    """A classifier that needs all rows at once is refused by its class."""
    with pytest.raises(RequestError, match="RandomForest"):
        SklearnKit(type("RandomForest", (), {"predict_proba": None})())


def test_texts_name_what_was_done(lake: Lake) -> None:
    """The plan shows pins, defaults and coverage; the result both AUCs, the cut and the preprocessing."""
    plan = lake.plan(replace(SPEC, epochs=1))
    text = "\n".join(explain_plan(plan))
    for part in (str(plan.join.base.snapshot_id), "48 units attached by position", "(100.0%)", "oldest 70%", "_id"):
        assert part in text
    text = "\n".join(explain_result(lake.train(plan, SklearnKit())))
    for part in ("AUC without", "with orders_90d", "gain +", "before 2011-08-21T", "log(1+|x|)", "null in 730 rows"):
        assert part in text


@pytest.mark.parametrize(
    ("column", "values", "code"),
    [
        ("label", [0, 1, 2, 1], r"training\.label.*2\.0"),
        ("label", [0, 1, None, 1], r"training\.label.*None"),
        ("label", [1, 1, 1, 1], r"training\.one_label"),
        ("label_ts", [1, None, 3, 4], r"training\.time_null"),
        ("value", [1.0, 2.0, float("inf"), 3.0], r"training\.infinite.*value"),
    ],
)
def test_bad_data_is_refused_by_column(lake: Lake, column: str, values: list[Any], code: str) -> None:
    """Labels that are not 0 or 1, one-sided splits, null times and infinite features stop the run."""
    name = "retail.bad"
    rows = {"label": [0, 1, 0, 1], "label_ts": [1, 2, 3, 4], "value": [0.5, 1.0, 1.5, 2.0]} | {column: values}
    types = {"label": pa.int32(), "label_ts": pa.int64(), "value": pa.float64()}
    data = pa.table({key: pa.array(v, types[key]) for key, v in rows.items()})
    table = lake.catalog.create_table(name, data.schema)
    table.append(data)
    plan = plan_training(TrainingSpec("bad", JoinSpec(name), split=0.5), lake.source, lake)
    with pytest.raises(DataError, match=code):
        lake.train(plan, SklearnKit())
    lake.catalog.drop_table(name)


def test_the_bootstrap_equals_sklearn_on_the_drawn_rows() -> None:
    """Our resampled AUCs are those of roc_auc_score with the same draws as weights, ties included."""
    from nbplat.training import evaluate

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 50)
    scores = np.round(rng.normal(labels, 1.5), 1)
    ours = bootstrap_aucs(labels, [scores], seed=3)[0]
    counts = np.concatenate(list(evaluate._resamples(labels, 3)))
    for at in (0, 10, 999):
        assert pytest.approx(ours[at]) == roc_auc_score(labels, scores, sample_weight=counts[at])
