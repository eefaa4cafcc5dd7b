"""Drivers for Kubernetes, held against Spark's own submission: what a cluster is asked for (`make test-cluster`).

There is no cluster: an API server that only writes down stands where one would be. That a pod then calls back is shown
on YARN, whose drivers do so in the same way.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from nbplat.adapters.driver import ClusterDrivers, Hub
from nbplat.remote.driver.cluster_main import SPEC
from tests.environment.test_ship_kubernetes import api_server
from tests.fixtures.drivers import python_session
from tests.fixtures.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.jvm]


def test_a_pod_is_asked_for_with_the_program_and_the_way_back(tmp_path: Path) -> None:
    """The driver's program lies in the config map, its token in no command, and its pod is found again by name."""
    hub = Hub(tmp_path / "run", tmp_path / "sessions", "127.0.0.1")
    drivers = ClusterDrivers(tmp_path / "sessions", hub)
    with api_server() as (address, given):
        conf = {
            "spark.master": f"k8s://{address}",
            "spark.submit.deployMode": "cluster",
            "spark.kubernetes.container.image": "spark:4.1.4",
            "spark.kubernetes.namespace": "ml",
        }
        driver = drivers.start(python_session(5, "pyspark", conf))
        try:
            wait_until(lambda: Path(driver["folder"], "exit").exists(), limit_s=120, what="the submission ends")
            assert "0" == Path(driver["folder"], "exit").read_text().strip(), drivers.log(driver)[1]
            assert drivers.lives(driver)
            [pod] = [one for one in given if one["kind"] == "Pod"]
            [made] = [one for one in given if one["kind"] == "ConfigMap" and "spark.properties" in one["data"]]
            assert "from nbplat.remote.driver.cluster_main import main" in made["data"]["nbplat_driver.py"]
            [container] = [one for one in pod["spec"]["containers"] if "driver" in one["name"]]
            assert "local:///opt/spark/conf/nbplat_driver.py" in container["args"]
            assert f"ml:{pod['metadata']['name']}" == json.loads(Path(driver["folder"], "spec.json").read_text())["pod"]
            [line] = [one for one in made["data"]["spark.properties"].splitlines() if one.startswith(f"{SPEC}=")]
            told = json.loads(base64.b64decode(line.partition("=")[2].replace("\\=", "=")))
            assert hub.open() | {"session": 5} == {key: told["dial"][key] for key in (*hub.open(), "session")}
            assert told["dial"]["token"] not in json.dumps(pod)
        finally:
            drivers.kill(driver)
        assert not drivers.lives(driver)
    drivers.remove(driver)
    drivers.close()
    assert not Path(driver["folder"]).exists()
