"""Keeping definitions, finding their indexes, and opening what there is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from nbplat.errors import Conflict, NotFound, RequestError
from nbplat.sequence.builds import Builds
from nbplat.sequence.memory_index import MemoryIndex
from nbplat.sequence.plan import SequencePlan, choose_buckets, explain_plan, pow2_at_least
from nbplat.sequence.stored_index import StoredIndex
from nbplat.sequence.work import sweep
from nbplat.terms import content_hash
from tests.fixtures.lakehouse import Lake
from tests.fixtures.sequences import CLICKS, clicks, definition, digests

TABLE = "shop.clicks"
TEXT = CLICKS.replace(', where: "amount > 5"', "")


@pytest.fixture
def shop(roomy: Lake) -> Lake:
    roomy.make(TABLE, clicks(600).drop_columns(["amount"]), partitioned=False)
    return roomy


def test_an_equal_definition_is_the_same_run(shop: Lake) -> None:
    """Written in another order it is still the one that was kept."""
    sequences = shop.platform.sequences
    first = sequences.keep(definition(TABLE, TEXT), owner="me")
    again = sequences.keep(definition(TABLE, TEXT + "layout: mixed\n"), owner="you")
    assert ("home@1", "kept") == (first.id, first.state)
    assert first.id == again.id
    assert definition(TABLE, TEXT) == sequences.definition(again)
    assert definition(TABLE, TEXT).version == sequences.definition(again).version


def test_a_changed_definition_is_a_new_run_and_the_old_one_stays(shop: Lake) -> None:
    """`home` is the newest, `home@1` still says what it said and still has its index."""
    sequences = shop.platform.sequences
    old, changed = definition(TABLE, TEXT), definition(TABLE, TEXT.replace("  buy:", "  view:"))
    Builds(sequences).queue(old, owner="me")
    shop.work()
    before = digests(sequences.open(sequences.bind(old)))
    assert "home@2" == sequences.keep(changed, owner="me").id
    assert changed == sequences.definition(sequences.find("home"))
    assert old == sequences.definition(sequences.find("home@1"))
    Builds(sequences).queue(changed, owner="me")
    shop.work()
    index = sequences.find_index(sequences.bind(old))
    assert index is not None
    assert before == digests(index)
    other = sequences.find_index(sequences.bind(changed))
    assert other is not None
    assert index.state.pin.table != other.state.pin.table


def test_definitions_that_differ_in_how_they_are_read_share_one_index(shop: Lake) -> None:
    """Another number, size or layout needs no build: the index that is there is found, under any name."""
    sequences = shop.platform.sequences
    Builds(sequences).queue(definition(TABLE, TEXT), owner="me")
    shop.work()
    longer = definition(TABLE, TEXT.replace("last: 5", "last: 50") + "layout: per_type\n")
    run, job = Builds(sequences).queue(longer, owner="me")
    assert (None, "home@2", "built") == (job, run.id, run.state)
    other = definition(TABLE, TEXT, name="elsewhere")
    run, job = Builds(sequences).queue(other, owner="me")
    assert (None, "elsewhere@1", "built") == (job, run.id, run.state)
    assert sequences.find("home@1").outputs["index"] == run.outputs["index"]


def test_a_build_sweeps_what_a_kill_left_of_a_vocabulary(shop: Lake) -> None:
    """A file that is a day older than the build and in no version goes; a younger one, and those of versions, stay."""
    sequences = shop.platform.sequences
    declared = definition(TABLE, TEXT)
    Builds(sequences).queue(declared, owner="me")
    shop.work()
    index = sequences.open(sequences.bind(declared))
    assert isinstance(index, StoredIndex)
    table = index.state.pin.table
    sequences.vocabularies.store(table, "v1", {"x": pa.table({"id": [2], "value": ["a"], "count": [1]})})
    folder = Path(shop.table(f"{table}__vocab").location().removeprefix("file://")) / "data"
    (kept,) = folder.iterdir()
    young, old = folder / "00000-0-young.parquet", folder / "00000-0-old.parquet"
    for file in (young, old):
        shutil.copyfile(kept, file)
    for file in (old, kept):
        os.utime(file, (1_000_000_000, 1_000_000_000))

    (job,) = sequences.store.jobs(run_id="home@1", limit=1)
    sweep(sequences, job)

    assert {kept, young} == set(folder.iterdir())


def test_variants_share_the_index_of_their_definition(shop: Lake) -> None:
    """A variant is opened over the same index, with the definition's union of types."""
    sequences = shop.platform.sequences
    declared = definition(TABLE, TEXT + "variants: {{no_buy: {{events.buy: drop}}, short: {{size.length: 2}}}}\n")
    Builds(sequences).queue(declared, owner="me")
    shop.work()
    bound = sequences.bind(declared, variant="no_buy")
    index = sequences.open(bound)
    assert isinstance(index, StoredIndex)
    assert ("buy", "click") == index.types
    assert ("click",) == tuple(rule.event_type for rule in bound.definition.events)


def test_a_small_source_is_indexed_in_memory_when_nothing_is_built(shop: Lake) -> None:
    """The index in memory and the one that is built later hold the same."""
    sequences = shop.platform.sequences
    bound = sequences.bind(definition(TABLE, TEXT))
    memory = sequences.open(bound)
    assert isinstance(memory, MemoryIndex)
    assert memory.pin is None
    Builds(sequences).queue(definition(TABLE, TEXT), owner="me")
    shop.work()
    stored = sequences.open(bound)
    assert isinstance(stored, StoredIndex)
    assert digests(memory) == digests(stored)
    assert memory.schema.names == stored.schema.names
    assert not sequences.moved(stored)
    shop.table(TABLE).append(clicks(10).drop_columns(["amount"]))
    assert shop.platform.sequences.moved(stored)


