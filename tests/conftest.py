"""Fixtures of the whole suite. Each comes from a module in `tests/fixtures`; add yours as one import."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# importlib import mode leaves sys.path alone, and `tests.fixtures` must resolve when pytest is not run as a module.
sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.fixtures.browser import browser, page, served
from tests.fixtures.channels import big_channel, kernel_channel, other_channel, small_channel
from tests.fixtures.drivers import sockets, talk
from tests.fixtures.environments import small_environment
from tests.fixtures.livy_app import http, livy_app
from tests.fixtures.postgres import postgres_server, postgres_url
from tests.fixtures.service import service_config, shared_client, shared_config, toy_client
from tests.fixtures.spark import spark, swept

__all__ = [
    "big_channel",
    "browser",
    "http",
    "kernel_channel",
    "livy_app",
    "other_channel",
    "page",
    "postgres_server",
    "postgres_url",
    "served",
    "service_config",
    "shared_client",
    "shared_config",
    "small_channel",
    "small_environment",
    "sockets",
    "spark",
    "swept",
    "talk",
    "toy_client",
]

# A test that starts one session wants no second driver beside it; those that do ask for it.
os.environ["NBPLAT_SESSION_WARM_COUNT"] = "0"
os.environ["NBPLAT_SESSION_CLASS_ARCHIVE"] = "false"

# How long drawing takes depends on who else is on the machine; neither that nor an unlucky draw is a fault.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
settings.load_profile("suite")

# Modules that play whole runs in many variants: minutes together, so the inner loop leaves them to `make test`.
_THOROUGH = {
    "test_any_days",
    "test_build_killed",
    "test_catalog_gone",
    "test_channel_big",
    "test_check_bodies",
    "test_check_training",
    "test_child",
    "test_corrections",
    "test_definition_round_trip",
    "test_diff",
    "test_difference",
    "test_drop",
    "test_environment_routes",
    "test_environment_verbs",
    "test_equality_deletes",
    "test_examples",
    "test_expire",
    "test_export_job",
    "test_extend",
    "test_faults",
    "test_fencing",
    "test_findings_table",
    "test_increments",
    "test_index_build",
    "test_index_crash",
    "test_index_memory",
    "test_join_oracle",
    "test_kept_sequences",
    "test_landing",
    "test_odd_tables",
    "test_order_and_ranges",
    "test_pack_big",
    "test_python_bodies",
    "test_replace",
    "test_rules",
    "test_sequence_faults",
    "test_sequence_value",
    "test_sequences_without_nbplat",
    "test_ship",
    "test_ship_launcher",
    "test_ship_pull",
    "test_sorting_kernels",
    "test_staged_keys",
    "test_types",
    "test_verbs",
    "test_whole",
    "test_worker_reads",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in _THOROUGH:
            item.add_marker("thorough")
