"""Locking: from declarations over a real channel and real wheels to locks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nbplat.adapters.conda.channel.index import index_channel
from nbplat.adapters.conda.library import RattlerConda
from nbplat.adapters.uv.program import UvPip
from nbplat.environment.channels import ChannelRules, resolve_channels
from nbplat.environment.definition import Definition
from nbplat.environment.lock import Solvers, make_lock
from nbplat.environment.lock_check import check_lock
from nbplat.environment.lock_diff import diff_locks
from nbplat.environment.lock_file import lock_text
from nbplat.environment.lock_read import salvage_lock
from nbplat.environment.lock_record import CondaPackage, Lock
from nbplat.environment.parse import parse_definition
from nbplat.environment.ports import Phase
from nbplat.errors import NbplatError, RequestError
from tests.fixtures.channels import SmallChannel
from tests.fixtures.wheels import make_wheel

Make = Callable[..., Lock]
Declare = Callable[..., Definition]


def ignore(phase: Phase) -> None:
    """Nobody looks."""


@pytest.fixture
def declared(small_channel: SmallChannel, tmp_path: Path) -> Declare:
    """A declaration over the small channel, from its dependencies and what else there is."""

    def make(text: str, *, channel: str = "") -> Definition:
        head = f"name: ranker\nchannels: [{channel or small_channel.url}]\n"
        return parse_definition(head + text, folder=tmp_path)

    return make


@pytest.fixture
def lock(small_channel: SmallChannel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: Declare) -> Make:
    """Lock a declaration or its text; pip's part comes from the wheels of the small channel alone."""
    monkeypatch.setenv("UV_FIND_LINKS", str(small_channel.wheels))
    (tmp_path / "empty-index").mkdir()
    monkeypatch.setenv("UV_DEFAULT_INDEX", (tmp_path / "empty-index").as_uri())

    def make(what: str | Definition, **options: object) -> Lock:
        definition = declared(what) if isinstance(what, str) else what
        channels = resolve_channels(definition.channels, ChannelRules(), definition.folder)
        solvers = Solvers(RattlerConda(tmp_path / "repodata"), UvPip(), channels)
        return make_lock(definition, solvers, say=options.pop("say", ignore), **options)  # type: ignore[arg-type]

    return make


def versions(lock: Lock, platform: str = "") -> dict[str, str]:
    found = lock.platforms[platform] if platform else next(iter(lock.platforms.values()))
    return {one.name: one.version for one in (*found.conda, *found.pip)}


def refused(lock: Make, text: str | Definition, **options: object) -> NbplatError:
    with pytest.raises(NbplatError) as caught:
        lock(text, **options)
    return caught.value


def test_conda_pip_and_local_parts_are_locked(lock: Make, small_channel: SmallChannel, tmp_path: Path) -> None:
    """A lock has conda packages, the pip part pinned with hashes, and local packages by the hash of their source."""
    project = tmp_path / "ranker"
    (project / "ranker").mkdir(parents=True)
    (project / "ranker" / "__init__.py").write_text("")
    (project / "pyproject.toml").write_text(
        '[project]\nname = "Ranker_Core"\nversion = "0.3"\ndependencies = ["pip-demo<2"]\n'
        '[project.optional-dependencies]\nfull = ["pip-needs"]\n'
    )

    found = lock(
        "dependencies: [python, nbplat-marker=7, {pip: [pip-demo]}]\nnbplat: {local: ['./ranker[full]']}\n",
    )

    [platform] = found.platforms.values()
    assert {
        "nbplat-marker": "7.7.7",
        "python": small_channel.python,
        "pip-demo": "1.0",
        "pip-needs": "1.0",
    } == versions(found)
    [demo, _] = platform.pip
    [digest] = demo.hashes
    assert ("pip_demo-1.0-py3-none-any.whl", 64) == (demo.file, len(digest.removeprefix("sha256:")))
    [layer] = platform.local
    assert ("ranker-core", "0.3", "./ranker", ("full",)) == (layer.name, layer.version, layer.path, layer.extras)
    assert small_channel.platform == platform.platform
    assert all(len(one.sha256) == 64 and one.size for one in platform.conda)


