"""The farm of an engine: opened by name, and refused before any effect where it cannot do the work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbplat.compose.engines import Engines
from nbplat.errors import RequestError, SetupError
from tests.fixtures.lakehouse import Lake

S3 = "s3://lake/events/a.parquet"


@pytest.fixture
def engines(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engines]:
    lake = Lake(tmp_path / "home", **getattr(request, "param", {}))
    yield lake.platform.engines
    lake.close()


def test_the_local_farm_has_a_slot_a_thread_that_has_memory(tmp_path: Path) -> None:
    """Four threads and memory for three: three tasks at a time."""
    lake = Lake(tmp_path / "home", **{"limits.threads": 4, "limits.memory_bytes": 3 * (128 << 20) + 5})
    with lake.platform.engines.farm("local", "index", lambda line: None) as farm:
        assert ("local", 3) == (farm.name, farm.slots)

        def work(task: Any) -> Any:
            return {"unit": task["unit"]}

        assert [{"unit": "a"}] == list(farm.run(work, iter([{"unit": "a", "fence": 1}])))
    lake.close()


def test_an_unknown_engine_is_told_with_the_nearest(engines: Engines) -> None:
    """Nothing is guessed."""
    with pytest.raises(RequestError, match=r"engine\.unknown.*'sprak'.*did you mean spark\?.*local, ray, spark"):
        engines.check_farm("sprak", S3, S3)


@pytest.mark.parametrize("engine", ["local", "ray", "spark"])
def test_workers_of_this_machine_reach_everything(engines: Engines, engine: str) -> None:
    """A cluster that is started here opens this machine's files."""
    engines.check_farm(engine, "/data/events/a.parquet", "file:///home/warehouse")


@pytest.mark.parametrize(
    ("engines", "engine", "where"),
    [
        ({"ray.address": "head.far:6379"}, "ray", "head.far:6379"),
        ({"spark.master": "spark://head.far:7077"}, "spark", "spark://head.far:7077"),
    ],
    indirect=["engines"],
)
def test_the_embedded_catalog_is_refused_to_workers_elsewhere(engines: Engines, engine: str, where: str) -> None:
    """Its tables lie on this machine, whatever the source is."""
    with pytest.raises(SetupError, match=rf"engine\.reach.*embedded catalog.*{where}.*catalog\.name"):
        engines.check_farm(engine, S3, "s3://lake/index")


@pytest.mark.parametrize("engines", [{"ray.address": "head.far:6379", "catalog.name": "lake"}], indirect=["engines"])
@pytest.mark.parametrize(
    ("reads", "writes", "said"),
    [
        ("/data/a.parquet", "s3://lake/index", "the source's files lie on a disk of this machine"),
        ("file:///data/a.parquet", "s3://lake/index", "the source's files lie on a disk of this machine"),
        (S3, "file:///home/x", "files of the result would lie on a disk of this machine"),
    ],
)
def test_files_on_this_machine_are_refused_to_workers_elsewhere(
    engines: Engines, reads: str, writes: str, said: str
) -> None:
    """With a catalog of its own it is the source or the result that has to be moved."""
    with pytest.raises(SetupError, match=rf"engine\.reach.*{said}"):
        engines.check_farm("ray", reads, writes)
    engines.check_farm("ray", S3, "s3://lake/index")
