"""Sequences beside scalar features: padded columns as of each row's own time, and what they are worth to a model."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from nbplat.errors import NbplatError
from nbplat.sequence.parse import parse_definition
from nbplat.training import TrainingSpec, explain_plan, explain_result, iter_batches, open_sequences, plan_training
from nbplat.ui.desk import LocalDesk
from nbplat.ui.python import Local
from tests.fixtures.lakehouse import Lake, demo

__all__ = ["demo"]

DEFINITION = """
source: retail.events
entity: customer_id
time: event_ts
id: event_id
events:
  purchase: {last: 3}
  cancel: {last: 2}
size: {length: 4}
features: {amount: float32, event_ts: age_log, event_type: vocab}
variants:
  apart: {layout: per_type}
"""


@pytest.fixture(scope="module")
def local(demo: Lake) -> Local:
    demo.platform.sequences.keep(parse_definition(DEFINITION, "home"), owner="me")
    return Local(LocalDesk(demo.platform))


def _batches(local: Local, ref: str, **options: Any) -> pa.Table:
    platform = local.platform
    spec = TrainingSpec("t", "retail.train", sequences=(ref,), **options)
    source, kept = platform.training_source, platform.sequence_columns
    plan = plan_training(spec, source, platform.backfills, kept)
    opened = open_sequences(plan, source, kept)
    assert opened is not None
    columns = ["example_id", "customer_id", "label_ts", *plan.sequence_features]
    found = pa.Table.from_batches(iter_batches(plan, source, columns, sequences=opened))
    opened.close()
    return found


def test_every_row_gets_the_tokens_before_its_own_time(local: Local) -> None:
    """Rows out are rows in; each cell is the token that plain Python finds, null where the sequence is shorter."""
    got = _batches(local, "home").to_pylist()
    events = local.platform.catalog.load_table("retail.events").scan().to_arrow().to_pylist()
    by_customer: dict[int, list[dict[str, Any]]] = {}
    for event in events:
        if event["customer_id"] is not None:
            by_customer.setdefault(event["customer_id"], []).append(event)
    examples = local.platform.catalog.load_table("retail.train").scan().to_arrow()
    assert sorted(examples["example_id"].to_pylist()) == sorted(row["example_id"] for row in got)
    for row in got[::7]:
        mine = [e for e in by_customer.get(row["customer_id"], []) if e["event_ts"] < row["label_ts"]]
        mine.sort(key=lambda e: (e["event_ts"], e["event_type"], e["event_id"]))
        kept = [e for kind, last in (("purchase", 3), ("cancel", 2)) for e in mine if e["event_type"] == kind][:0]
        for kind, last in (("purchase", 3), ("cancel", 2)):
            kept += [e for e in mine if e["event_type"] == kind][-last:]
        kept.sort(key=lambda e: (e["event_ts"], e["event_type"], e["event_id"]))
        kept = kept[-4:][::-1]
        assert len(kept) == row["home__length"]
        expected = [pytest.approx(e["amount"], rel=1e-6) for e in kept] + [None] * (4 - len(kept))
        assert expected == [row[f"home__amount_{place}"] for place in range(4)]
        types = [{"cancel": 2, "purchase": 3}[e["event_type"]] for e in kept] + [None] * (4 - len(kept))
        assert types == [row[f"home__event_type_{place}"] for place in range(4)]


def test_a_variant_per_type_has_columns_for_each_type(local: Local) -> None:
    """The names say variant, type, feature and place."""
    got = _batches(local, "home.apart")
    assert "home_apart__purchase__amount_2" in got.column_names
    assert "home_apart__cancel__length" in got.column_names
    assert "home_apart__cancel__amount_2" in got.column_names


def test_a_model_is_compared_with_and_without_a_sequence(local: Local) -> None:
    """The AUC with the sequence is computed on the same test rows; the text names it, with its empty rows."""
    options = {"label": "label", "time": "label_ts", "epochs": 3}
    result = local.training_join("retail.train", sequences=["home"], **options)
    assert result.auc_with is not None
    assert 0.5 < result.auc_with.value <= 1
    rows = local.platform.catalog.load_table("retail.train").scan().to_arrow().num_rows
    assert rows == result.rows_train + result.rows_test
    (share,) = result.sequences
    assert ("home", 13) == (share.ref, share.columns)
    assert 0 < share.rows_empty < rows
    lines = explain_result(result)
    assert "with sequence home" in lines[0]
    assert any("13 columns, 4 tokens of 3 features" in line for line in lines)
    assert ("home",) == tuple(each["ref"] for each in result.record()["sequences"])


def test_the_plan_names_the_sequence_and_reads_no_events(local: Local) -> None:
    """Version, columns and shape are part of the plan and of its id; without it the text says how to join one."""
    platform = local.platform
    asked = TrainingSpec("t", "retail.train", sequences=("home",))
    plan = plan_training(asked, platform.training_source, platform.backfills, platform.sequence_columns)
    assert any("sequence home → 13 columns, 4 tokens of 3 features" in line for line in explain_plan(plan))
    bare = plan_training(TrainingSpec("t", "retail.train"), platform.training_source, platform.backfills)
    assert plan.plan_id != bare.plan_id
    assert any("--sequence NAME" in line for line in explain_plan(bare))


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("hom", r"sequence\.unknown.*home"),
        ("home.shirt", r"apart"),
        ("bare", r"training\.sequence_features"),
        ("other", r"training\.sequence_column.*'article'"),
        ("wide", r"training\.sequence_wide.*size\.length"),
    ],
)
def test_a_sequence_that_cannot_be_joined_is_refused(local: Local, ref: str, message: str) -> None:
    """Unknown names, nothing to learn from, a column that the base lacks, more columns than a model takes."""
    if ref == "bare":
        changed = DEFINITION.partition("features")[0] + "layout: per_type\n"
        local.platform.sequences.keep(parse_definition(changed, "bare"), owner="me")
    if ref == "other":
        changed = DEFINITION.replace("entity: customer_id", "entity: invoice_no").replace("label", "label")
        changed = changed.partition("variants")[0] + "as_of: {time: article}\n"
        local.platform.sequences.keep(parse_definition(changed, "other"), owner="me")
    if ref == "wide":
        changed = DEFINITION.partition("variants")[0].replace("length: 4", "length: 2000")
        local.platform.sequences.keep(parse_definition(changed, "wide"), owner="me")
    with pytest.raises(NbplatError, match=message):
        _batches(local, ref)