def test_same_declaration_gives_the_same_lock(lock: Make) -> None:
    """Locking twice gives equal locks, and an older lock of the same declaration is given back unsolved."""
    text = "dependencies: [python, nbplat-marker=7]\n"
    first = lock(text)
    told: list[Phase] = []

    assert first == lock(text)
    assert first == lock(text, old=first, say=told.append)
    assert [] == told


def test_old_versions_stay_where_they_fit(lock: Make) -> None:
    """A declaration that takes more keeps the old versions, and an upgrade by name or of all moves them."""
    pinned = lock("dependencies: [python, nbplat-marker=7]\n")
    free = "dependencies: [python, nbplat-marker]\n"

    assert "7.7.7" == versions(lock(free, old=pinned))["nbplat-marker"]
    assert "8.8.8" == versions(lock(free, old=pinned, upgrade=["nbplat-marker"]))["nbplat-marker"]
    assert "8.8.8" == versions(lock(free))["nbplat-marker"]
    with pytest.raises(RequestError, match=r"no package 'nbplat-markr' to upgrade.*did you mean nbplat-marker\?"):
        lock(free, old=pinned, upgrade=["nbplat-markr"])


def test_old_pip_versions_stay_where_they_fit(lock: Make) -> None:
    """The pip part keeps old versions too."""
    pinned = lock("dependencies: [python, {pip: [pip-demo<2]}]\n")
    free = "dependencies: [python, {pip: [pip-demo]}]\n"

    assert "1.0" == versions(lock(free, old=pinned))["pip-demo"]
    assert "2.0" == versions(lock(free, old=pinned, upgrade=["pip-demo"]))["pip-demo"]


def test_withdrawn_package_is_not_kept(lock: Make, small_channel: SmallChannel, tmp_path: Path) -> None:
    """A package that the channel no longer has, or has with other bytes, is not taken from the old lock."""
    text = "dependencies: [python, nbplat-marker]\n"
    first = lock(text)
    [platform] = first.platforms.values()
    gone = [
        replace(one, version="9.9.9", file_name="nbplat-marker-9.9.9-py_0.conda", sha256="ab" * 32)
        if one.name == "nbplat-marker"
        else one
        for one in platform.conda
    ]
    old = replace(first, solved_by="0" * 64, platforms={platform.platform: replace(platform, conda=tuple(gone))})

    assert first == lock(text, old=old)


def test_damaged_lock_keeps_its_versions_in_a_new_solve(lock: Make) -> None:
    """A lock with an unsolved merge conflict is made anew with the versions that it still tells."""
    text = "dependencies: [python, nbplat-marker]\n"
    pinned = lock("dependencies: [python, nbplat-marker=7]\n")
    old = salvage_lock(lock_text(pinned).replace("version: 7", "<<<<<<< HEAD\nversion: 7\n=======\n>>>>>>> b", 1))

    found = lock(text, old=old)

    assert "7.7.7" == versions(found)["nbplat-marker"]
    assert () == check_lock(parse_definition(f"name: ranker\nchannels: [{found.channels[0]}]\n{text}"), found)


def test_other_platform_is_solved_from_here(lock: Make, small_channel: SmallChannel) -> None:
    """Platforms that are declared are all locked, each with what it needs of its machines."""
    told: list[Phase] = []

    found = lock("dependencies: [python]\nnbplat: {platforms: [osx-arm64, linux-64]}\n", say=told.append)

    assert ["linux-64", "osx-arm64"] == sorted(found.platforms)
    mac = found.platforms["osx-arm64"]
    assert {"__osx": "11.0"} == dict(mac.virtual)
    assert [(1, 2), (2, 2)] == [(one.done, one.total) for one in told if one.name == "solve" and "packages" in one.what]
    assert {"python": small_channel.python} == versions(found, "osx-arm64")


def test_missing_virtual_package_is_named(lock: Make) -> None:
    """What a machine lacks is said by name with how to declare it, and declaring it mends it."""
    text = "dependencies: [needs-cuda]\n"
    error = refused(lock, text)

    assert "env.virtual" == error.code
    assert "is not known to offer __cuda, and __cuda >=12 is needed" in error.message
    assert "virtual: {linux-64: {__cuda: '12'}}" in error.fix
    found = lock(text + "nbplat: {virtual: {__cuda: 12.4}}\n")
    assert {"__cuda": "12"} == dict(found.platforms["linux-64"].virtual)
    assert "offers __glibc" in refused(lock, "dependencies: [needs-new-glibc]\n").message


