"""What `nbplat env conf` prints for each target, what it refuses, and the launchers that it writes."""

from __future__ import annotations

import json
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from nbplat.adapters.fsspec.depot import FsspecDepot
from nbplat.environment.conf import conf
from nbplat.environment.launcher import NodeCache
from nbplat.environment.settings import Settings, settings_text
from nbplat.environment.ship import push
from nbplat.environment.shipped import Shipped
from nbplat.environment.store import Store
from nbplat.environment.targets import TARGETS, Asked, settings_for
from nbplat.errors import NbplatError, NotFound, RequestError
from nbplat.terms import EnvironmentRef
from tests.fixtures.environments import unsaid
from tests.fixtures.packed import PackedEnvironment, packed_seven

__all__ = ["packed_seven"]

REF = EnvironmentRef("ranker", "a" * 64, "linux-64", "/envs/ranker", "b" * 64, "3.11.7")
S3 = Shipped(f"s3://ml/envs/{'c' * 64}.tar.gz", "c" * 64, 1000, "tar.gz", "a" * 64, "ranker")
SHARED = replace(S3, uri=f"file:///mnt/envs/{'c' * 64}.tar.gz")
SCRIPT = "/home/me/nbplat-python-0123456789abcdef"


def of(target: str, way: str = "", archive: Shipped | None = S3, **more: object) -> Settings:
    return settings_for(Asked(REF, target, way, archive, **{"launcher": SCRIPT, "named": target == "livy", **more}))  # type: ignore[arg-type]


def test_local_masters_take_the_prefix() -> None:
    """On a local master driver and tasks run in the built prefix, and no archive is named."""
    found = of("local")

    assert {
        "spark.pyspark.python": "/envs/ranker/bin/python",
        "spark.pyspark.driver.python": "/envs/ranker/bin/python",
    } == found.conf
    assert "/envs/ranker/bin/python" == found.driver == found.env["PYSPARK_PYTHON"]
    assert found == of("spark-local")


def test_a_standalone_cluster_unpacks_the_archive() -> None:
    """The archive goes under an alias, tasks take its Python, the driver that of this machine."""
    found = of("standalone")

    assert {
        "spark.archives": f"s3a://ml/envs/{'c' * 64}.tar.gz#environment",
        "spark.pyspark.python": "./environment/bin/python",
        "spark.pyspark.driver.python": "/envs/ranker/bin/python",
    } == found.conf
    assert {
        "PYSPARK_PYTHON": "./environment/bin/python",
        "PYSPARK_DRIVER_PYTHON": "/envs/ranker/bin/python",
    } == found.env
    assert any("hadoop-aws" in note for note in found.notes)


def test_a_node_cache_means_the_launcher() -> None:
    """Whoever names a folder of the nodes gets the launcher; an archive that Spark cannot unpack does as well."""
    assert ("launcher", "archive") == (of("standalone", node_cache="/var/cache/x").way, of("standalone").way)
    zstd = replace(S3, uri=S3.uri.replace("tar.gz", "tar.zst"), format="tar.zst")
    assert "launcher" == of("standalone", archive=zstd).way
    sent = of("yarn-client", "launcher", fetch_by_session=True)
    assert f"{SCRIPT},s3a://ml/envs/{'c' * 64}.tar.gz" == sent.conf["spark.yarn.dist.files"]
    assert "./nbplat-python-0123456789abcdef" == sent.env["PYSPARK_PYTHON"]


