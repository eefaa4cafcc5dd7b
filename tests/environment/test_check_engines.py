"""Environments on engines: bodies run in them beside Spark's and Ray's workers, and the workers are asked before."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.spark.workers import probe_workers
from nbplat.terms import EnvironmentRef
from tests.fixtures.channels import SmallChannel
from tests.fixtures.engines import EngineLab, SharedHost, ray_cluster, shared_host
from tests.fixtures.environments import build_small
from tests.fixtures.interpreters import link_packages
from tests.fixtures.lakehouse import ORDERS, Lake

__all__ = ["ray_cluster", "shared_host"]

SPARK = [pytest.mark.jvm, pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning")]
CLUSTERS = [pytest.param("spark", marks=SPARK), pytest.param("ray", marks=pytest.mark.ray)]

WHERE = """
import sys
import nbplat_marker

def feature(batch):
    return {"marker": [nbplat_marker.__version__] * len(batch), "prefix": [sys.prefix] * len(batch)}
"""


@pytest.fixture(scope="module")
def lab(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    shared_host: Callable[[], SharedHost],
) -> Iterator[EngineLab]:
    lake = Lake(tmp_path_factory.mktemp("env-engines") / "home", **{"limits.unit_attempts": 1})
    lake.make_shop()
    yield EngineLab(lake, shared_host, lambda: request.getfixturevalue("ray_cluster"))
    lake.close()


@pytest.fixture(scope="module")
def refs(lab: EngineLab, small_channel: SmallChannel) -> dict[str, EnvironmentRef]:
    """Two environments with two versions of one package."""
    made = {}
    for name, version in (("seven", "7.7.7"), ("eight", "8.8.8")):
        ref = build_small(small_channel, lab.lake.home / "env", "python", f"nbplat-marker =={version}", name=name).ref
        link_packages(Path(ref.prefix), "numpy", "pyarrow")
        made[name] = ref
    return made


@pytest.mark.parametrize("engine", ["local", *CLUSTERS])
def test_bodies_on_an_engine_run_in_the_environment_of_their_run(
    lab: EngineLab, refs: dict[str, EnvironmentRef], engine: str
) -> None:
    """Two runs of one engine with two environments: each row tells its own prefix, and a package that we lack."""
    for name, ref in refs.items():
        run = lab.stage(f"where_{name}", engine, ORDERS, "", python={"source": WHERE, "env": name}, keys=("id",))
        rows = lab.lake.staged(run)
        assert {ref.prefix} == set(rows["prefix"])
        assert {"seven": {"7.7.7"}, "eight": {"8.8.8"}}[name] == set(rows["marker"])


@pytest.mark.parametrize("engine", CLUSTERS)
def test_workers_of_this_machine_fit_any_environment_of_it(
    lab: EngineLab, refs: dict[str, EnvironmentRef], engine: str
) -> None:
    """They are asked themselves; an environment without pyspark and ray fits, for bodies run beside the workers."""
    lab.ready(engine)
    checker = replace(lab.lake.platform.environment_checker, cluster=lab.lake.backfills.engines.ask)
    report = checker.check(refs["seven"], engine)
    assert report.fits, report.record()
    assert report.against.startswith(f"{engine.capitalize()} at ")
    assert any("bodies run beside them" in looked for looked in report.checked)


@pytest.mark.jvm
@pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning")
def test_workers_of_spark_tell_their_interpreter(shared_host: Callable[[], SharedHost]) -> None:
    """One record for one interpreter on one node, however many tasks asked."""
    [record], refused = probe_workers(shared_host().session())
    assert (sys.prefix, "") == (record["prefix"], refused)
    assert "pyarrow" in record["packages"]


@pytest.mark.jvm
@pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning")
@pytest.mark.parametrize(
    ("said", "python"),
    [
        ("Python in worker has different version: 3.12 than that in driver: 3.11, PySpark cannot run", "3.12"),
        ("Python in worker has different version: (3, 9) than that in driver", "3.9"),
    ],
)
def test_a_refused_python_is_read_from_what_spark_says(
    shared_host: Callable[[], SharedHost], monkeypatch: pytest.MonkeyPatch, said: str, python: str
) -> None:
    """Spark lets workers of another minor version run nothing, so its message is all there is."""
    context = shared_host().session().sparkContext

    def refuse(*_args: Any) -> Any:
        raise RuntimeError(said)

    monkeypatch.setattr(type(context), "parallelize", refuse)
    assert ((), python) == probe_workers(shared_host().session())
