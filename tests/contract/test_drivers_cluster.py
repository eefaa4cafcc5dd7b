"""The contract of drivers on YARN, in client and in cluster mode, and on a Spark Connect server (`make test-cluster`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.driver_contract import SparkContract, staged
from tests.fixtures.backends import Backend, Stage
from tests.fixtures.standalone import SparkCluster
from tests.fixtures.yarn import yarn

__all__ = ["yarn"]

pytestmark = [pytest.mark.cluster, pytest.mark.jvm, pytest.mark.process]

BACKENDS = [
    Backend("yarn-client", options={"session.master": "yarn"}),
    Backend("yarn-cluster", options={"session.master": "yarn", "session.deploy_mode": "cluster"}),
]


@pytest.fixture(scope="module", params=BACKENDS, ids=lambda one: one.name)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A service that took over from one that was killed while a statement ran; its session is `adopted`."""
    backend: Backend = request.param
    cluster: SparkCluster = request.getfixturevalue("yarn")
    conf = {key: value for key, value in cluster.conf.items() if key != "spark.master"}
    if backend.options.get("session.deploy_mode") == "cluster":
        # Those are of the driver's own node.
        conf = {key: value for key, value in conf.items() if key not in ("spark.driver.host", "spark.log.level")}
    options: dict[str, Any] = {
        **backend.options,
        "session.dial_host": "127.0.0.1",
        "spark.conf": json.dumps(conf | {"spark.pyspark.python": _python()}),
    }
    variables = {**cluster.env, "SPARK_LOCAL_IP": "127.0.0.1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield from staged(replace(backend, options=options, env=variables), tmp_path_factory)


class TestDrivers(SparkContract):
    """A driver beside the service with executors in containers, and one in the application master."""


def _python() -> str:
    import sys

    return sys.executable
