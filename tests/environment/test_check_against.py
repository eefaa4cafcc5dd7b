"""`env check`: an environment against a machine, an interpreter, another environment, an archive."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.fsspec.depot import FsspecDepot
from nbplat.adapters.interpreter.probe import probe_interpreter
from nbplat.compose import open_platform
from nbplat.config import load_config
from nbplat.environment.archive_facts import read_manifest
from nbplat.environment.build import BuildDone
from nbplat.environment.check_against import Checker, Cluster
from nbplat.environment.definition import Targets
from nbplat.environment.find import find_environment
from nbplat.environment.store import Store
from nbplat.environment.store_health import store_health
from nbplat.errors import DataError, NbplatError, NotFound, SetupError
from nbplat.remote.probe import probe
from nbplat.terms import EnvironmentRef
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import build_small
from tests.fixtures.interpreters import make_venv


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("check") / "env"


@pytest.fixture(scope="module")
def seven(small_channel: SmallChannel, root: Path) -> BuildDone:
    return build_small(small_channel, root, "python", "nbplat-marker ==7.7.7", "greeter", name="seven")


@pytest.fixture(scope="module")
def eight(small_channel: SmallChannel, root: Path) -> EnvironmentRef:
    return build_small(small_channel, root, "python", "nbplat-marker ==8.8.8", name="eight").ref


def no_cluster(engine: str) -> Cluster:
    raise AssertionError(f"{engine} is asked")


def checker(root: Path, **more: Any) -> Checker:
    store = Store(root)

    def locked(ref: EnvironmentRef) -> Any:
        built = store.built(ref.key)
        return built.lock if built else None

    parts: dict[str, Any] = {
        "probe": probe_interpreter,
        "find": lambda name: find_environment(store, name),
        "lock_of": locked,
        "manifest": lambda archive: read_manifest(archive, FsspecDepot()),
        "cluster": no_cluster,
        "this_python": sys.executable,
    }
    return Checker(**parts | more)


def manifest(done: BuildDone, **changed: Any) -> dict[str, Any]:
    """What `env pack` writes, as far as it is read here."""
    lock = done.built.lock
    made = {
        "name": done.ref.name,
        "key": done.ref.key,
        "platform": lock.platform,
        "virtual": dict(lock.virtual),
        "python": {"version": lock.python},
        "packages": [
            {"name": one.name, "version": one.version, "build": one.build, "kind": "conda"} for one in lock.conda
        ],
        "format": "tar.gz",
        "links": True,
    }
    return made | changed


def test_an_environment_of_this_machine_fits_it(seven: BuildDone, root: Path) -> None:
    """Nothing is found, and the report says what was looked at."""
    report = checker(root).check(seven.ref)
    assert report.fits
    assert () == report.findings
    assert "this machine" == report.against
    assert any("glibc" in looked for looked in report.checked)


def test_targets_are_checked_with_it(seven: BuildDone, root: Path) -> None:
    """Declared for Ray, it must hold ray."""
    report = checker(root).check(seven.ref, targets=Targets(ray="2.60"))
    assert [("target", "ray")] == [(one.rule, one.package) for one in report.errors]
    assert "nbplat env add seven" in report.errors[0].fix


def test_two_environments_are_compared_package_by_package(seven: BuildDone, eight: EnvironmentRef, root: Path) -> None:
    """The marker has another version, the greeter is missing there; neither stops a job."""
    report = checker(root).check(seven.ref, "eight")
    assert report.fits
    assert [("greeter", "missing"), ("nbplat-marker", "version")] == [
        (one.name, one.kind) for one in report.differences
    ]
    assert "nbplat-marker 7.7.7/8.8.8" in report.warnings[0].message


def test_a_folder_and_an_interpreter_mean_the_same(seven: BuildDone, root: Path, tmp_path: Path) -> None:
    """Its python and its packages are compared; paths need not be of an environment of ours."""
    python = make_venv(tmp_path / "venv", "numpy")
    for against in (tmp_path / "venv", python):
        report = checker(root).check(seven.ref, str(against))
        assert f"the interpreter {python}" == report.against
        assert {"nbplat-marker": "missing", "numpy": "extra"}.items() <= {
            one.name: one.kind for one in report.differences
        }.items()


def test_another_python_is_an_error_against_an_interpreter_and_a_word_against_the_machine(
    seven: BuildDone, root: Path
) -> None:
    """As the driver of one job it cannot be; that our own process is another Python is told only."""

    def older(interpreter: str) -> Mapping[str, Any]:
        record = probe_interpreter(interpreter)
        return record if interpreter == seven.ref.interpreter else {**record, "python": "3.9.18"}

    checked = checker(root, probe=older)
    against = checked.check(seven.ref, sys.executable)
    assert ["python"] == [one.rule for one in against.errors]
    alone = checked.check(seven.ref)
    assert alone.fits
    assert ["python"] == [one.rule for one in alone.warnings]
    assert "nbplat env kernel seven" in alone.warnings[0].fix


def packed(folder: Path, name: str, content: Mapping[str, Any]) -> Path:
    """An archive that holds its manifest."""
    data = json.dumps(content).encode()
    path = folder / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as made:
            made.writestr(".nbplat/manifest.json", data)
    else:
        with tarfile.open(path, "w:gz") as tar:
            entry = tarfile.TarInfo(".nbplat/manifest.json")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def test_an_archive_is_checked_by_its_manifest(seven: BuildDone, root: Path, tmp_path: Path) -> None:
    """Read from inside, or from the file beside; the archive of the environment itself has no difference."""
    for name in ("fraud.tar.gz", "fraud.zip"):
        archive = packed(tmp_path, name, manifest(seven, links=False))
        report = checker(root).check(seven.ref, str(archive))
        assert ((), ()) == (report.findings, report.differences)
    (tmp_path / "other.tar.zst").write_bytes(b"whatever")
    other = manifest(seven, python={"version": "3.99.0"})
    (tmp_path / "other.tar.zst.json").write_text(json.dumps(other))
    report = checker(root).check(seven.ref, str(tmp_path / "other.tar.zst"))
    assert ["python"] == [one.rule for one in report.errors]


def test_an_archive_at_a_place_is_checked_by_uri(seven: BuildDone, root: Path) -> None:
    """What a push left at a place is enough: the archive itself is not fetched."""
    depot, name = FsspecDepot(), f"{'a' * 64}.tar.gz"
    depot.write(f"memory://check/{name}", b"an archive")
    depot.write(f"memory://check/{name}.json", json.dumps(manifest(seven)).encode())
    report = checker(root).check(seven.ref, f"memory://check/{name}")
    assert report.fits
    assert () == report.differences


@pytest.mark.parametrize(
    ("changed", "targets", "refused"),
    [
        ({"links": True}, Targets(), False),
        ({"links": True}, Targets(ray="2.60.0"), True),
        ({"format": "zip", "links": True}, Targets(), True),
        ({"format": "zip", "links": False}, Targets(), False),
    ],
)
def test_links_in_an_archive_are_refused_for_what_cannot_have_them(
    seven: BuildDone, root: Path, tmp_path: Path, changed: dict[str, Any], targets: Targets, refused: bool
) -> None:
    """A zip with links, and any archive with links for Ray."""
    archive = packed(tmp_path, "fraud.tar.gz", manifest(seven, **changed))
    report = checker(root).check(seven.ref, str(archive), targets)
    assert refused == ("links" in [one.rule for one in report.errors])


def test_an_environment_that_is_not_built_here_is_checked_by_its_lock(seven: BuildDone, root: Path) -> None:
    """One for another platform is refused by name of both; without a lock it must be built first."""
    lock = replace(seven.built.lock, platform="osx-arm64")
    away = replace(seven.ref, prefix="", platform="osx-arm64")
    report = checker(root, lock_of=lambda ref: lock).check(away)
    [finding] = report.errors
    assert "the environment seven is built for osx-arm64" in finding.message
    with pytest.raises(NotFound) as caught:
        checker(root, lock_of=lambda ref: None).check(away)
    assert "nbplat env build seven" == caught.value.fix


@pytest.mark.parametrize(
    ("against", "code"),
    [
        ("./no/such/python", "env.against"),
        ("./no-such-archive.tar.gz", "env.against"),
        ("nobody", "env.unknown"),
        (f"memory://check/{'b' * 64}.tar.gz", "env.shipped"),
        ("memory://check/fraud.tar.gz", "env.location"),
        ("nowhere://check/fraud.tar.gz", "env.location"),
    ],
)
def test_what_cannot_be_found_is_refused_with_what_can(seven: BuildDone, root: Path, against: str, code: str) -> None:
    """Paths, names and URIs that lead nowhere each have their code and a mend."""
    with pytest.raises(NbplatError) as caught:
        checker(root).check(seven.ref, against)
    assert code == caught.value.code
    assert caught.value.fix


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b broken", b"not an archive at all"])
def test_an_archive_that_cannot_be_read_is_refused(
    seven: BuildDone, root: Path, tmp_path: Path, content: bytes
) -> None:
    """Torn and foreign files are no archive of ours."""
    for name in ("torn.tar.gz", "torn.zip", "torn.tar.zst"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as caught:
            checker(root).check(seven.ref, str(tmp_path / name))
        assert "env.manifest" == caught.value.code


def cluster(engine: str = "spark", **changed: Any) -> Cluster:
    """An engine whose driver and one worker are this interpreter."""
    here = dict(probe())
    parts: dict[str, Any] = {
        "engine": engine,
        "where": "spark://head:7077",
        "version": here["packages"]["pyspark" if engine == "spark" else "ray"][0],
        "driver": here,
        "workers": (here,),
        "here": False,
    }
    return Cluster(**parts | changed)


def test_a_cluster_whose_workers_are_to_run_in_it_needs_the_same_python(seven: BuildDone, root: Path) -> None:
    """Another minor version is refused before a session is; this one is the same."""
    report = checker(root, cluster=cluster).check(seven.ref, "spark")
    assert report.fits
    older = {**probe(), "python": "3.10.4"}
    report = checker(root, cluster=lambda engine: cluster(driver=older)).check(seven.ref, "spark")
    assert {"python"} == {one.rule for one in report.errors}
    assert "Spark at spark://head:7077" == report.against


def test_workers_that_spark_refused_are_told_with_their_python(seven: BuildDone, root: Path) -> None:
    """They ran nothing, so their version is all that is known."""
    refused = cluster(workers=(), worker_python="3.9")
    report = checker(root, cluster=lambda engine: refused).check(seven.ref, "spark")
    assert any("Spark's workers run Python 3.9" in one.message for one in report.errors)


def test_a_node_of_the_cluster_that_is_too_old_is_named(seven: BuildDone, root: Path) -> None:
    """Every node is held against what the environment asks."""
    old = {**probe(), "node": "node9", "platform": "linux-aarch64"}
    nodes = cluster(workers=(probe(), old))
    report = checker(root, cluster=lambda engine: nodes).check(seven.ref, "spark")
    assert ["platform"] == [one.rule for one in report.errors]
    assert "node9" in report.errors[0].message


def test_ray_elsewhere_needs_ray_in_the_environment(seven: BuildDone, root: Path) -> None:
    """Its workers are the environment's own Python; beside workers of this machine it is not needed."""
    report = checker(root, cluster=lambda engine: cluster("ray")).check(seven.ref, "ray")
    assert ["ray"] == [one.rule for one in report.errors]
    here = cluster("ray", here=True, where="this machine")
    assert checker(root, cluster=lambda engine: here).check(seven.ref, "ray").fits


