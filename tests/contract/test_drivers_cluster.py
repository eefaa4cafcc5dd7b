"""The contract of drivers on YARN, client and cluster mode, and of a Spark Connect server (`make test-cluster`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.driver_contract import SparkContract, staged
from tests.fixtures.backends import Backend, Stage
from tests.fixtures.spark_connect import ConnectServer, connect_server, with_grpc
from tests.fixtures.standalone import SparkCluster
from tests.fixtures.yarn import yarn

__all__ = ["connect_server", "yarn"]

pytestmark = [pytest.mark.cluster, pytest.mark.jvm, pytest.mark.process]

BACKENDS = [
    Backend("yarn-client", options={"session.master": "yarn"}),
    Backend("yarn-cluster", options={"session.master": "yarn", "session.deploy_mode": "cluster"}),
    Backend("connect"),
]


@pytest.fixture(scope="module", params=BACKENDS, ids=lambda one: one.name)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A service that took over from one that was killed while a statement ran; its session is `adopted`."""
    backend: Backend = request.param
    if backend.name == "connect":
        server: ConnectServer = request.getfixturevalue("connect_server")
        interpreter = with_grpc(tmp_path_factory.mktemp("client"))
        yield from staged(
            replace(backend, options={"session.master": server.remote}, interpreter=interpreter), tmp_path_factory
        )
        return
    cluster: SparkCluster = request.getfixturevalue("yarn")
    with pytest.MonkeyPatch.context() as patch:
        variables = {**cluster.env, "SPARK_LOCAL_IP": "127.0.0.1"}
        for name, value in variables.items():
            patch.setenv(name, value)
        yield from staged(replace(backend, options=_on_yarn(backend, cluster), env=variables), tmp_path_factory)


def _on_yarn(backend: Backend, cluster: SparkCluster) -> dict[str, Any]:
    # They say where the driver listens, and that of a cluster's driver is its own node's word.
    ours = ("spark.master", *(("spark.driver.host",) if "session.deploy_mode" in backend.options else ()))
    conf = {key: value for key, value in cluster.conf.items() if key not in ours}
    conf["spark.pyspark.python"] = sys.executable
    return {**backend.options, "session.dial_host": "127.0.0.1", "spark.conf": json.dumps(conf)}


class TestDrivers(SparkContract):
    """A driver beside the service with executors elsewhere, and one in the application master."""
