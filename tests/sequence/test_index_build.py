"""Building indexes: the same content whatever the source, its order, its pieces and the memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.errors import DataError
from nbplat.job import JobState
from nbplat.sequence import plan as plan_module
from nbplat.sequence.builds import Builds
from nbplat.sequence.memory_index import MemoryIndex
from nbplat.sequence.stored_index import StoredIndex
from tests.fixtures.lakehouse import Lake
from tests.fixtures.sequences import CLICKS, clicks, definition, digests


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets of a few hundred rows."""
    monkeypatch.setattr(plan_module, "_BUCKET_ROWS", 300)


def built(lake: Lake, source: str, text: str = CLICKS, **frames: pa.Table) -> StoredIndex:
    """Build in this process and open what came of it."""
    sequences = lake.platform.sequences_of(frames)
    declared = definition(source, text)
    run, job = Builds(sequences).queue(declared, owner="me")
    assert job is not None
    lake.work()
    found = sequences.find_index(sequences.bind(declared))
    assert found is not None
    assert "built" == sequences.find(run.id).state
    return found


def in_memory(lake: Lake, source: str, text: str = CLICKS, **frames: pa.Table) -> MemoryIndex:
    sequences = lake.platform.sequences_of(frames)
    found = sequences.open(sequences.bind(definition(source, text)))
    assert isinstance(found, MemoryIndex)
    return found


def test_an_index_over_iceberg_is_the_one_in_memory(tight: Lake, roomy: Lake) -> None:
    """Out of core, in many buckets, an index holds what one sorted at once in memory holds."""
    rows = clicks(4_000)
    tight.make("shop.clicks", rows.filter(rows["user_id"].is_valid()))
    stored = built(tight, "shop.clicks")
    assert 16 == stored.buckets
    memory = in_memory(roomy, "rows", rows=rows.filter(rows["user_id"].is_valid()))
    assert 16 == memory.buckets
    assert digests(memory) == digests(stored)
    assert memory.report.steps[1:] == stored.report.steps[1:]
    assert memory.report.by_type == stored.report.by_type


