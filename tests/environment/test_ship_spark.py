"""Environments on Spark clusters that the tests start: by the text of `nbplat env conf`, pasted into a driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbplat.environment.launcher import NodeCache, launcher_name, launcher_text
from nbplat.environment.targets import Asked, settings_for
from tests.fixtures.channels import small_channel
from tests.fixtures.packed import PackedEnvironment, packed_eight, packed_seven
from tests.fixtures.standalone import CLUSTER_MARKS, SparkCluster, linked_home, quiet_conf, spark_home, standalone

__all__ = ["packed_eight", "packed_seven", "small_channel", "standalone"]

pytestmark = CLUSTER_MARKS


def launcher_of(environment: PackedEnvironment, folder: Path, cache: NodeCache) -> str:
    """A launcher's script on this machine."""
    text = launcher_text(environment.shipped(), environment.manifest, cache)
    path = folder / launcher_name(text)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_two_sessions_run_two_environments_at_once(
    standalone: SparkCluster, packed_seven: PackedEnvironment, packed_eight: PackedEnvironment, tmp_path: Path
) -> None:
    """Of two sessions on one standalone cluster one has its archive unpacked by Spark, the other its launcher's."""
    cache = NodeCache(folder=str(tmp_path / "node"))
    script = launcher_of(packed_eight, tmp_path, cache)
    by_archive = settings_for(Asked(packed_seven.ref, "standalone", archive=packed_seven.shipped()))
    by_launcher = settings_for(
        Asked(packed_eight.ref, "standalone", archive=packed_eight.shipped(), launcher=script, node_cache=cache.folder)
    )

    with standalone.drivers(by_archive, by_launcher) as (seven, eight):
        assert ("archive", "launcher") == (by_archive.way, by_launcher.way)
        assert ({"7.7.7"}, {"8.8.8"}) == (seven.markers, eight.markers)
        assert {f"{task['cwd']}/environment" for task in seven.tasks} == seven.prefixes
        assert {str(tmp_path / "node" / packed_eight.home)} == eight.prefixes
        assert (False, False) == (seven.driver["marker"], eight.driver["marker"])


def test_local_cluster_unpacks_the_archive_for_each_executor(packed_seven: PackedEnvironment, tmp_path: Path) -> None:
    """On local-cluster a task runs in its executor's copy of the archive, with the marker that the driver lacks."""
    conf = quiet_conf(spark__master="local-cluster[1,1,512]")
    cluster = SparkCluster(conf, tmp_path, linked_home(tmp_path))
    settings = settings_for(Asked(packed_seven.ref, "local-cluster", "archive", packed_seven.shipped()))

    with cluster.drivers(settings) as [driver]:
        assert {"7.7.7"} == driver.markers
        assert {f"{task['cwd']}/environment" for task in driver.tasks} == driver.prefixes
        assert not driver.driver["marker"]


def test_an_environment_without_pyspark_runs_driver_and_tasks(packed_seven: PackedEnvironment, tmp_path: Path) -> None:
    """On a local master the driver and the tasks run in the built prefix, with Spark's own pyspark on PYTHONPATH."""
    cluster = SparkCluster(quiet_conf(spark__master="local[1]"), tmp_path, spark_home())
    settings = settings_for(Asked(packed_seven.ref, "local"))

    with cluster.submitted(settings) as driver:
        assert ({"7.7.7"}, {packed_seven.ref.prefix}) == (driver.markers, driver.prefixes)
        assert {"prefix": packed_seven.ref.prefix, "marker": True} == driver.driver


def test_a_damaged_archive_fails_the_job_and_says_so(
    standalone: SparkCluster, packed_seven: PackedEnvironment, tmp_path: Path
) -> None:
    """A node that is given other bytes than were packed runs nothing of them, and the driver is told why."""
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes(packed_seven.pack.archive.read_bytes()[:-1])
    cache = NodeCache(folder=str(tmp_path / "node"), fetch=f'cp "{damaged}" "$NBPLAT_FILE"')
    script = launcher_of(packed_seven, tmp_path, cache)
    settings = settings_for(Asked(packed_seven.ref, "standalone", "launcher", packed_seven.shipped(), script))

    failing = standalone.drivers(settings)
    with pytest.raises(AssertionError, match=r"Error from python worker:\s+nbplat: env\.hash: ") as caught, failing:
        pass

    assert "is not the archive of marker-7" in str(caught.value)

    assert [] == [one for one in (tmp_path / "node").iterdir() if one.is_dir()]
