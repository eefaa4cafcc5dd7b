"""Airflow's own Livy hook and operator, in an environment of their own, run batches on a real Spark."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from nbplat.ui.client import ServiceClient
from tests.fixtures.apart import command_apart

pytestmark = [pytest.mark.cluster, pytest.mark.jvm, pytest.mark.process, pytest.mark.timeout(400)]

JOBS = {
    "good.py": "import sys\nfrom pyspark.sql import SparkSession\n"
    "print('counted', SparkSession.builder.getOrCreate().range(10).count(), sys.argv[1:])\n",
    "bad.py": "raise ValueError('it broke')\n",
    "slow.py": "import time\ntime.sleep(600)\n",
}


@pytest.fixture
def airflow() -> Path:
    """Airflow's Python."""
    return command_apart("airflow", "python")


def test_airflow_runs_batches(airflow: Path, toy_client: ServiceClient, tmp_path: Path) -> None:
    """One that ends well with its log, one that fails, one that is killed with its task, one that is refused."""
    for name, code in JOBS.items():
        (tmp_path / name).write_text(code)
    host, port = toy_client.url.removeprefix("http://").split(":")
    connection = {
        "conn_type": "livy",
        "host": host,
        "port": int(port),
        "schema": "http",
        "login": "ann",
        "password": toy_client.token,
    }
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW_CONN_LIVY_DEFAULT": json.dumps(connection),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    }
    tasks = Path(__file__).parent / "airflow_tasks.py"
    try:
        done = subprocess.run(
            [str(airflow), str(tasks), str(tmp_path)],
            env=environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert 0 == done.returncode, done.stderr[-3000:]
        told = json.loads(done.stdout.splitlines()[-1])
        assert ("success", True) == (told["good_state"], told["terminal"])
        assert "counted 10 ['p q', '7']" in told["log"]
        assert ("ann", "success") == (told["batch"]["owner"], told["batch"]["state"])
        assert {"app_id": None} == told["handed_on"]  # a local master has none that spark-submit prints
        assert "did not succeed" in told["bad"]
        assert "running" == told["slow_state"]
        assert "AirflowException" in told["killed"] or "HTTP" in told["killed"]
        assert "are not fetched" in told["refused"] or "400" in told["refused"]
    finally:
        for batch in toy_client.get("/batches", size=100)["sessions"]:
            toy_client.delete(f"/batches/{batch['id']}")