def test_the_record_is_json(seven: BuildDone, eight: EnvironmentRef, root: Path) -> None:
    """What surfaces show can be sent as it is."""
    record = checker(root).check(seven.ref, "eight").record()
    assert record == json.loads(json.dumps(record))
    assert record["fits"]


def test_doctor_says_what_environments_stand_on(tmp_path: Path, small_channel: SmallChannel) -> None:
    """The machine as conda names it, the solver, uv, and the store: how many are built, or that none can be."""
    platform = open_platform(load_config({"home": str(tmp_path / "home")}, environ={}, cwd=tmp_path))
    said = {name: check() for name, check in platform.environment_checks()}
    assert {"machine", "py-rattler", "uv", "environment store"} == said.keys()
    assert small_channel.platform in said["machine"]
    assert "nothing is built yet" in said["environment store"]
    build_small(small_channel, tmp_path / "home" / "env", "nbplat-marker")
    assert dict(platform.environment_checks())["environment store"]().startswith("ok, 1 environment in ")


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is built runs; the mend is another state folder."""
    (tmp_path / "env").mkdir()
    # The tests may run as a user who may write everywhere.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(SetupError) as caught:
        store_health(Store(tmp_path / "env"))
    assert "env.readonly" == caught.value.code
    assert "NBPLAT_HOME" in caught.value.fix
