"""Environments on YARN, client and cluster mode, by Spark's archives and by the launcher (`make test-cluster`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbplat.environment.launcher import NodeCache
from nbplat.environment.targets import Asked, settings_for
from tests.environment.test_ship_spark import launcher_of
from tests.fixtures.channels import small_channel
from tests.fixtures.packed import PackedEnvironment, packed_eight, packed_seven
from tests.fixtures.standalone import SparkCluster
from tests.fixtures.yarn import yarn

__all__ = ["packed_eight", "packed_seven", "small_channel", "yarn"]

pytestmark = [pytest.mark.cluster, pytest.mark.jvm]


def test_client_mode_unpacks_the_archive_on_the_node(yarn: SparkCluster, packed_seven: PackedEnvironment) -> None:
    """In client mode the executors run in the localised archive, the driver in its own Python without the marker."""
    settings = settings_for(Asked(packed_seven.ref, "yarn-client", archive=packed_seven.shipped()))

    with yarn.drivers(settings) as [driver]:
        assert {"7.7.7"} == driver.markers
        assert not driver.driver["marker"]
        assert all(prefix.endswith("/environment") for prefix in driver.prefixes), driver.prefixes


def test_cluster_mode_runs_driver_and_executors_in_the_archive(
    yarn: SparkCluster, packed_seven: PackedEnvironment
) -> None:
    """In cluster mode the driver, too, runs in the archive: nothing of the submitting host's Python is used."""
    settings = settings_for(Asked(packed_seven.ref, "yarn-cluster", archive=packed_seven.shipped()))

    told = yarn.submitted_away(settings)

    assert {"7.7.7"} == {one["marker"] for one in told["tasks"]}
    assert told["driver"]["marker"]
    assert told["driver"]["prefix"].endswith("/environment")


def test_the_launcher_serves_both_modes(yarn: SparkCluster, packed_eight: PackedEnvironment, tmp_path: Path) -> None:
    """In client and in cluster mode the launcher runs one copy of the node, for the cluster's driver as well."""
    cache = NodeCache(folder=str(tmp_path / "node"))
    script = launcher_of(packed_eight, tmp_path, cache)
    home = str(tmp_path / "node" / packed_eight.home)

    def settings(target: str):
        return settings_for(
            Asked(packed_eight.ref, target, "launcher", packed_eight.shipped(), script, node_cache=cache.folder)
        )

    with yarn.drivers(settings("yarn-client")) as [driver]:
        assert ({home}, {"8.8.8"}) == (driver.prefixes, driver.markers)
    told = yarn.submitted_away(settings("yarn-cluster"))
    assert {home} == {one["prefix"] for one in told["tasks"]} | {told["driver"]["prefix"]}
