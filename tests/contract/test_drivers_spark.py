"""The contract of drivers with Spark on this machine: threads, executors of its own, and a standalone cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.contract.driver_contract import SparkContract, staged
from tests.fixtures.backends import Backend, Stage
from tests.fixtures.standalone import SparkCluster, standalone

__all__ = ["standalone"]

pytestmark = [pytest.mark.jvm, pytest.mark.process]

_SMALL = {"spark.executor.memory": "512m", "spark.default.parallelism": "2", "spark.sql.shuffle.partitions": "2"}
BACKENDS = [
    Backend("local", options={"spark.master": "local[2]"}),
    # Two minutes that teach little beside a standalone cluster: with the others of `make test-cluster`.
    pytest.param(
        Backend("local-cluster", options={"spark.master": "local-cluster[1,2,512]", "spark.conf": json.dumps(_SMALL)}),
        marks=pytest.mark.cluster,
    ),
    Backend("standalone"),
]


@pytest.fixture(scope="module", params=BACKENDS, ids=lambda one: one.name)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A service that took over from one that was killed while a statement ran; its session is `adopted`."""
    backend: Backend = request.param
    if backend.name == "standalone":
        cluster: SparkCluster = request.getfixturevalue("standalone")
        conf = {key: value for key, value in cluster.conf.items() if key != "spark.master"}
        backend = replace(
            backend, options={"spark.master": cluster.conf["spark.master"], "spark.conf": json.dumps(conf)}
        )
    yield from staged(backend, tmp_path_factory)


class TestDrivers(SparkContract):
    """Drivers are processes of this machine; executors are where the master says."""