def test_unsatisfiable_says_the_short_tree(lock: Make) -> None:
    """Packages that cannot be together are shown as a short tree."""
    error = refused(lock, "dependencies: [python, wants-seven, wants-eight]\n")

    assert "env.unsatisfiable" == error.code
    assert "wants-seven" in error.message
    assert "nbplat-marker" in error.message
    assert len(error.message.splitlines()) < 16


def test_unsatisfiable_names_the_demand_to_loosen(lock: Make) -> None:
    """A demand of the declaration that stands against a package is named in the fix."""
    error = refused(lock, "dependencies: [python, wants-seven, nbplat-marker=8]\n")

    assert "env.unsatisfiable" == error.code
    assert "loosen 'nbplat-marker 8.*'" in error.fix


def test_unknown_package_gets_near_names_and_its_line(lock: Make) -> None:
    """A package that no channel has is refused with the nearest names and its place in the declaration."""
    error = refused(lock, "dependencies:\n- python\n- nbplat_markers\n")

    assert "env.package" == error.code
    assert "did you mean nbplat-marker?" in error.fix
    assert "line 5" in error.where


def test_package_over_conda_is_refused(lock: Make) -> None:
    """What would overwrite a conda package is refused when it is locked, by name; its own version is not."""
    direct = refused(lock, "dependencies: [python, nbplat-marker=7, {pip: ['nbplat-marker>8']}]\n")
    through = refused(lock, "dependencies: [python, nbplat-marker=7, {pip: [clobber]}]\n")

    assert ("env.clobber", "env.clobber") == (direct.code, through.code)
    assert "'nbplat-marker>8' asks for nbplat-marker 9.9.9, and conda installs nbplat-marker 7.7.7" in direct.message
    assert "(clobber) needs nbplat-marker 9.9.9" in through.message
    same = lock("dependencies: [python, nbplat-marker=7, {pip: [nbplat-marker]}]\n")
    assert () == next(iter(same.platforms.values())).pip


def test_local_package_over_conda_is_refused(lock: Make, tmp_path: Path) -> None:
    """A local package with the name of a conda package is refused."""
    make_wheel(tmp_path, "nbplat-marker", "1.0", {"nbplat_marker.py": ""})

    error = refused(
        lock,
        "dependencies: [python, nbplat-marker]\nnbplat: {local: [./nbplat_marker-1.0-py3-none-any.whl]}\n",
    )

    assert "env.clobber" == error.code


def test_pip_part_that_cannot_be_met_says_why(lock: Make) -> None:
    """Requirements that contradict each other are refused with uv's reasons."""
    error = refused(lock, "dependencies: [python, {pip: ['pip-demo>=2', pip-needs]}]\n")

    assert "env.unsatisfiable" == error.code
    assert "pip-needs depend on pip-demo<2" in error.message


