"""What does not fit in memory: refused from the plan, or named with its unit when the machine has no more."""

from __future__ import annotations

import functools
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyiceberg.types import DoubleType, LongType

from nbplat.errors import SetupError
from nbplat.remote.failure import KernelError
from nbplat.remote.memory_limits import machine_bytes
from nbplat.terms import local_path
from nbplat.training.join import JoinPlan, JoinSpec, Stage, plan_join
from nbplat.training.join.open import OpenJoin
from tests.fixtures.lakehouse import Lake
from tests.training.join_tables import make_table

COLUMNS = [("id", LongType()), *((f"x{n}", DoubleType()) for n in range(20))]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """`w.base`: a file of 1.5 million rows in one row group, a few kB that become 250 MB; `w.cut`: small row groups."""
    lake = Lake(tmp_path_factory.mktemp("wide") / "home")
    for name, rows, limit in (("w.base", 1_500_000, 2_000_000), ("w.cut", 4_000, 1_000)):
        table = make_table(lake.catalog, name, COLUMNS, [], bucket=None, by="")
        with table.transaction() as change:
            change.set_properties({"write.parquet.row-group-limit": str(limit)})
        whole = {"id": np.arange(rows) // 1000, **{f"x{n}": np.ones(rows) for n in range(20)}}
        table.append(pa.table(whole))
    yield lake
    lake.close()


def _plan(lake: Lake, base: str, **options: int) -> JoinPlan:
    return plan_join(JoinSpec(base, **options), lake.platform.join_source, lake.backfills)


def _open(lake: Lake, plan: JoinPlan, memory_bytes: int) -> OpenJoin:
    source = lake.platform.join_source
    return OpenJoin(plan, source, tensors=lambda arrays: {}, trees=lambda *_: None, memory_bytes=memory_bytes)


def test_a_window_that_does_not_fit_is_refused_with_one_that_does(joins: Lake) -> None:
    """Before anything is read; the window that the error names is taken."""
    spec = JoinSpec("j.base", stage=(Stage("twice@1"),))
    plan = plan_join(spec, joins.platform.join_source, joins.backfills)
    largest = max(unit.decoded_bytes for unit in plan.units)
    opened = _open(joins, plan, largest * 2 + 1)
    with pytest.raises(SetupError, match=r"training\.memory.*window of 4 units.*window=2 \(--window 2\), plan with"):
        opened.batches(50, shuffle="window")
    assert 240 == sum(batch.num_rows for batch in opened.batches(50, shuffle="window", window=2))


def test_a_bucket_that_does_not_fit_is_cut_by_row_groups(wide: Lake) -> None:
    """The error says which limit cuts it; planned so, every row is read."""
    size = _plan(wide, "w.cut").units[0].decoded_bytes
    with pytest.raises(SetupError, match=r"training\.memory.*one bucket: the whole table.*max_unit_bytes="):
        _open(wide, _plan(wide, "w.cut"), size - 1).batches(50)
    plan = _plan(wide, "w.cut", max_unit_bytes=(size - 1) // 2)
    assert 4 == len(plan.units)
    assert 4_000 == sum(batch.num_rows for batch in _open(wide, plan, size - 1).batches(500))


def test_a_row_group_that_does_not_fit_is_refused(wide: Lake) -> None:
    """It is the least that is read: smaller ones must be written, or more memory given."""
    plan = _plan(wide, "w.base", max_unit_bytes=1 << 20)
    assert 1 == len(plan.units)
    with pytest.raises(SetupError, match=r"training\.memory.*one row group.*252 MB.*100 MB.*row-group-limit"):
        _open(wide, plan, 100_000_000).batches(50)


def test_a_batch_that_does_not_fit_is_refused_with_one_that_does(joins: Lake) -> None:
    """Its rows are many units; the number that the error names is taken."""
    plan = _plan(joins, "j.base")
    opened = _open(joins, plan, max(unit.decoded_bytes for unit in plan.units) + 1)
    with pytest.raises(SetupError, match=r"training\.memory.*a batch of 240 rows.*batch_rows=") as caught:
        opened.batches(1_000)
    assert 240 == sum(batch.num_rows for batch in opened.batches(_named(caught.value, "batch_rows")))


def test_what_would_be_joined_ahead_is_bounded_by_what_is_left(joins: Lake) -> None:
    """Asked for, it is refused with what is left; left out, it takes no more than that."""
    plan = _plan(joins, "j.base")
    largest = max(unit.decoded_bytes for unit in plan.units)
    opened = _open(joins, plan, largest * 3)
    with pytest.raises(SetupError, match=r"training\.memory.*joined ahead of them.*ahead_bytes=") as caught:
        opened.batches(10, ahead_bytes=1 << 30, threads=8)
    left = _named(caught.value, "ahead_bytes")
    assert largest * 2 == left
    for given in (left, None):
        assert 240 == sum(batch.num_rows for batch in opened.batches(10, ahead_bytes=given, threads=8))
    assert left == opened.batches(10, threads=8)._epoch.pace.ahead_bytes


def test_passes_of_every_form_are_refused_before_they_begin(wide: Lake) -> None:
    """Arrays, frames, tensors, XGBoost's matrix, a shard: the same error, and no file was opened for it."""
    plan = _plan(wide, "w.base")
    opened = _open(wide, plan, 100_000_000)
    begun: list[Callable[[], Any]] = [
        *(functools.partial(opened.batches, 50, format=form) for form in ("arrow", "numpy", "pandas", "torch")),
        lambda: opened.data_iter("x0", ["x1"]),
    ]
    shard = opened.shard(0, 1)
    forms = [functools.partial(shard.batches, 50, format=form, memory_bytes=100_000_000) for form in ("numpy", "torch")]
    local_path(plan.units[0].files[0].path).rename(hidden := wide.home / "hidden")
    try:
        for begin in begun:
            with pytest.raises(SetupError, match=r"training\.memory.*one bucket.*252 MB.*max_unit_bytes=25000000"):
                begin()
        for begin in forms:
            with pytest.raises(KernelError, match=r"training\.memory.*memory_bytes allows 100 MB.*25000000"):
                begin()
    finally:
        hidden.rename(local_path(plan.units[0].files[0].path))


def test_ranks_on_one_machine_share_its_memory(wide: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits for one rank does not fit for each of many: torchrun says how many there are."""
    opened = _open(wide, _plan(wide, "w.cut"), 0)
    shard, size = opened.shard(0, 1), opened.plan.units[0].decoded_bytes
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert 4_000 == sum(batch.num_rows for batch in shard.batches(1_000))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(machine_bytes() // size + 1))
    with pytest.raises(KernelError, match=r"training\.memory.*one of [\d]+ on this machine.*fewer ranks"):
        shard.batches(1_000)
    with pytest.raises(KernelError, match=r"training\.memory"):
        shard.data_iter("x0", ["x1"])
    assert 4_000 == sum(batch.num_rows for batch in shard.batches(1_000, memory_bytes=0))


def _named(error: SetupError, option: str) -> int:
    """The value that a mend names."""
    found = re.search(rf"{option}=(\d+)", str(error))
    assert found is not None
    return int(found[1])


def test_memory_that_runs_out_while_decoding_names_the_unit(wide: Lake, tmp_path: Path) -> None:
    """In a process with a limit of the kernel: an error of ours with the unit and the mend, not a dead process."""
    opened = _open(wide, _plan(wide, "w.base"), 0)
    (tmp_path / "shard").write_bytes(pickle.dumps(opened.shard(0, 1)))
    script = (
        "import pickle, re, resource, sys\n"
        "from pathlib import Path\n"
        "import pyarrow as pa, pyarrow.parquet\n"
        "from nbplat.remote.failure import KernelError\n"
        "shard = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "pa.set_memory_pool(pa.system_memory_pool())\n"
        "used = int(re.search(r'VmSize:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) << 10\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20),) * 2)\n"
        "try:\n"
        "    for batch in shard.batches(1000, threads=1): pass\n"
        "except KernelError as error: print(error.code, error, error.fix)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "shard")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert done.stdout.startswith("memory.full"), done.stdout
    assert "the whole table" in done.stdout
    assert "max_unit_bytes" in done.stdout
