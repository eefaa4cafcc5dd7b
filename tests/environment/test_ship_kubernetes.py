"""Settings for Kubernetes, held against Spark's own submission: what a cluster is asked for (`make test-cluster`).

There is no cluster: an API server that only writes down stands where one would be. That pods then run the environment
is therefore not shown, and `Settings.tested` says so.
"""

from __future__ import annotations

import http.server
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nbplat.environment.settings import settings_text
from nbplat.environment.shipped import Shipped
from nbplat.environment.targets import Asked, settings_for
from nbplat.terms import EnvironmentRef
from tests.fixtures.served import served_handler
from tests.fixtures.standalone import environ, spark_home, write_conf

pytestmark = [pytest.mark.cluster, pytest.mark.jvm]

_REF = EnvironmentRef("ranker", "a" * 64, "linux-64", "", "b" * 64, "3.11.7")
_ARCHIVE = Shipped(f"https://files.test/envs/{'c' * 64}.tar.gz", "c" * 64, 1000, "tar.gz", "a" * 64, "ranker")


@contextmanager
def api_server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An API server that takes everything; its address, and what it was given."""
    given: list[dict[str, Any]] = []

    class Api(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            given.append(body)
            body["metadata"] |= {"uid": "1", "resourceVersion": "1"}
            self._answer(201, body)

        do_PATCH = do_POST  # noqa: N815 - the name that the server looks for

        def do_GET(self) -> None:
            self._answer(
                404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            )

    with served_handler(Api) as url:
        yield url, given


def submitted(asked: Asked, folder: Path) -> tuple[dict[str, Any], str]:
    """The driver's container that Spark asks for, and the properties that it is given."""
    with api_server() as (address, given):
        conf = {
            "spark.master": f"k8s://{address}",
            "spark.kubernetes.container.image": "spark:4.1.4",
            "spark.kubernetes.submission.waitAppCompletion": "false",
        }
        line = settings_text(settings_for(asked), "submit").replace("JOB.py", "local:///opt/job.py")
        script = folder / "submit.sh"
        script.write_text(line.replace("spark-submit", f"{spark_home()}/bin/spark-submit"))
        variables = environ(write_conf(folder / "conf", conf))
        done = subprocess.run(
            ["sh", script], cwd=folder, env=variables, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr[-4000:]
    [pod] = [one for one in given if one["kind"] == "Pod"]
    [properties] = [one for one in given if one["kind"] == "ConfigMap" and "spark.properties" in one["data"]]
    return pod, properties["data"]["spark.properties"]


def test_pods_are_given_the_archive_and_its_python(tmp_path: Path) -> None:
    """The driver's pod has both interpreters inside the archive, and its Spark is told of the archive."""
    pod, properties = submitted(Asked(_REF, "k8s-cluster", archive=_ARCHIVE), tmp_path)
    [driver] = [one for one in pod["spec"]["containers"] if "driver" in one["name"]]
    variables = {one["name"]: one.get("value") for one in driver["env"]}

    assert "./environment/bin/python" == variables["PYSPARK_PYTHON"] == variables["PYSPARK_DRIVER_PYTHON"]
    assert f"spark.archives=https\\://files.test/envs/{'c' * 64}.tar.gz\\#environment" in properties


def test_pods_are_given_the_launcher_and_a_folder_of_the_node(tmp_path: Path) -> None:
    """With a launcher the pods have its script for a Python and the node's folder mounted to unpack in."""
    launcher = "https://files.test/envs/nbplat-python-0123456789abcdef"
    asked = Asked(_REF, "k8s-cluster", "launcher", _ARCHIVE, launcher, node_cache="/var/cache/nbplat")

    pod, properties = submitted(asked, tmp_path)
    [driver] = [one for one in pod["spec"]["containers"] if "driver" in one["name"]]
    variables = {one["name"]: one.get("value") for one in driver["env"]}
    [volume] = [one for one in pod["spec"]["volumes"] if one["name"] == "nbplat-env"]
    [mount] = [one for one in driver["volumeMounts"] if one["name"] == "nbplat-env"]

    assert "./nbplat-python-0123456789abcdef" == variables["PYSPARK_PYTHON"]
    assert {"path": "/var/cache/nbplat", "type": "DirectoryOrCreate"} == volume["hostPath"]
    assert ("/var/cache/nbplat", False) == (mount["mountPath"], mount.get("readOnly", False))
    assert "spark.files=https\\://files.test/envs/nbplat-python-0123456789abcdef" in properties
    assert "spark.kubernetes.executor.volumes.hostPath.nbplat-env.mount.path=/var/cache/nbplat" in properties
