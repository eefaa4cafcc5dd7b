"""A batch on a real Spark: submitted by the pyspark of the environment, with its settings and arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbplat.adapters.driver import LocalBatches
from nbplat.adapters.store import open_store
from nbplat.clock import SystemClock
from nbplat.config import load_config
from nbplat.session.batch import BatchDraft, BatchState
from nbplat.session.batches import Batches
from tests.fixtures.waiting import wait_until

pytestmark = [pytest.mark.jvm, pytest.mark.process]

CODE = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("counted", spark.range(10).count(), spark.conf.get("spark.x"), sys.argv[1:])
"""


def test_a_batch_counts_on_spark(tmp_path: Path) -> None:
    """Settings arrive with every character, and the log has what the program printed."""
    config = load_config({"home": str(tmp_path / "home")}, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")
    store = open_store(config, clock=SystemClock())
    batches = Batches(store, LocalBatches(tmp_path / "batches"), SystemClock())
    path = tmp_path / "job.py"
    path.write_text(CODE)
    conf = {"spark.master": "local[1]", "spark.ui.enabled": "false", "spark.x": "a é\\b"}
    batch = batches.start(BatchDraft("", "ann", {"file": str(path), "args": ["p q"]}, conf))
    try:
        wait_until(lambda: batches.find(str(batch.id)).ended_ms, what="the batch ends", limit_s=120)
        found = batches.find(str(batch.id))
        lines = batches.log(found)[1]
        assert (BatchState.SUCCESS, None) == (found.state, found.reason), lines
        assert "counted 10 a é\\b ['p q']" in lines
    finally:
        batches.delete(batch.id)
        store.close()
