"""Workers of Ray that join in a declared environment: one that is really solved, built, packed, and has no nbplat."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nbplat.adapters.ray.cluster import RaySettings
from nbplat.adapters.ray.pool import RayPool
from nbplat.compose import open_platform
from nbplat.config import load_config
from nbplat.errors import NbplatError
from nbplat.terms import EnvironmentRef
from nbplat.training.join import JoinPlan, JoinSpec, Stage, plan_join
from nbplat.training.join.open import OpenJoin
from tests.fixtures.channels import RAY, SmallChannel, ray_channel, small_channel
from tests.fixtures.environments import build_small, unsaid
from tests.fixtures.lakehouse import Lake
from tests.training import join_in_environment

__all__ = ["ray_channel", "small_channel"]

pytestmark = [
    pytest.mark.ray,
    # What Ray Data says of its own options when it copies them.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]

MARKED = ("python", "nbplat-marker ==7.7.7", "numpy")
ELSEWHERE = "10.255.255.1:6379"


@pytest.fixture(scope="module")
def ranker(joins: Lake, ray_channel: SmallChannel) -> EnvironmentRef:
    """``ranker``, built in the lake's store: Ray, Arrow and a marker that no interpreter of the tests has."""
    return build_small(ray_channel, joins.home / "env", *MARKED, *RAY, name="ranker").ref


@pytest.fixture(scope="module")
def thin(joins: Lake, ray_channel: SmallChannel) -> EnvironmentRef:
    """``thin``, without what Ray Train imports."""
    return build_small(ray_channel, joins.home / "env", *MARKED, "ray", "pyarrow", name="thin").ref


@pytest.fixture(scope="module")
def bare(joins: Lake, small_channel: SmallChannel) -> EnvironmentRef:
    """``bare``, with a marker only."""
    return build_small(small_channel, joins.home / "env", "python", "nbplat-marker ==8.8.8", name="bare").ref


def _plan(joins: Lake) -> JoinPlan:
    spec = JoinSpec("j.base", on=("id",), stage=(Stage("twice@1"), Stage.parse("j.score:score")))
    return plan_join(spec, joins.platform.join_source, joins.backfills)


def test_tasks_datasets_and_ranks_run_in_the_environment(joins: Lake, ranker: EnvironmentRef, tmp_path: Path) -> None:
    """A package that only the environment has is there in all three; rows are those of this process.

    The workers' nbplat is the few modules that were sent along, not the one that is installed here.
    """
    script = shutil.copy(join_in_environment.__file__, tmp_path)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, script, str(joins.home), str(tmp_path)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["started"].endswith(f"workers in the environment ranker ({ranker.key[:12]})")
    assert told["tasks"]
    assert told["dataset"]
    workers = told["workers"]
    assert ("7.7.7", ranker.prefix) == (workers["marker"], workers["prefix"])
    assert "py_modules" in workers["code"]
    assert [("7.7.7", ranker.prefix)] * 2 == [(rank["marker"], rank["prefix"]) for rank in told["ranks"]]
    assert list(range(240)) == sorted(number for rank in told["ranks"] for number in rank["ids"])


def test_a_cluster_elsewhere_unpacks_the_environment_and_our_code(
    joins: Lake, ranker: EnvironmentRef, ray_cluster: None, tmp_path: Path
) -> None:
    """Its nodes get both from the place of archives; with these very settings workers read the rows that this does.

    The cluster of this test is on this machine, since the tables are; what it is told names nothing else of it.
    """
    place = tmp_path / "envs"
    settings = {"home": str(joins.home), "ray.address": ELSEWHERE, "env.archives": place.as_uri()}
    platform = open_platform(load_config(settings))
    environments = platform.environments
    packed = environments.pack(ranker, {"format": "zip"}, unsaid)
    environments.push(packed, place.as_uri(), unsaid)
    with platform.open_join(_plan(joins)) as opened:
        found = opened.runtime_env("ranker")
    platform.close()
    assert "./bin/python" == found["py_executable"]
    assert re.fullmatch(rf"{place.as_uri()}/[0-9a-f]{{64}}\.zip", found["working_dir"])
    (code,) = found["py_modules"]
    assert re.fullmatch(rf"{place.as_uri()}/remote-[0-9a-f]{{16}}\.zip", code)

    pool = RayPool(RaySettings("", threads=2, memory_bytes=1 << 30, bundle=lambda: ""), runtime_env=found)
    source = joins.platform.join_source
    with OpenJoin(
        _plan(joins), source, tensors=lambda arrays: {}, trees=lambda *_: None, pool=lambda plan, env: pool
    ) as opened:
        here = [batch.to_pylist() for batch in opened.batches(50)]
        assert here == [batch.to_pylist() for batch in opened.batches(50, runner="ray", env="ranker")]


@pytest.mark.parametrize(
    ("asked", "settings", "code", "mend"),
    [
        ("rankr", {}, "env.unknown", "ranker"),
        ("./venv", {}, "env.path", "nbplat env build"),
        ("bare", {}, "env.check", "ray=="),
        ("thin", {}, "env.check", "fsspec"),
        ("ranker", {"ray.address": ELSEWHERE}, "env.archives", "env.archives"),
        ("ranker", {"ray.address": ELSEWHERE, "env.archives": "{empty}"}, "env.unshipped", "--format zip"),
    ],
)
def test_an_environment_that_workers_cannot_run_in_is_refused_before_ray_starts(
    joins: Lake,
    ranker: EnvironmentRef,
    bare: EnvironmentRef,
    thin: EnvironmentRef,
    tmp_path: Path,
    asked: str,
    settings: dict[str, str],
    code: str,
    mend: str,
) -> None:
    """An unknown one with the nearest name, a path, one without Ray, and one that a cluster elsewhere cannot get."""
    given = {name: value.format(empty=tmp_path.as_uri()) for name, value in settings.items()}
    platform = open_platform(load_config({"home": str(joins.home), **given}))
    with platform.open_join(_plan(joins)) as opened, pytest.raises(NbplatError) as caught:
        opened.runtime_env(asked)
    platform.close()
    assert code == caught.value.code
    assert mend in str(caught.value.fix) + str(caught.value)


def test_an_environment_without_ray_workers_is_refused(joins: Lake) -> None:
    """The threads of this process run in this process's Python."""
    with (
        joins.platform.open_join(_plan(joins)) as opened,
        pytest.raises(NbplatError, match=r"training\.option.*runner='ray'"),
    ):
        opened.batches(50, env="ranker")


def test_an_archive_that_a_node_cannot_read_is_named(joins: Lake, ray_cluster: None, tmp_path: Path) -> None:
    """Ray's own words behind ours: which environment, and what brings it there."""
    gone = {"working_dir": (tmp_path / "gone.zip").as_uri(), "py_executable": "./bin/python"}
    settings = RaySettings("", threads=2, memory_bytes=1 << 30, bundle=lambda: "")
    pool = RayPool(settings, runtime_env=gone, environment="ranker (0123)")
    with (
        OpenJoin(
            _plan(joins),
            joins.platform.join_source,
            tensors=lambda arrays: {},
            trees=lambda *_: None,
            pool=lambda plan, env: pool,
        ) as opened,
        pytest.raises(NbplatError, match=r"ray\.environment.*ranker \(0123\).*nbplat env push") as caught,
    ):
        list(opened.batches(50, runner="ray", env="ranker"))
    assert "gone.zip" in str(caught.value)
