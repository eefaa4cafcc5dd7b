"""The retail example through an index: real rows, a real catalog, every training example asked."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbplat.demo import EVENTS, TRAIN
from nbplat.job import JobDraft, JobState
from nbplat.sequence.builds import Builds
from nbplat.sequence.deaths import bury
from nbplat.sequence.memory_index import MemoryIndex
from nbplat.sequence.parse import parse_definition
from nbplat.sequence.select import selected
from nbplat.sequence.states import KIND
from nbplat.sequence.stored_index import StoredIndex
from tests.fixtures.lakehouse import Lake, WrappedPlatform
from tests.fixtures.sequences import clicks, definition

TEXT = f"""
source: {EVENTS}
entity: customer_id
time: event_ts
id: event_id
events:
  purchase: {{last: 50}}
  return: {{last: 10}}
show: [stock_code, amount]
as_of: {{time: label_ts}}
"""


def test_every_training_example_of_the_demo_has_its_sequence(demo: Lake) -> None:
    """Built and in memory, every example is answered once, strictly before its label, and none is lost."""
    sequences = demo.platform.sequences
    declared = parse_definition(TEXT, "retail_history")
    bound = sequences.bind(declared, examples=TRAIN)
    memory = sequences.open(bound)
    assert isinstance(memory, MemoryIndex)
    Builds(sequences).queue(declared, owner="me")
    demo.work()
    stored = sequences.open(bound)
    assert isinstance(stored, StoredIndex)
    examples = sequences.examples(declared, TRAIN)
    answers = []
    for index in (memory, stored):
        lengths = np.full((len(examples), 2), -1)
        for part in selected(index, declared, examples, ["stock_code"]):
            for place, found in enumerate(part.selections):
                lengths[part.examples, place] = found.hi - found.lo
                seen = found.hi > found.lo
                newest = part.events.time_us[np.where(seen, found.hi - 1, 0)]
                assert (newest < examples.as_of_us[part.examples])[seen].all()
        answers.append(lengths)
    assert (answers[0] >= 0).all()
    assert answers[0].tolist() == answers[1].tolist()
    assert (answers[0].sum(axis=1) == 0).any()
    assert 50 == answers[0][:, 0].max()
    assert memory.report.rows == stored.report.rows == sum(stored.report.by_type.values())


class MeanwhileBuilt:
    """Tables in which another process publishes right before this one does."""

    def __init__(self, real: Any, other: WrappedPlatform) -> None:
        self._real, self._other = real, other

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def publish(self, *args: Any, **kwargs: Any) -> Any:
        self._other.work_here("other")
        return self._real.publish(*args, **kwargs)


def test_two_runs_may_build_one_index_at_a_time(tight: Lake) -> None:
    """Whoever publishes second finds the index there, built from the same rows, and is built as well."""
    tight.make("shop.clicks", clicks(3_000).drop_columns(["amount"]), partitioned=False)
    text = TEXT.replace(EVENTS, "shop.clicks").replace("customer_id", "user_id").replace("stock_code, amount", "item")
    text = text.replace("purchase", "click").replace("return", "view")
    sequences = tight.platform.sequences
    first, second = parse_definition(text, "home"), parse_definition(text.replace("50", "5"), "home")
    runs = [Builds(sequences).queue(each, owner="me")[0].id for each in (first, second)]
    assert ["home@1", "home@2"] == runs
    other = tight.beside()
    tight.platform.sequence_parts["tables"] = lambda real: MeanwhileBuilt(real, other)
    assert [JobState.SUCCEEDED] == [job.state for job in tight.work()]
    assert [JobState.SUCCEEDED] * 2 == [job.state for job in tight.platform.store.jobs()]
    other.close()
    assert ["built", "built"] == [sequences.find(run).state for run in runs]
    stored = sequences.find_index(sequences.bind(first))
    assert stored is not None
    assert 1 == len(tight.table(stored.state.pin.table).snapshots())
    named = {file.path.removeprefix("file://") for file in stored.tables.files(stored.state.pin)}
    assert named == {str(path) for path in (tight.home / "warehouse").rglob("nb_bucket=*/*")}
    assert [] == list((tight.home / "spill" / "sequence").iterdir())


def test_a_unit_whose_process_died_has_had_a_try(tight: Lake) -> None:
    """The units under way get the blame; after their last try they have failed with what to do about memory."""
    store = tight.platform.store
    sequences = tight.platform.sequences_of({"rows": clicks(3_000)})
    run, _ = Builds(sequences).queue(definition("rows"), owner="me")
    job = store.claim_job("w", lease_ms=60_000)
    assert job is not None
    scope = f"{job.params['scope']}/shard"
    store.plan_units(scope, ["b0000", "b0001"])
    store.claim_units(scope, f"{job.id}/{job.fence}", limit=1, lease_ms=60_000, max_attempts=1)
    [unit] = bury(store, job, "died of SIGKILL", max_attempts=1)
    assert ("b0000", "failed") == (unit.id, unit.state)
    assert "sequence.died" == (unit.error or {})["code"]
    assert "limits.memory_bytes" in (unit.error or {})["fix"]
    elsewhere, _ = store.submit(
        JobDraft("sequence.build", sequences.keep(definition("rows", name="other"), owner="me").id, {}),
        kind_of_run=KIND,
        owner="me",
    )
    assert [] == bury(store, elsewhere, "died of SIGKILL", max_attempts=1)
    assert run.id == job.run_id
