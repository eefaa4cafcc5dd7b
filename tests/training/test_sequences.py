"""Sequences beside scalar features: padded columns as of each row's own time, and what they are worth to a model."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nbplat.errors import Conflict, NbplatError, RequestError
from nbplat.sequence.examples import read_examples
from nbplat.sequence.frame_source import FrameSource
from nbplat.sequence.opened import Opened
from nbplat.sequence.parse import parse_definition
from nbplat.training.explain import explain_plan, explain_result
from nbplat.training.join import JoinSpec
from nbplat.training.join.open import OpenJoin
from nbplat.training.plan import plan_training
from nbplat.training.spec import TrainingSpec
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


def _join(local: Local, *refs: str, form: str = "padded", **options: Any) -> OpenJoin:
    found = local.training_join("retail.train", sequences=list(refs), sequence_form=form, **options)
    assert isinstance(found, OpenJoin)
    return found


def _own(local: Local, ref: str, examples: pa.Table, **options: Any) -> dict[str, Any]:
    """The batch that the sequence area itself makes of these examples."""
    sequences = local.platform.sequences
    bound = sequences.bind(sequences.definition(sequences.find(ref.partition(".")[0])))
    source = FrameSource("examples", examples, local.platform.config.home / "frames")
    read = read_examples(source, bound.definition)
    reading = Opened(sequences, bound, sequences.open(bound), moved=False).reading
    with reading.batches(read, rows=len(read), **options) as batches:
        [batch] = list(batches)
    return dict(batch) if isinstance(batch, dict) else {name: batch[name] for name in batch.schema.names}


def test_every_row_gets_the_tokens_before_its_own_time(local: Local) -> None:
    """Rows out are rows in; each cell is the token that plain Python finds, null where the sequence is shorter."""
    got = pa.Table.from_batches(_join(local, "home").batches(500)).to_pylist()
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
        assert [True] * len(kept) + [False] * (4 - len(kept)) == row["home__mask"]
        assert [pytest.approx(e["amount"], rel=1e-6) for e in kept] + [0] * (4 - len(kept)) == row["home__amount"]
        types = [{"cancel": 2, "purchase": 3}[e["event_type"]] for e in kept] + [0] * (4 - len(kept))
        assert types == row["home__event_type"]


@pytest.mark.parametrize("options", [{}, {"shuffle": "window", "seed": 3}, {"rank": 1, "world": 2}])
def test_batches_equal_those_of_the_sequence_area(local: Local, options: dict[str, Any]) -> None:
    """Beside scalar columns, in any order, dealt to ranks: the arrays that the sequence area gives for these rows."""
    for batch in _join(local, "home").batches(700, format="numpy", **options):
        at = pa.array(batch["label_ts"].astype("M8[us]").astype(np.int64)).view(pa.timestamp("us", tz="UTC"))
        examples = pa.table([pa.array(batch["customer_id"]), at], names=["customer_id", "label_ts"])
        expected = _own(local, "home", examples, pad_to="length")
        for name in ("amount", "event_ts", "event_type", "mask", "length"):
            assert np.array_equal(expected[name], batch[f"home__{name}"]), name
        assert ((len(at), 4), (len(at),)) == (batch["home__mask"].shape, batch["home__length"].shape)


def test_lists_hold_the_tokens_that_there_are(local: Local) -> None:
    """As Arrow lists of their own lengths: the sequence area's lists, without padding and mask."""
    table = pa.Table.from_batches(_join(local, "home", form="lists").batches(700))
    assert ["home__amount", "home__event_ts", "home__event_type"] == [n for n in table.column_names if "__" in n]
    expected = _own(local, "home", table.select(["customer_id", "label_ts"]).combine_chunks(), format="arrow")
    assert expected["amount"].to_pylist() == table["home__amount"].to_pylist()


def test_a_token_resumes_among_sequences(local: Local) -> None:
    """Stopped after a batch, the rest is the same, sequences included; a kept plan gives the same from its record."""
    join = _join(local, "home")
    whole = list(join.batches(400, shuffle="bucket", seed=1))
    first = join.batches(400, shuffle="bucket", seed=1)
    next(iter(first))
    again = local.training_join("retail.train", plan=json.loads(json.dumps(join.plan.record())))
    assert whole[1:] == list(again.batches(400, resume=first.state()))


def test_a_sequence_that_has_moved_is_refused_when_its_plan_is_read(local: Local) -> None:
    """Without an index its source is pinned by the plan: other rows are a conflict, not other figures."""
    record = _join(local, "home").plan.record()
    record["sequences"][0]["facts"]["source"]["identity"] = "other"
    with pytest.raises(Conflict, match=r"training\.sequence_moved.*%sequence build home"):
        list(local.training_join("retail.train", plan=record).batches(100))
    record["sequences"][0]["version"] = "0" * 64
    with pytest.raises(Conflict, match=r"training\.sequence_moved.*version"):
        list(local.training_join("retail.train", plan=record).batches(100))


def test_a_variant_per_type_has_columns_for_each_type(local: Local) -> None:
    """The names say variant, type, feature and place."""
    got = _join(local, "home.apart").plan.columns
    assert {"home_apart__purchase__amount", "home_apart__cancel__length", "home_apart__cancel__mask"} <= set(got)


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
    join = _join(local, "home")
    assert "sequence home → 5 columns, 4 tokens of 3 features, padded" in join.explain()
    assert join.plan.plan_id != local.training_join("retail.train").plan.plan_id
    platform = local.platform
    bare = plan_training(
        TrainingSpec("t", JoinSpec("retail.train")), platform.join_source, platform.backfills, platform.sequence_columns
    )
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
        changed = DEFINITION.partition("variants")[0].replace("length: 4", "length: 9000")
        local.platform.sequences.keep(parse_definition(changed, "wide"), owner="me")
    with pytest.raises(NbplatError, match=message):
        _join(local, ref)


def test_sequences_that_clash_or_are_named_twice_are_refused(local: Local) -> None:
    """A name comes from one place only; a form is one of two."""
    with pytest.raises(RequestError, match=r"training\.twice.*'home'"):
        _join(local, "home", "home")
    with pytest.raises(RequestError, match=r"sequence_form.*padded or lists"):
        _join(local, "home", form="ragged")
    clash = "retail.train:mean_price rename=mean_price:home__amount across_dates"
    with pytest.raises(RequestError, match=r"training\.clash.*home__amount"):
        _join(local, "home", stage=[clash], on="example_id")
