"""Memory stays within its limit whatever the number of rows, and an entity too heavy for it is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.errors import DataError, from_record
from nbplat.remote.sequence import shard as shard_module
from nbplat.sequence import plan as plan_module
from nbplat.sequence.builds import Builds
from nbplat.sequence.sequences import Sequences
from tests.fixtures.lakehouse import Lake
from tests.fixtures.sequences import CLICKS, START_US, clicks, definition, digests

_BUILD = """
import json, resource, sys
from pathlib import Path
from nbplat.compose import open_platform
from nbplat.config import load_config
from nbplat.sequence.amendments import Amendments
from nbplat.sequence.builds import Builds
from nbplat.sequence.parse import parse_definition
import duckdb, pyarrow.parquet

home, source, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
options = {"home": str(home), "limits.memory_bytes": limit, "limits.threads": 2}
platform = open_platform(load_config(options, environ={}, cwd=home.parent, user_file=home / "none"))
sequences = platform.sequences
definition = parse_definition(sys.argv[4].format(source=source), "home")
Builds(sequences).queue(definition, owner="me")
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
[job] = platform.work_here("w")
built = peak()
Amendments(sequences).correct(definition, owner="me", publish=True)
[compared] = platform.work_here("w")
print(json.dumps({"state": job.state, "error": job.error, "before": before, "peak": built,
                  "compared": compared.state, "compared_peak": peak(),
                  "rows": sequences.find_index(sequences.bind(definition)).report.rows}))
platform.close()
"""


@pytest.mark.process
def test_a_build_stays_within_its_memory(tmp_path: Path) -> None:
    """2.4 million rows, 200 MB in memory, are sorted, and compared, by a process that takes 64 MB beyond its start."""
    rng = np.random.default_rng(0)
    source = tmp_path / "events"
    source.mkdir()
    count = 600_000
    for number in range(4):
        rows = pa.table(
            {
                "user_id": pa.array((rng.pareto(1.2, count) * 100).astype(np.int64) % 200_000),
                "event_type": pa.array(np.array(["click", "buy", "view"])[rng.integers(0, 3, count)]),
                "event_ts": pa.array(START_US + rng.integers(0, 10**13, count)).cast(pa.timestamp("us", tz="UTC")),
                "event_id": pa.array([f"{number}-{n}" for n in range(count)]),
                "item": pa.array(rng.integers(0, 10**6, count)),
                "amount": pa.array(rng.random(count) * 10),
            }
        )
        pq.write_table(rows, source / f"{number}.parquet", row_group_size=50_000)
    limit = 64 << 20
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, str(tmp_path / "home"), str(source), str(limit), CLICKS],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert "succeeded" == found["state"], found["error"]
    assert 1_500_000 < found["rows"] < 1_700_000
    assert found["peak"] - found["before"] < limit, found
    assert "succeeded" == found["compared"]
    assert found["compared_peak"] - found["before"] < limit, found


def one_heavy(count: int) -> pa.Table:
    """Events of whom half are of one user."""
    rows = clicks(count, users=50)
    heavy = np.arange(count) % 2 == 0
    user = np.where(heavy, 7, rows["user_id"].fill_null(3).to_numpy())
    return rows.set_column(0, "user_id", pa.array(user))


def test_a_bucket_beyond_the_memory_is_sorted_in_passes(
    tight: Lake, roomy: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut by entity into ranges that fit, a bucket is the same file of sorted rows."""
    rows = clicks(4_000, users=200)
    passes = []
    real = shard_module.entity_ranges

    def counted(batches: object, recipe: object, held: int, size: int, fits: int) -> object:
        ranges = list(real(batches, recipe, held, size, size // 5))
        passes.append(len(ranges))
        return iter(ranges)

    monkeypatch.setattr(shard_module, "entity_ranges", counted)
    sequences = tight.platform.sequences_of({"rows": rows})
    Builds(sequences).queue(definition("rows"), owner="me")
    tight.work()
    assert max(passes) > 4
    stored = sequences.find_index(sequences.bind(definition("rows")))
    assert stored is not None
    in_memory = roomy.platform.sequences_of({"rows": rows})
    monkeypatch.setattr(plan_module, "_BUCKET_ROWS", -(-4_000 // stored.buckets))
    assert digests(in_memory.open(in_memory.bind(definition("rows")))) == digests(stored)


def test_an_entity_beyond_the_memory_is_named(tight: Lake) -> None:
    """Its events must be sorted together; the message says whose they are, how many, and what can be done."""
    rows = one_heavy(12_000)
    sequences = tight.platform.sequences_of({"rows": rows})
    Builds(sequences).queue(definition("rows"), owner="me")
    error = tight.fail()
    assert "sequence.heavy_entity" == error["code"], error
    assert "user_id 7 has" in error["message"]
    assert "limits.memory_bytes" in error["fix"]
    assert isinstance(from_record(error), DataError)
    assert isinstance(sequences, Sequences)