@pytest.mark.parametrize(
    ("local", "said"),
    [
        ("./nowhere", "no package at"),
        ("'./ranker[nope]'", "no extra 'nope'"),
        ("./broken", "not TOML"),
        ("./text.whl", "no wheel that can be read"),
    ],
)
def test_bad_local_package_is_refused(lock: Make, tmp_path: Path, local: str, said: str) -> None:
    """A local package that is not there, is broken, or lacks an extra is refused."""
    for name, text in {"ranker": '[project]\nname = "ranker"\nversion = "1"\n', "broken": "[project\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text(text)
    (tmp_path / "text.whl").write_text("no zip")

    error = refused(lock, f"dependencies: [python]\nnbplat: {{local: [{local}]}}\n")

    assert "env.local" == error.code
    assert said in error.message


def test_local_package_needs_a_python(lock: Make, tmp_path: Path) -> None:
    """Local packages without a Python in the environment are refused."""
    make_wheel(tmp_path, "ranker", "1.0", {"ranker.py": ""})

    text = "dependencies: [needs-cuda]\nnbplat: {virtual: {__cuda: 12}, local: [./ranker-1.0-py3-none-any.whl]}\n"
    error = refused(lock, text)

    assert "env.python" == error.code


def test_changed_source_solves_no_more_than_it_must(lock: Make, tmp_path: Path, small_channel: SmallChannel) -> None:
    """A changed source alone solves nothing; changed requirements solve the pip part alone, around the conda part."""
    project = tmp_path / "ranker"
    project.mkdir()
    head = '[project]\nname = "ranker"\nversion = "1"\n'
    (project / "pyproject.toml").write_text(head)
    text = "dependencies: [python]\nnbplat: {local: [./ranker]}\n"
    first = lock(text)
    told: list[Phase] = []

    (project / "more.py").write_text("x = 1\n")
    second = lock(text, old=first, say=told.append)
    assert [] == told
    assert ["~ ranker 1, source changed [local]"] == _changes(first, second)

    (project / "pyproject.toml").write_text(head + 'dependencies = ["pip-demo"]\n')
    third = lock(text, old=second, say=told.append)
    assert {"pip"} == {one.name for one in told}
    assert ["+ pip-demo 2.0 [pip]", "~ ranker 1, source changed [local]"] == _changes(second, third)


def test_one_platform_is_locked_and_the_others_stay(lock: Make) -> None:
    """With `only` the other platforms keep what the old lock has, as long as it is of the same declaration."""
    text = "dependencies: [python]\nnbplat: {platforms: [linux-64, osx-arm64]}\n"
    first = lock(text)
    told: list[Phase] = []
    second = lock(text, old=first, fresh=True, only=["linux-64"], say=told.append)
    assert ["1 platform"] == sorted({f"{one.total} {one.unit}" for one in told if one.name == "solve"})
    assert dict(first.platforms) == dict(second.platforms)

    more = text.replace("[python]", "[python, nbplat-marker]")
    for old in (first, None):
        error = refused(lock, more, old=old, only=["linux-64"])
        assert ("env.lock_old", True) == (error.code, "osx-arm64 cannot stay as locked" in error.message)
    error = refused(lock, text, old=first, only=["linux-46"])
    assert ("env.platform", "did you mean linux-64?") == (error.code, error.fix)


def test_higher_channel_wins(lock: Make, small_channel: SmallChannel, tmp_path: Path, declared: Declare) -> None:
    """A package comes from the first channel that has it, even where a later one has a newer version."""
    first = tmp_path / "first"
    (first / "noarch").mkdir(parents=True)
    package = small_channel.package("nbplat-marker-7.7.7")
    (first / "noarch" / package.name).write_bytes(package.read_bytes())
    index_channel(first, tmp_path / "scratch")
    (tmp_path / "second").symlink_to(small_channel.folder)

    def both(text: str) -> Definition:
        return declared(text, channel="./first, ./second")

    [marker] = [one for one in _packages(lock(both("dependencies: [python, nbplat-marker]\n"))) if "mark" in one.name]
    assert ("./first", "7.7.7") == (marker.channel, marker.version)
    error = refused(lock, both("dependencies: [python, nbplat-marker=8]\n"))
    assert "env.unsatisfiable" == error.code
    assert "strict channel priority" in error.message
    assert "'./second::nbplat-marker 8.*'" in error.fix
    [named] = [
        one for one in _packages(lock(both("dependencies: ['./second::nbplat-marker=8']\n"))) if "mark" in one.name
    ]
    assert ("./second", "8.8.8") == (named.channel, named.version)


def test_version_that_is_not_there_names_those_that_are(lock: Make) -> None:
    """A version that no channel has is refused with the versions that there are, and its place."""
    error = refused(lock, "dependencies: [python, nbplat-marker=9]\n")

    assert "nbplat-marker is there as 8.8.8, 7.7.7" in error.message
    assert "line 3" in error.where


def _packages(lock: Lock) -> tuple[CondaPackage, ...]:
    return next(iter(lock.platforms.values())).conda


def _changes(old: Lock, new: Lock) -> list[str]:
    return [change.text() for one in diff_locks(old, new).platforms for change in one.changes]
