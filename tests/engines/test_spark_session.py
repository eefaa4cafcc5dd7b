"""A Spark session of a step: what it is started with, and that nothing of it outlives the step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from nbplat.adapters.spark.session import SparkSettings, spark_session
from nbplat.errors import SetupError
from tests.fixtures.waiting import wait_until

_STEP = """
import os, sys, time
from pathlib import Path
import psutil
from nbplat.adapters.spark.session import SparkSettings, spark_session

# C1 alone: half the start of the JVM.
conf = {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1"}
settings = SparkSettings("local[1]", Path(sys.argv[1]), 1 << 30, conf=conf)
with spark_session(settings, say=lambda line: None) as session:
    rows = session.range(2).mapInArrow(lambda batches: batches, "id long").count()
    tree = [process.pid for process in psutil.Process().children(recursive=True)]
    print(rows, *tree, flush=True)
    if sys.argv[2] == "stay":
        time.sleep(600)
"""


def settings(folder: Path, **options: object) -> SparkSettings:
    return SparkSettings("local[*]", folder, 4 << 30, **options)  # type: ignore[arg-type]


def start(folder: Path, how: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A process with a session that has run Python workers; the ids of all it started."""
    process = subprocess.Popen(
        [sys.executable, "-c", _STEP, str(folder), how], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    with process.stdout:
        words = process.stdout.readline().split()
    assert "2" == words[0]
    return process, [int(word) for word in words[1:]]


def ended(pids: list[int]) -> bool:
    """Whether none of the processes lives."""
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return False
    return True


@pytest.mark.jvm
def test_a_killed_step_leaves_no_jvm(tmp_path: Path) -> None:
    """kill -9 of a process with a live session ends the JVM and its Python workers as well."""
    process, started = start(tmp_path, "stay")
    assert any("java" in " ".join(psutil.Process(pid).cmdline()) for pid in started)

    process.send_signal(signal.SIGKILL)
    process.wait(10)

    wait_until(lambda: ended(started), limit_s=40, what="the end of the JVM and its workers")


@pytest.mark.jvm
def test_a_step_that_ends_leaves_no_jvm(tmp_path: Path) -> None:
    """When the block is left, the JVM has ended already."""
    process, started = start(tmp_path, "leave")

    assert 0 == process.wait(60)
    wait_until(lambda: ended(started), limit_s=5, what="the end of the JVM and its workers")


@pytest.mark.jvm
@pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning")
def test_a_process_with_a_session_is_told_so(spark: object, tmp_path: Path) -> None:
    """A second session in one process is refused, with what to do."""
    with (
        pytest.raises(SetupError, match=r"spark\.busy.*let the service run the backfill"),
        spark_session(settings(tmp_path), say=lambda line: None),
    ):
        pass


def test_the_driver_gets_half_the_steps_memory(tmp_path: Path) -> None:
    """Its Python workers need the rest; below Spark's own floor it gets the floor."""
    assert "2048m" == settings(tmp_path).values()["spark.driver.memory"]
    assert "640m" == SparkSettings("local[*]", tmp_path, 64 << 20).values()["spark.driver.memory"]


def test_the_users_own_settings_win(tmp_path: Path) -> None:
    """A setting of spark.conf replaces ours; Java options are added to ours."""
    conf = {"spark.driver.memory": "9g", "spark.driver.extraJavaOptions": "-Dmine=1"}
    values = settings(tmp_path, conf=conf, threads=3).values()

    assert ("9g", "local[3]") == (values["spark.driver.memory"], values["spark.master"])
    assert values["spark.driver.extraJavaOptions"].endswith("-Dmine=1")
    assert "-Duser.timezone=UTC" in values["spark.driver.extraJavaOptions"]


def test_no_secret_is_on_the_command_line(tmp_path: Path) -> None:
    """The JVM's command line, which every user of the machine can read, holds only what the JVM needs at start."""
    from nbplat.adapters.spark.session import LAUNCH

    conf = {"spark.hadoop.fs.s3a.secret.key": "hush"}
    launched = {key: value for key, value in settings(tmp_path, conf=conf).values().items() if key in LAUNCH}

    assert "hush" not in json.dumps(launched)
