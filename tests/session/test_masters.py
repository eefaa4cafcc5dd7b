"""Where sessions run, by the platform's settings: what each master means, and what is refused with the mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.spark.session import opens_files_here
from nbplat.compose import open_platform
from nbplat.config import load_config
from nbplat.errors import SetupError
from nbplat.session.masters import driver_place, master_of


@pytest.mark.parametrize(
    ("url", "mode", "kind", "cluster"),
    [
        ("local[*]", "client", "local", False),
        ("local", "client", "local", False),
        ("local-cluster[2,1,1024]", "client", "local-cluster", False),
        ("spark://a:7077,b:7077", "client", "standalone", False),
        ("yarn", "client", "yarn", False),
        ("yarn", "cluster", "yarn", True),
        ("k8s://https://a:6443", "cluster", "k8s", True),
        ("sc://a:15002", "client", "connect", False),
        ("livy+https://a:8998", "client", "livy", False),
    ],
)
def test_each_master_is_known(url: str, mode: str, kind: str, cluster: bool) -> None:
    """By its form, with where the driver runs."""
    found = master_of(url, mode)
    assert (kind, cluster) == (found.kind, found.cluster)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("local[*]", True),
        ("local-cluster[2,1,1024]", True),
        ("spark://127.0.0.1:7077", True),
        ("spark://localhost:7077,127.0.0.1:7078", True),
        ("spark://127.0.0.1:7077,head:7077", False),
        ("spark://head:7077", False),
        ("yarn", False),
        ("k8s://https://127.0.0.1:6443", False),
    ],
)
def test_whose_workers_open_files_here(url: str, here: bool) -> None:
    """Those of a standalone master that listens on loopback do: they open the files of this machine."""
    assert here == opens_files_here(url)


@pytest.mark.parametrize(
    ("url", "mode", "code", "mend"),
    [
        ("mesos://a", "client", "session.master", "spark://HOST:7077"),
        ("", "client", "session.master", "local[*]"),
        ("yarn", "clusters", "session.deploy_mode", "cluster"),
        ("spark://a:7077", "cluster", "session.deploy_mode", "client"),
        ("local[*]", "cluster", "session.deploy_mode", "client"),
        ("k8s://https://a", "client", "session.deploy_mode", "cluster"),
    ],
)
def test_what_cannot_run_sessions_is_refused(url: str, mode: str, code: str, mend: str) -> None:
    """With the setting and what it may be."""
    with pytest.raises(SetupError) as caught:
        master_of(url, mode)
    assert code == caught.value.code
    assert mend in caught.value.fix


def drafted(tmp_path: Path, **options: str) -> Any:
    named = {name.replace("__", "."): value for name, value in options.items()}
    config = load_config(
        {"home": str(tmp_path / "home"), **named}, environ={}, cwd=tmp_path, user_file=tmp_path / "none"
    )
    platform = open_platform(config)
    try:
        fields = {"kind": "pyspark", "conf": {"spark.x": "1"}}
        return platform.session_draft(fields, "ann", "http://127.0.0.1:1", "token")
    finally:
        platform.close()


def test_sessions_may_run_elsewhere_than_the_engine(tmp_path: Path) -> None:
    """session.master wins over spark.master, and nothing of this host is sent to a server that has all of its own."""
    made = drafted(tmp_path, spark__master="local[2]", session__master="sc://a:15002")
    assert {"spark.master": "sc://a:15002", "spark.x": "1"} == made.conf
    assert "platform" == made.request["origins"]["spark.master"]
    made = drafted(tmp_path, session__master="livy+http://a:8998")
    assert ({"spark.master": "http://a:8998", "spark.x": "1"}, "livy") == (made.conf, driver_place(made.conf))


def test_a_driver_on_a_cluster_is_given_nothing_of_this_host(tmp_path: Path) -> None:
    """No folder, no loopback address and no catalog of the service's own machine."""
    made = drafted(tmp_path, session__master="yarn", session__deploy_mode="cluster")
    assert ("yarn", "cluster") == (made.conf["spark.master"], made.conf["spark.submit.deployMode"])
    assert "cluster" == driver_place(made.conf)
    assert [] == [key for key, value in made.conf.items() if str(tmp_path) in value or "127.0.0.1" in value]
    assert [] == [key for key in made.conf if key.startswith("spark.sql.catalog.nbplat")]


def test_a_driver_beside_the_service_is_not_sent_away(tmp_path: Path) -> None:
    """Client mode on YARN is a process of this machine, whose JVM knows that Python comes with it."""
    made = drafted(tmp_path, session__master="yarn")
    assert ("", "true") == (driver_place(made.conf), made.conf["spark.yarn.isPython"])