@pytest.mark.parametrize("pieces", [1, 7])
def test_neither_order_nor_pieces_of_the_input_show(tight: Lake, roomy: Lake, tmp_path: Path, pieces: int) -> None:
    """Rows shuffled and split into any number of files make the identical index."""
    rows = clicks(4_000)
    shuffled = rows.take(np.random.default_rng(1).permutation(rows.num_rows))
    for number in range(pieces):
        start, end = (rows.num_rows * at // pieces for at in (number, number + 1))
        pq.write_table(shuffled.slice(start, end - start), tmp_path / f"{number}.parquet", row_group_size=100)
    stored = built(tight, f"{tmp_path}/*.parquet")
    assert digests(in_memory(roomy, "rows", rows=rows)) == digests(stored)


def test_an_index_over_a_frame_is_built_by_another_process(tight: Lake, roomy: Lake) -> None:
    """A DataFrame is stored when the build is queued, so that whoever does it finds the rows."""
    rows = clicks(3_000)
    sequences = tight.platform.sequences_of({"rows": rows})
    Builds(sequences).queue(definition("rows"), owner="me")
    tight.reopen()
    tight.work()
    found = tight.platform.sequences_of({"rows": rows})
    stored = found.find_index(found.bind(definition("rows")))
    assert stored is not None
    assert digests(in_memory(roomy, "rows", rows=rows)) == digests(stored)


def test_a_source_that_fits_is_built_without_spilling(roomy: Lake) -> None:
    """A small source is one unit that reads, sorts and writes; its content is the same."""
    rows = clicks(3_000)
    sequences = roomy.platform.sequences_of({"rows": rows})
    plan = Builds(sequences).plan(sequences.bind(definition("rows")))
    assert plan.direct
    assert 1 == plan.units
    memory = in_memory(roomy, "rows", rows=rows)
    assert digests(memory) == digests(built(roomy, "rows", rows=rows))


def test_rows_that_are_no_events_are_counted(tight: Lake) -> None:
    """Null entities, other types and copies are left out, each in its own step, and nothing is lost on the way."""
    rows = clicks(4_000)
    report = built(tight, "rows", rows=rows).report
    steps = {step.name: step for step in report.steps}
    nameless = rows["user_id"].null_count
    assert 4_000 == steps["read"].rows_in
    assert 4_000 - nameless == steps["entity known"].rows_out
    assert nameless > 0
    declared = rows.filter(rows["user_id"].is_valid()).group_by("event_type").aggregate([([], "count_all")])
    views = dict(zip(*(column.to_pylist() for column in declared.columns), strict=True))["view"]
    assert 4_000 - nameless - views == steps["types"].rows_out
    assert steps["dedupe"].rows_out < steps["dedupe"].rows_in
    assert steps["dedupe"].rows_out == report.rows == sum(report.by_type.values())
    assert any("have no user_id and are left out" in text for text in report.warnings)


def test_a_type_that_never_occurs_is_named_with_the_nearest(tight: Lake) -> None:
    """The index is built, the type is empty, and the warning names what the writer may have meant."""
    index = built(tight, "rows", CLICKS.replace("click:", "clikc:"), rows=clicks(3_000))
    assert 0 == index.report.by_type["clikc"]
    assert ["no event is of type 'clikc'; the nearest that occur: 'click'"] == [
        text for text in index.report.warnings if "clikc" in text
    ]


def test_many_ties_without_an_id_are_said(tight: Lake) -> None:
    """More than one event in a hundred that ties is a warning, unless an id decides."""
    without = CLICKS.replace("id: event_id\n", "")
    rows = clicks(3_000)
    assert any(
        "share entity, type and time" in text for text in built(tight, "rows", without, rows=rows).report.warnings
    )
    assert not any("share entity" in text for text in built(tight, "rows", rows=rows).report.warnings)


def test_equal_rows_are_said_when_nothing_drops_them(tight: Lake) -> None:
    """Rows equal in every declared column stay without dedupe, and the warning names the key that drops them."""
    rows = pa.concat_tables([clicks(2_000), clicks(2_000).slice(0, 50)])
    text = CLICKS.replace("id: event_id\n", "")
    kept = built(tight, "rows", text, rows=rows).report
    assert any("dedupe: exact keeps one of each" in text for text in kept.warnings)
    dropped = built(tight, "rows", text + "dedupe: exact\n", rows=rows).report
    assert kept.rows - dropped.rows == {step.name: step.rows_in - step.rows_out for step in dropped.steps}["dedupe"]
    assert kept.rows > dropped.rows


def with_arrival(rows: pa.Table, seconds: int) -> pa.Table:
    return rows.append_column(
        "ingest_ts", pa.array(rows["event_ts"].cast(pa.int64()).to_numpy() + seconds * 1_000_000).cast("timestamp[us]")
    )


ARRIVAL = CLICKS + "arrival: {arrival}\ntimezone: UTC\n"


def test_an_arrival_before_the_event_is_refused_before_anything_is_published(tight: Lake) -> None:
    """The count and one such event are in the message, and no index is there."""
    sequences = tight.platform.sequences_of({"rows": with_arrival(clicks(3_000), -5)})
    declared = definition("rows", ARRIVAL.replace("{arrival}", "ingest_ts"))
    Builds(sequences).queue(declared, owner="me")
    error = tight.fail()
    assert "sequence.early" == error["code"]
    assert "early: clip" in error["fix"]
    assert sequences.find_index(sequences.bind(declared)) is None
    small = tight.platform.sequences_of({"rows": with_arrival(clicks(300), -5)})
    bound = small.bind(declared)
    with pytest.raises(DataError, match=r"were known before they happened, e\.g\. ingest_ts"):
        small.open(bound)


def test_an_early_arrival_can_be_clipped(tight: Lake, roomy: Lake) -> None:
    """With `early: clip` such an event is known when it happened, and the report counts them."""
    text = ARRIVAL.replace("{arrival}", "{{column: ingest_ts, early: clip}}")
    rows = with_arrival(clicks(3_000), -5)
    index = built(tight, "rows", text, rows=rows)
    events = index.events(0, [])
    assert events.time_us.tolist() == events.seen_us.tolist()
    assert any("were known before they happened" in warning for warning in index.report.warnings)
    assert digests(in_memory(roomy, "rows", text, rows=rows)) == digests(index)


def test_the_present_copy_as_of_any_moment_survives_storing(tight: Lake, roomy: Lake) -> None:
    """With dedupe: last and an arrival every copy is stored with the moment it was replaced."""
    text = ARRIVAL.replace("{arrival}", "ingest_ts") + "dedupe: last\n"
    rows = with_arrival(clicks(3_000), 60)
    index = built(tight, "rows", text, rows=rows)
    assert digests(in_memory(roomy, "rows", text, rows=rows)) == digests(index)
    ends = [index.events(bucket, []).until_us for bucket in range(index.buckets)]
    assert any((until < np.iinfo(np.int64).max).any() for until in ends if until is not None)


def test_a_build_says_where_it_comes_from(tight: Lake) -> None:
    """The snapshot's summary holds run, job, definition, plan and versions, so that a lost ledger can be rebuilt."""
    tight.make("shop.clicks", clicks(3_000).drop_columns(["amount"]))
    declared = definition("shop.clicks", CLICKS.replace(', where: "amount > 5"', ""))
    sequences = tight.platform.sequences
    run, job = Builds(sequences).queue(declared, owner="me")
    assert job is not None
    tight.work()
    stored = sequences.find_index(sequences.bind(declared))
    assert stored is not None
    summary = stored.state.summary
    assert run.id == summary["nbplat.run"]
    assert declared.version == summary["nbplat.definition"]
    assert str(tight.table("shop.clicks").current_snapshot().snapshot_id) == summary["nbplat.source-snapshot-id"]
    assert {"nbplat.job", "nbplat.plan", "nbplat.engine", "nbplat.version.nbplat"} <= set(summary)
    outputs = sequences.find(run.id).outputs
    assert stored.state.pin.snapshot_id == outputs["snapshot_id"]
    assert JobState.SUCCEEDED == tight.platform.store.job(job.id).state


def test_nothing_is_left_of_a_build(tight: Lake) -> None:
    """Spill files are gone, and every data file below the table is one that it names."""
    index = built(tight, "rows", rows=clicks(4_000))
    assert [] == list((tight.home / "spill").rglob("*.arrow*"))
    folder = tight.home / "warehouse" / "nb_sequences"
    named = {file.path.removeprefix("file://") for file in index.tables.files(index.state.pin)}
    assert named == {str(path) for path in folder.rglob("*.parquet") if "/data/" in str(path)}
