"""An export as a durable job, and the table it makes as a source of a backfill."""

from __future__ import annotations

import pytest

from nbplat.errors import Conflict, RequestError
from nbplat.job import JobState
from nbplat.sequence.exports import Exports
from nbplat.sequence.parse import parse_definition
from nbplat.service.sequence_verbs import Asked, export
from nbplat.ui.desk import LocalDesk
from nbplat.ui.python import Local
from tests.fixtures.lakehouse import Lake, demo

__all__ = ["demo"]

DEFINITION = """
source: retail.events
entity: customer_id
time: event_ts
id: event_id
events: {purchase: {last: 5}}
show: [amount]
features: {stock_code: vocab(min_count=2)}
variants:
  short: {size.length: 2}
"""


def test_an_exported_sequence_is_a_source_of_a_backfill(demo: Lake) -> None:
    """The job writes lists beside the examples' keys; a body in SQL reads them like any other table."""
    platform = demo.platform
    sequences = platform.sequences
    definition = parse_definition(DEFINITION, "recent")
    run, job = Exports(sequences).queue(definition, "retail.train", "retail.train_recent", owner="me")
    again, attached = Exports(sequences).queue(definition, "retail.train", "retail.train_recent", owner="me")
    assert (run.id, job.id) == (again.id, attached.id)
    (done,) = platform.work_here("w")
    assert (JobState.SUCCEEDED, run.id) == (done.state, done.run_id)
    table = platform.catalog.load_table("retail.train_recent")
    rows = table.scan().to_arrow()
    examples = platform.catalog.load_table("retail.train").scan().to_arrow()
    assert examples.num_rows == rows.num_rows
    features = {"stock_code", "event_type"}
    assert {"customer_id", "label_ts", "example_id", "event_ts", "event_type__raw", "amount"} | features == set(
        rows.column_names
    )
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert (run.id, definition.version) == (snapshot.summary["nbplat.run"], snapshot.summary["nbplat.definition"])
    local = Local(LocalDesk(platform))
    sql = """
        SELECT base.example_id, COALESCE(GET(r.amount, 0), 0.0D) AS newest_amount, SIZE(r.amount) AS recent_count
        FROM base LEFT JOIN retail.train_recent r ON base.example_id = r.example_id
    """
    local.backfill("recent", table="retail.train", sql=sql)
    staged = local.training_join(
        "retail.train", label="label", time="label_ts", stage=["recent@1"], epochs=1, features=("basket_value",)
    )
    assert ("newest_amount", "recent_count") == staged.staged_features
    assert {"newest_amount": 0, "recent_count": 0} == staged.nulls
    assert staged.rows_train + staged.rows_test == examples.num_rows


def test_a_variant_is_exported_by_the_verb(demo: Lake) -> None:
    """Keys of the examples come along by themselves; the summary names the variant."""
    platform = demo.platform
    platform.sequences.keep(parse_definition(DEFINITION, "brief"), owner="me")
    asked = Asked("brief", owner="me", on="retail.train", to="retail.train_brief", variant="short")
    queued = export(platform.sequences, asked)
    assert "sequence.export" == queued["job"]["kind"]
    (done,) = platform.work_here("w")
    assert JobState.SUCCEEDED is done.state
    table = platform.catalog.load_table("retail.train_brief")
    rows = table.scan().to_arrow()
    assert "example_id" in rows.column_names
    assert 2 == max(len(each) for each in rows["amount"].to_pylist())
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert "short" == snapshot.summary["nbplat.variant"]


def test_an_export_that_cannot_be_is_not_queued(demo: Lake) -> None:
    """A table that is none of ours, and a request without examples, before anything is kept."""
    platform = demo.platform
    definition = parse_definition(DEFINITION, "never")
    with pytest.raises(Conflict, match=r"export\.exists.*retail\.events"):
        Exports(platform.sequences).queue(definition, "retail.train", "retail.events", owner="me")
    with pytest.raises(RequestError, match=r"sequence\.export.*--on"):
        export(platform.sequences, Asked("never", owner="me", to="a.b"))
    assert not platform.store.runs("sequence", name="never")
