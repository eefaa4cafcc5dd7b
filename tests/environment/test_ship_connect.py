"""Environments of Spark Connect sessions, each its own on one server (`make test-cluster`)."""

from __future__ import annotations

import pytest

from nbplat.environment.targets import Asked, settings_for
from tests.fixtures.channels import small_channel
from tests.fixtures.packed import PackedEnvironment, packed_eight, packed_seven
from tests.fixtures.spark_connect import ConnectServer, connect_server

__all__ = ["connect_server", "packed_eight", "packed_seven", "small_channel"]

pytestmark = [pytest.mark.cluster, pytest.mark.jvm]


def test_two_sessions_of_one_server_run_two_environments(
    connect_server: ConnectServer, packed_seven: PackedEnvironment, packed_eight: PackedEnvironment
) -> None:
    """Each session sends its archive for itself; tasks run in it, and the clients have neither marker."""
    asked = [Asked(one.ref, "connect", archive=one.shipped()) for one in (packed_seven, packed_eight)]

    with connect_server.clients(*map(settings_for, asked)) as (seven, eight):
        assert {"7.7.7"} == {task["marker"] for task in seven["tasks"]}
        assert {"8.8.8"} == {task["marker"] for task in eight["tasks"]}
        prefixes = {task["prefix"] for told in (seven, eight) for task in told["tasks"]}
        assert 2 == len(prefixes)
        assert all(prefix.endswith("/environment") for prefix in prefixes)
        assert (False, False) == (seven["driver"]["marker"], eight["driver"]["marker"])
