"""What a build refuses: named, with the mend, and with nothing half-built left."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nbplat.environment.build import build
from nbplat.environment.lock_record import CondaPackage, Lock, PlatformLock
from nbplat.environment.ports import Channel
from nbplat.environment.store import Store
from nbplat.errors import DataError, NbplatError, RemoteError, RequestError, SetupError
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import lock_small, small_tools, unsaid

_SPECS = ("python", "nbplat-marker ==7.7.7")


@pytest.fixture
def broken(small_channel: SmallChannel, tmp_path: Path) -> SmallChannel:
    """A channel of the same packages that the test may break, after it was locked."""
    return small_channel.copy(tmp_path / "channel")


def _nothing_left(root: Path) -> None:
    store = Store(root)
    assert [] == store.every()
    assert [] == (list(store.envs.iterdir()) if store.envs.is_dir() else [])
    assert [] == (list(store.tmp.iterdir()) if store.tmp.is_dir() else [])


def _refused(channel: SmallChannel, lock: Lock, root: Path, kind: type[NbplatError], **options: bool) -> NbplatError:
    with pytest.raises(kind) as caught:
        build(lock, "", small_tools(channel, root), folder=root, say=unsaid, **options)
    _nothing_left(root)
    return caught.value


def _with(lock: Lock, change: Callable[[CondaPackage], CondaPackage | None]) -> Lock:
    """The lock with one package changed, or left out."""
    [platform] = lock.platforms.values()
    conda = tuple(changed for one in platform.conda if (changed := change(one)) is not None)
    return replace(lock, platforms={platform.platform: replace(platform, conda=conda)})


def test_swapped_package_of_a_local_channel_is_refused(broken: SmallChannel, tmp_path: Path) -> None:
    """A file with other bytes under the locked name is named with both hashes, and nothing is installed."""
    lock = lock_small(broken, *_SPECS)
    shutil.copy(broken.package("nbplat-marker-8.8.8"), broken.package("nbplat-marker-7.7.7"))
    error = _refused(broken, lock, tmp_path / "env", DataError)
    assert "env.hash" == error.code
    assert "nbplat-marker-7.7.7" in error.message
    assert broken.package("nbplat-marker-7.7.7").name in error.where


def test_truncated_package_is_refused(broken: SmallChannel, tmp_path: Path) -> None:
    """A torn copy is named with how much of it is there."""
    lock = lock_small(broken, *_SPECS)
    python = broken.package("python")
    whole = python.read_bytes()
    python.write_bytes(whole[: len(whole) // 2])
    error = _refused(broken, lock, tmp_path / "env", DataError)
    assert "env.hash" == error.code
    assert f"truncated: {len(whole) // 2} of {len(whole)} bytes" in error.message


def test_lost_package_is_refused(broken: SmallChannel, tmp_path: Path) -> None:
    """A package that the channel no longer has is named."""
    lock = lock_small(broken, *_SPECS)
    broken.package("nbplat-marker-7.7.7").unlink()
    error = _refused(broken, lock, tmp_path / "env", RemoteError)
    assert "env.channel" == error.code
    assert "nbplat-marker-7.7.7" in error.message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda one: replace(one, sha256=""), "no sha256 of"),
        (lambda one: replace(one, version="6.6.6") if one.name == "nbplat-marker" else one, "version '6.6.6'"),
        (lambda one: None if one.name == "python" else one, "python"),
        (lambda one: replace(one, file_name=f"../{one.file_name}"), "a file name of"),
    ],
    ids=["no hash", "another version", "a needed package left out", "a path for a name"],
)
def test_edited_lock_is_refused(
    small_channel: SmallChannel,
    tmp_path: Path,
    change: Callable[[CondaPackage], CondaPackage | None],
    says: str,
) -> None:
    """A lock that contradicts its packages, or itself, is refused with the command that writes it anew."""
    lock = _with(lock_small(small_channel, *_SPECS), change)
    error = _refused(small_channel, lock, tmp_path / "env", DataError)
    assert "env.lock" == error.code
    assert says in error.message
    assert "nbplat env lock" in error.fix


def test_lock_with_two_versions_of_a_package_is_refused(small_channel: SmallChannel, tmp_path: Path) -> None:
    """Two packages of one name are no environment."""
    seven = lock_small(small_channel, "python", "nbplat-marker ==7.7.7").platforms[small_channel.platform]
    eight = lock_small(small_channel, "nbplat-marker ==8.8.8").platforms[small_channel.platform]
    both = PlatformLock(small_channel.platform, {}, (*seven.conda, *eight.conda[:1]))
    lock = replace(lock_small(small_channel, *_SPECS), platforms={small_channel.platform: both})
    assert "env.lock" == _refused(small_channel, lock, tmp_path / "env", DataError).code


def test_platform_that_the_lock_lacks_is_refused(small_channel: SmallChannel, tmp_path: Path) -> None:
    """The refusal names the platform and where it is declared."""
    with pytest.raises(RequestError) as caught:
        build(
            lock_small(small_channel, *_SPECS),
            "win-64",
            small_tools(small_channel, tmp_path / "env"),
            folder=tmp_path,
            say=unsaid,
        )
    assert "env.platform" == caught.value.code
    assert "win-64" in caught.value.message


def test_python_that_does_not_start_is_refused(small_channel: SmallChannel, tmp_path: Path) -> None:
    """A python package without its library is found out at once, in the words of the loader."""
    from nbplat.adapters.conda.library import RattlerConda

    class Robbed(RattlerConda):
        def install(self, packages, channels, prefix, store, **rest):  # type: ignore[no-untyped-def]
            done = super().install(packages, channels, prefix, store, **rest)
            shutil.rmtree(next(prefix.glob("lib/python*")) / "encodings")
            return done

    root = tmp_path / "env"
    tools = replace(small_tools(small_channel, root), conda=Robbed(root / "repodata"))
    with pytest.raises(DataError) as caught:
        build(lock_small(small_channel, *_SPECS), "", tools, folder=root, say=unsaid)
    assert "env.python" == caught.value.code
    _nothing_left(root)


def test_offline_names_the_package_that_is_not_here(small_channel: SmallChannel, tmp_path: Path) -> None:
    """Without the network, a package that is neither stored nor in a local channel is named."""
    tools = replace(
        small_tools(small_channel, tmp_path / "env"),
        channels=(Channel("small", "https://conda.example.invalid/small"),),
    )
    with pytest.raises(RemoteError) as caught:
        build(lock_small(small_channel, *_SPECS), "", tools, folder=tmp_path, offline=True, say=unsaid)
    assert "env.channel" == caught.value.code
    assert "offline" in caught.value.message
    _nothing_left(tmp_path / "env")


def test_offline_builds_from_what_the_store_holds(small_channel: SmallChannel, tmp_path: Path) -> None:
    """Packages that another environment fetched are enough."""
    tools = small_tools(small_channel, tmp_path / "env")
    build(lock_small(small_channel, *_SPECS, "greeter"), "", tools, folder=tmp_path, say=unsaid)
    away = replace(tools, channels=(Channel("small", "https://conda.example.invalid/small"),))
    done = build(lock_small(small_channel, *_SPECS), "", away, folder=tmp_path, offline=True, say=unsaid)
    assert not done.found
    assert 0 == done.installed.fetched_bytes


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB: too small for what the packages become, large enough for the packages."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)], capture_output=True, check=False, timeout=20
    )
    if mounted.returncode:
        pytest.skip("mounting a disk takes an administrator")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True, timeout=20)


def test_full_disk_is_refused_and_left_clean(small_channel: SmallChannel, small_disk: Path) -> None:
    """A disk that fills up while packages are unpacked: said with what is free, and everything unfinished is gone."""
    error = _refused(small_channel, lock_small(small_channel, *_SPECS), small_disk / "env", SetupError)
    assert "env.space" == error.code
    assert "MB are free" in error.message
    assert "nbplat env gc" in error.fix


def test_disk_that_cannot_hold_the_packages_is_refused_before_a_byte_is_fetched(
    small_channel: SmallChannel, small_disk: Path
) -> None:
    """What is needed at least is compared with what is free."""
    (small_disk / "filler").write_bytes(bytes(15 << 20))
    error = _refused(small_channel, lock_small(small_channel, *_SPECS), small_disk / "env", SetupError)
    assert "env.space" == error.code
    assert "are needed at least" in error.message


def test_read_only_store_is_refused_but_serves_what_it_holds(small_channel: SmallChannel, tmp_path: Path) -> None:
    """Nothing can be built in a store that cannot be written; what is built there is found."""
    root = tmp_path / "env"
    held = lock_small(small_channel, *_SPECS)
    build(held, "", small_tools(small_channel, root), folder=root, say=unsaid)
    mounted = subprocess.run(["mount", "--bind", root, root], capture_output=True, check=False, timeout=20)
    if mounted.returncode:
        pytest.skip("mounting takes an administrator")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", root], check=True, timeout=20)
        assert build(held, "", small_tools(small_channel, root), folder=root, say=unsaid).found
        with pytest.raises(SetupError) as caught:
            build(
                lock_small(small_channel, *_SPECS, "greeter"),
                "",
                small_tools(small_channel, root),
                folder=root,
                say=unsaid,
            )
    finally:
        subprocess.run(["umount", "-l", root], check=True, timeout=20)
    assert "env.readonly" == caught.value.code
    assert "NBPLAT_HOME" in caught.value.fix


def test_packages_on_another_disk_are_copied(small_channel: SmallChannel, tmp_path: Path, small_disk: Path) -> None:
    """Where hard links are impossible the files are copies, and the result says so."""
    root = tmp_path / "env"
    (root / "envs").mkdir(parents=True)
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True, timeout=20)
    (root / "envs").rmdir()
    (root / "envs").symlink_to(small_disk)
    done = build(lock_small(small_channel, *_SPECS), "", small_tools(small_channel, root), folder=root, say=unsaid)
    assert not done.built.linked
    assert not done.installed.linked


def test_path_that_is_too_long_for_a_package_is_refused(small_channel: SmallChannel, tmp_path: Path) -> None:
    """A prefix that does not fit where a compiled package leaves room is refused with the setting to change."""
    root = tmp_path / "/".join(["long" * 12] * 5) / "env"
    error = _refused(small_channel, lock_small(small_channel, "python", "prefixdemo"), root, SetupError)
    assert "env.prefix" == error.code
    assert "NBPLAT_HOME" in error.fix