def test_a_source_that_is_too_big_names_the_build(tight: Lake) -> None:
    """Beyond a share of the memory nothing is read; the fix is the command that builds."""
    sequences = tight.platform.sequences_of({"rows": clicks(20_000)})
    bound = sequences.bind(definition("rows"))
    with pytest.raises(RequestError, match="may be taken") as raised:
        sequences.open(bound)
    assert "sequence.too_big" == raised.value.code
    assert "%sequence build home" in raised.value.fix


def test_another_frame_under_the_same_name_has_an_index_of_its_own(roomy: Lake) -> None:
    """A built index is never answered for other rows that happen to have the name."""
    sequences = roomy.platform.sequences_of({"rows": clicks(500)})
    Builds(sequences).queue(definition("rows"), owner="me")
    roomy.work()
    assert isinstance(sequences.open(sequences.bind(definition("rows"))), StoredIndex)
    other = roomy.platform.sequences_of({"rows": clicks(500, seed=1)})
    assert isinstance(other.open(other.bind(definition("rows"))), MemoryIndex)


def test_nothing_is_kept_of_a_definition_that_does_not_fit(shop: Lake) -> None:
    """A column that is not there is refused with its line before any run is opened."""
    sequences = shop.platform.sequences
    before = shop.picture()
    with pytest.raises(RequestError) as raised:
        sequences.keep(definition(TABLE, TEXT.replace("[item]", "[itme]")), owner="me")
    assert "item" in raised.value.fix
    assert raised.value.where.startswith("line 9")
    with pytest.raises(RequestError, match="no engine"):
        Builds(sequences).queue(definition(TABLE, TEXT), owner="me", engine="sparc")
    assert before == shop.picture()


def test_an_unknown_sequence_names_the_nearest(shop: Lake) -> None:
    """A name that was never kept is not found, and the fix says what is."""
    sequences = shop.platform.sequences
    with pytest.raises(NotFound, match="no sequence 'home'") as raised:
        sequences.find("home")
    assert "%%sequence" in raised.value.fix
    sequences.keep(definition(TABLE, TEXT), owner="me")
    with pytest.raises(NotFound) as raised:
        sequences.find("hmoe")
    assert "home" in raised.value.fix


def test_an_older_state_is_read_by_its_snapshot(shop: Lake) -> None:
    """A snapshot that never was is refused; without an index the build is named."""
    sequences = shop.platform.sequences
    bound = sequences.bind(definition(TABLE, TEXT))
    with pytest.raises(NotFound, match="has no index"):
        sequences.open(bound, snapshot_id=7)
    Builds(sequences).queue(definition(TABLE, TEXT), owner="me")
    shop.work()
    now = sequences.find("home").outputs["snapshot_id"]
    assert sequences.open(bound, snapshot_id=now).pin == sequences.open(bound).pin
    with pytest.raises(Conflict):
        sequences.open(bound, snapshot_id=7)


def test_an_unknown_column_of_an_index_is_named(shop: Lake) -> None:
    """Reading a column that the index does not store is refused with the nearest that it does."""
    sequences = shop.platform.sequences
    Builds(sequences).queue(definition(TABLE, TEXT), owner="me")
    shop.work()
    index = sequences.open(sequences.bind(definition(TABLE, TEXT)))
    with pytest.raises(NotFound) as raised:
        index.events(0, ["itme"])
    assert "item" in raised.value.fix


def test_a_plan_is_a_value_and_has_no_effects(tight: Lake) -> None:
    """Made twice it is equal, through JSON it is equal, its hash does not know names, and nothing was written."""
    tight.make(TABLE, clicks(4_000).drop_columns(["amount"]), partitioned=False)
    sequences = tight.platform.sequences
    before = tight.picture()
    plan = Builds(sequences).plan(sequences.bind(definition(TABLE, TEXT)))
    assert before == tight.picture()
    assert plan == Builds(sequences).plan(sequences.bind(definition(TABLE, TEXT)))
    assert plan == SequencePlan.from_record(plan.record())
    other = Builds(sequences).plan(sequences.bind(definition(TABLE, TEXT, name="other")))
    assert plan.table != other.table
    assert content_hash(plan.record()) != plan.plan_hash
    files = tight.table(TABLE).inspect.files()
    assert sum(files["file_size_in_bytes"].to_pylist()) == plan.read_bytes
    assert (4_000, False) == (plan.rows, plan.direct)
    lines = "\n".join(explain_plan(plan))
    assert f"pinned to snapshot {tight.table(TABLE).current_snapshot().snapshot_id}" in lines
    assert f"{plan.buckets} buckets by hash of the entity" in lines
    assert "default: layout: mixed" in lines


def test_buckets_follow_rows_and_memory() -> None:
    """A power of two, more of them when memory is short, never more than 4096."""
    assert [1, 1, 2, 4, 1024] == [pow2_at_least(number) for number in (0, 1, 2, 3, 1000)]
    assert 1 == choose_buckets(0, 0, 1 << 30)
    assert 128 == choose_buckets(20_000_000, 0, 1 << 30)
    assert 16 == choose_buckets(1_000, 2 << 30, 1 << 30)
    assert 4096 == choose_buckets(10**12, 10**14, 1)


def test_column_names_of_the_index_are_kept_free(roomy: Lake) -> None:
    """A column that begins like the index's own is refused before anything is read."""
    rows = clicks(50).append_column("nb_bucket", pa.array(range(50)))
    sequences = roomy.platform.sequences_of({"rows": rows})
    bound = sequences.bind(definition("rows", CLICKS.replace("[item]", "[nb_bucket]")))
    with pytest.raises(RequestError, match="begins like the index's own"):
        sequences.open(bound)