def test_cluster_mode_sets_nothing_on_the_submitting_host() -> None:
    """On YARN in cluster mode only properties count; the host's own PYSPARK_PYTHON would be taken before them."""
    found = of("yarn")

    assert "yarn-cluster" == found.target
    assert "./environment/bin/python" == found.conf["spark.yarn.appMasterEnv.PYSPARK_PYTHON"]
    assert ({}, ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")) == (dict(found.env), found.unset)
    assert "env -u PYSPARK_PYTHON -u PYSPARK_DRIVER_PYTHON" in settings_text(found, "submit")


def test_a_livy_session_is_a_body_to_post() -> None:
    """For Livy the archive stands in the body's own list, and the text is JSON."""
    found = of("livy")

    assert {
        "kind": "pyspark",
        "archives": [f"s3a://ml/envs/{'c' * 64}.tar.gz#environment"],
        "conf": {
            "spark.pyspark.python": "./environment/bin/python",
            "spark.pyspark.driver.python": "./environment/bin/python",
            "spark.yarn.appMasterEnv.PYSPARK_PYTHON": "./environment/bin/python",
        },
    } == json.loads(settings_text(found))


def test_ray_takes_prefix_zip_or_launcher() -> None:
    """A prefix by its path, a zip as working_dir, a launcher by a shell; the text is a ray.init."""
    zipped = replace(S3, uri=S3.uri.replace("tar.gz", "zip"), format="zip")

    assert {"py_executable": "/envs/ranker/bin/python"} == of("ray").runtime_env
    assert {"working_dir": zipped.uri, "py_executable": "./bin/python"} == of("ray", "archive", zipped).runtime_env
    assert {"py_executable": f"/bin/sh {SCRIPT}"} == of("ray", "launcher").runtime_env
    carried = of("ray", "launcher", launcher="s3://ml/envs/nbplat-python-01.zip")
    assert "/bin/sh ./nbplat-python-01" == carried.runtime_env["py_executable"]
    assert f"ray.init(runtime_env={dict(carried.runtime_env)!r})" in settings_text(carried)


def test_a_kernel_runs_the_prefix() -> None:
    """A kernel.json that starts ipykernel in the environment."""
    found = json.loads(settings_text(of("kernel")))
    assert ["/envs/ranker/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"] == found["argv"]


@pytest.mark.parametrize(
    ("target", "way", "archive", "code", "words"),
    [
        ("standalon", "", S3, "env.target", "standalone"),
        ("local", "archive", S3, "env.way", "prefix"),
        ("connect", "launcher", S3, "env.way", "archive"),
        ("ray", "archive", S3, "env.format", "--format zip"),
        ("standalone", "archive", replace(S3, format="tar.zst"), "env.format", "launcher"),
        ("yarn-cluster", "", None, "env.unshipped", "nbplat env pack ranker"),
        ("k8s", "", SHARED, "env.location", "nbplat env push"),
        ("connect", "", S3, "env.location", "nbplat env pull"),
    ],
)
def test_what_a_target_cannot_do_is_refused_with_the_mend(
    target: str, way: str, archive: Shipped | None, code: str, words: str
) -> None:
    """An unknown target, a way that it has not, an archive that it cannot read: each names what to do."""
    with pytest.raises(RequestError) as caught:
        of(target, way, archive)
    assert (code, True) == (caught.value.code, words in caught.value.fix), caught.value


@pytest.mark.parametrize("target", ["local", "kernel"])
def test_a_prefix_that_is_not_here_is_refused(target: str) -> None:
    """Without a build on this machine the command that builds it is named."""
    with pytest.raises(RequestError) as caught:
        settings_for(Asked(replace(REF, prefix=""), target))
    assert ("env.unbuilt", "nbplat env build ranker") == (caught.value.code, caught.value.fix)


def test_a_driver_without_the_environment_is_told_which_python_it_needs() -> None:
    """A session started where the environment is not built says so, and names no driver."""
    found = settings_for(Asked(replace(REF, prefix=""), "standalone", archive=S3))
    assert ("", True) == (found.driver, "Python 3.11" in found.notes[0])


@pytest.mark.parametrize("form", ["python", "submit", "properties", "json"])
def test_every_form_says_every_property(form: str) -> None:
    """Whatever the form, each property and its value are in the text."""
    found = of("standalone")
    text = settings_text(found, form)
    assert [] == [one for pair in found.conf.items() for one in pair if one not in text]


def test_values_with_spaces_survive_a_shell(tmp_path: Path) -> None:
    """The submit form quotes what a shell would cut or run."""
    odd = replace(REF, prefix="/my envs/$(id)'s")
    text = settings_text(settings_for(Asked(odd, "local")), "submit")
    echo = tmp_path / "spark-submit"
    echo.write_text('#!/bin/sh\nprintf "%s\\n" "$PYSPARK_PYTHON" "$@"\n')
    echo.chmod(0o755)

    said = subprocess.run(
        ["sh", "-c", text], capture_output=True, text=True, check=True, env={"PATH": f"{tmp_path}:/bin"}
    )

    assert "/my envs/$(id)'s/bin/python" == said.stdout.splitlines()[0]
    assert "spark.pyspark.python=/my envs/$(id)'s/bin/python" in said.stdout.splitlines()


@pytest.mark.parametrize(("form", "target"), [("yaml", "local"), ("submit", "kernel"), ("properties", "ray")])
def test_a_form_that_a_target_has_not_is_refused(form: str, target: str) -> None:
    """An unknown form, and Spark's forms for what is no Spark, are refused."""
    with pytest.raises(RequestError) as caught:
        settings_text(of(target), form)
    assert "env.form" == caught.value.code


def test_every_target_makes_a_record_that_is_json() -> None:
    """Each target's settings go over HTTP as they are."""
    for target, (ways, _) in TARGETS.items():
        archive = replace(SHARED, uri=SHARED.uri) if target == "connect" else S3
        found = of(target, ways[0], archive)
        assert found.record() == json.loads(json.dumps(found.record()))
        assert (target, target not in ("k8s-cluster", "livy")) == (found.target, found.tested)


@pytest.fixture
def place(packed_seven: PackedEnvironment, tmp_path: Path) -> str:
    """A place that the environment was pushed to."""
    uri = (tmp_path / "place").as_uri()
    push(packed_seven.pack, uri, FsspecDepot(), say=unsaid)
    return uri


def test_an_archive_of_the_store_is_brought_along(packed_seven: PackedEnvironment) -> None:
    """Without a place the newest archive of the store is named; a launcher has it sent with the session."""
    plain = conf(packed_seven.ref, "standalone", packed_seven.store, FsspecDepot())
    cached = conf(
        packed_seven.ref, "standalone", packed_seven.store, FsspecDepot(), cache=NodeCache(folder="/var/cache/x")
    )

    assert packed_seven.pack.archive.as_uri() + "#environment" == plain.conf["spark.archives"]
    script, archive = cached.conf["spark.files"].split(",")
    assert packed_seven.pack.archive.as_uri() == archive
    assert str(packed_seven.pack.archive) not in Path(script).read_text()
    assert (0o755, packed_seven.store.root) == (Path(script).stat().st_mode & 0o777, Path(script).parents[1])


def test_a_place_gives_the_archive_of_the_environment(
    packed_seven: PackedEnvironment, place: str, tmp_path: Path
) -> None:
    """With the place of a push the archive is found by the environment's key; nodes fetch it themselves."""
    store = Store(tmp_path / "env")

    found = conf(packed_seven.ref, "standalone", store, FsspecDepot(), at=place, cache=NodeCache(folder="/var/cache/x"))

    script = Path(found.conf["spark.files"])
    assert f"{place}/{packed_seven.pack.archive.name}" in script.read_text()
    with pytest.raises(NotFound) as caught:
        conf(REF, "standalone", store, FsspecDepot(), at=place)
    assert f"nbplat env push ranker {place}" in caught.value.fix


def test_far_drivers_read_the_launcher_at_the_place(
    packed_seven: PackedEnvironment, place: str, tmp_path: Path
) -> None:
    """For a gateway the launcher is the one that push put beside the archive; another cache puts another one there."""
    store, depot = Store(tmp_path / "env"), FsspecDepot()
    shipped = push(packed_seven.pack, place, depot, say=unsaid)

    plain = conf(packed_seven.ref, "livy", store, depot, way="launcher", at=place)
    other = conf(packed_seven.ref, "livy", store, depot, way="launcher", at=place, cache=NodeCache(keep_days=3))

    assert [shipped.launcher] == plain.body["files"]
    assert shipped.launcher != other.body["files"][0]
    assert b"nb_keep_days=3" in depot.open(other.body["files"][0]).read()
    assert not (store.root / "launchers").exists()


def test_ray_gets_the_launcher_as_a_zip_where_nodes_share_no_path(
    packed_seven: PackedEnvironment, tmp_path: Path
) -> None:
    """On an object store the launcher is put there as a zip, which Ray unpacks for each worker."""
    place, depot = "memory://ray-envs", FsspecDepot()
    push(packed_seven.pack, place, depot, say=unsaid)

    found = conf(packed_seven.ref, "ray", Store(tmp_path / "env"), depot, way="launcher", at=place)

    carrier = found.runtime_env["working_dir"]
    with depot.open(carrier) as file, zipfile.ZipFile(file) as inside:
        [name] = inside.namelist()
    assert f"/bin/sh ./{name}" == found.runtime_env["py_executable"]


def test_a_gateway_is_not_sent_to_this_machine(packed_seven: PackedEnvironment) -> None:
    """Without a place a Livy gateway is refused: it reads no archive of this machine's store."""
    with pytest.raises(RequestError) as caught:
        conf(packed_seven.ref, "livy", packed_seven.store, FsspecDepot())
    assert ("env.unshipped", True) == (caught.value.code, "--at" in caught.value.fix)


def test_settings_for_nothing_packed_say_what_to_do(tmp_path: Path) -> None:
    """Without any archive a cluster's settings are refused with both commands."""
    with pytest.raises(NbplatError) as caught:
        conf(REF, "yarn-cluster", Store(tmp_path / "env"), FsspecDepot())
    assert "env.unshipped" == caught.value.code
