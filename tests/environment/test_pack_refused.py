"""What must not be packed is refused, named, and nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from nbplat.environment.build import BuildDone
from nbplat.environment.pack import pack
from nbplat.environment.pack_record import PackOptions, PackSource
from nbplat.environment.packing.tar_bytes import PIECE_BYTES
from nbplat.environment.store import Store
from nbplat.environment.unpack import unpack
from nbplat.errors import DataError, NbplatError, RequestError, SetupError
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import build_small, unsaid
from tests.fixtures.packs import output, pack_tools, packed, source_of, store_of


@pytest.fixture
def small(small_channel: SmallChannel, tmp_path: Path) -> BuildDone:
    """A build that the test may break."""
    return build_small(small_channel, tmp_path / "env", "python", "prefixdemo", "greeter", "nbplat-marker ==7.7.7")


@dataclass(frozen=True)
class Broken:
    """A copy of a built prefix that the test may break; its files are links, its records are not."""

    source: PackSource
    store: Store

    @property
    def prefix(self) -> Path:
        return self.source.prefix

    def refused(self) -> NbplatError:
        options = PackOptions(pyc=False)
        with pytest.raises(NbplatError) as refused:
            pack(self.source, options, self.store, pack_tools(options), unsaid)
        assert not self.store.packs.exists()
        assert not list(self.store.tmp.glob("*"))
        return refused.value


@pytest.fixture
def broken(small_environment: BuildDone, tmp_path: Path) -> Broken:
    prefix = tmp_path / "prefix"
    shutil.copytree(small_environment.ref.prefix, prefix, symlinks=True, copy_function=os.link)
    shutil.rmtree(prefix / "conda-meta")
    shutil.copytree(Path(small_environment.ref.prefix) / "conda-meta", prefix / "conda-meta")
    return Broken(replace(source_of(small_environment), prefix=prefix), store_of(small_environment, tmp_path / "env"))


def _refused(done: BuildDone, store: Store | None = None, **asked: Any) -> NbplatError:
    store = store or store_of(done)
    with pytest.raises(NbplatError) as refused:
        packed(done, store, **asked)
    assert not list(store.packs.glob("*")) if store.packs.exists() else True
    assert not list(store.tmp.glob("*")) if store.tmp.exists() else True
    return refused.value


OPTIONS = [
    ({"format": "tgz"}, "env.pack_format", "did you mean tar.gz"),
    ({"format": "tar.zst", "target": "spark"}, "env.pack_format", "tar.gz"),
    ({"level": 13}, "env.pack_level", "12"),
    ({"level": -1, "format": "tar.zst"}, "env.pack_level", "22"),
    ({"target": "sparc"}, "env.pack_target", "did you mean spark"),
    ({"threads": -2}, "env.pack_threads", "1 or more"),
]


@pytest.mark.parametrize(("asked", "code", "fix"), OPTIONS)
def test_option_that_cannot_be_is_refused_with_what_can(
    small_environment: BuildDone, tmp_path: Path, asked: dict[str, Any], code: str, fix: str
) -> None:
    """A format, level, target or number of threads that does not exist names those that do."""
    error = _refused(small_environment, store_of(small_environment, tmp_path), **asked)
    assert isinstance(error, RequestError)
    assert code == error.code
    assert fix in error.fix


def _edit(path: Path) -> None:
    """In place, as a careless editor does: every hard link of the file changes."""
    path.write_bytes(path.read_bytes().replace(b"7.7.7", b"6.6.6"))


def _swap(path: Path) -> None:
    """Under another name first: only this link of the file changes."""
    fresh = path.with_name("fresh")
    fresh.write_bytes(path.read_bytes().replace(b"7.7.7", b"6.6.6"))
    fresh.replace(path)


def _marker(done: BuildDone, where: str) -> Path:
    prefix = Path(done.ref.prefix)
    if where == "prefix":
        [found] = prefix.glob("lib/python*/site-packages/nbplat_marker/__init__.py")
    else:
        [found] = (prefix.parent.parent / "pkgs").glob("*/nbplat-marker-*/site-packages/nbplat_marker/__init__.py")
    return found


def test_file_that_was_edited_everywhere_is_refused(small: BuildDone) -> None:
    """A package that was edited through its links is not shipped: the file is named, nothing is written."""
    _edit(_marker(small, "cache"))
    error = _refused(small)
    assert isinstance(error, DataError)
    assert "env.hash" == error.code
    assert "nbplat_marker/__init__.py" in error.message
    assert "verify" in error.fix


@pytest.mark.parametrize("where", ["cache", "prefix"])
def test_file_that_is_right_in_one_place_is_taken_from_there(small: BuildDone, where: str, tmp_path: Path) -> None:
    """An edited file in the cache or in the prefix does not reach the archive while the other one is right."""
    store = store_of(small)
    whole = packed(small, store, pyc=False).sha256
    shutil.rmtree(store.members)
    shutil.rmtree(store.packs)
    _swap(_marker(small, where))
    assert whole == packed(small, store, pyc=False).sha256


def test_prefix_alone_is_enough(small: BuildDone) -> None:
    """Without the package cache the files of the prefix are put back to what their packages hold, hash by hash."""
    store = store_of(small)
    whole = packed(small, store).sha256
    for folder in (store.members, store.packs, store.pkgs):
        shutil.rmtree(folder)
    assert whole == packed(small, store).sha256


def test_file_that_is_gone_everywhere_is_refused(small: BuildDone) -> None:
    """A file that was removed from cache and prefix is named."""
    for where in ("cache", "prefix"):
        _marker(small, where).unlink()
    error = _refused(small)
    assert "env.hash" == error.code
    assert "nbplat_marker/__init__.py" in error.message


@pytest.mark.parametrize("everywhere", [True, False])
def test_large_file_that_was_edited_is_refused(small: BuildDone, everywhere: bool) -> None:
    """A file that is read in pieces, and found to be another one at its end, is read again elsewhere or refused."""
    store = store_of(small)
    whole = packed(small, store, pyc=False).sha256
    shutil.rmtree(store.members)
    shutil.rmtree(store.packs)
    prefix = Path(small.ref.prefix)
    links = [path for path in prefix.rglob("*") if path.is_file() and path.stat().st_nlink > 1]
    largest = max(links, key=lambda path: path.stat().st_size)
    assert largest.stat().st_size > PIECE_BYTES
    [cached] = store.pkgs.glob(f"*/python-*/{largest.relative_to(prefix)}")
    content = bytearray(cached.read_bytes())
    content[-1] ^= 1
    if not everywhere:
        cached.unlink()
    cached.write_bytes(content)
    if not everywhere:
        assert whole == packed(small, store, pyc=False).sha256
        return
    error = _refused(small, pyc=False)
    assert "env.hash" == error.code
    assert largest.name in error.message


def _without_record(prefix: Path) -> None:
    next((prefix / "conda-meta").glob("greeter-*.json")).unlink()


def _other_hash(prefix: Path) -> None:
    path = next((prefix / "conda-meta").glob("greeter-*.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "sha256": "0" * 64}))


def _torn_record(prefix: Path) -> None:
    next((prefix / "conda-meta").glob("greeter-*.json")).write_text("{")


def _one_more(prefix: Path) -> None:
    record = {"name": "stowaway", "sha256": "0" * 64, "paths_data": {"paths": []}}
    (prefix / "conda-meta" / "stowaway-1-0.json").write_text(json.dumps(record))


def _stray_wheel(prefix: Path) -> None:
    info = next(prefix.glob("lib/python*/site-packages")) / "stowaway-1.0.dist-info"
    info.mkdir()
    (info / "RECORD").write_text("stowaway-1.0.dist-info/RECORD,,\n")


@pytest.mark.parametrize(
    ("breaks", "named"),
    [
        (_without_record, "greeter"),
        (_other_hash, "greeter"),
        (_torn_record, "greeter"),
        (_one_more, "stowaway"),
        (_stray_wheel, "stowaway"),
    ],
)
def test_prefix_that_is_not_the_locks_is_refused(broken: Broken, breaks: Callable[[Path], None], named: str) -> None:
    """A package too few, too many or of another hash: named, with how to build it again."""
    breaks(broken.prefix)
    error = broken.refused()
    assert "env.prefix" == error.code
    assert named in error.message
    assert "verify --repair" in error.fix


def test_link_that_leads_out_is_refused(broken: Broken) -> None:
    """A link to a file of the machine cannot travel."""
    python = broken.prefix / "bin" / "python3"
    python.unlink()
    python.symlink_to("/usr/bin/env")
    error = broken.refused()
    assert "env.link" == error.code
    assert "bin/python3" in error.message


def test_link_by_full_path_is_made_relative(broken: Broken, tmp_path: Path) -> None:
    """A link into the prefix by its full path travels as a relative one."""
    python = broken.prefix / "bin" / "python3"
    target = python.readlink()
    python.unlink()
    python.symlink_to(broken.prefix / "bin" / target)
    options = PackOptions(pyc=False)
    made = pack(broken.source, options, broken.store, pack_tools(options), unsaid)
    output("tar", "-xzf", made.archive, "-C", tmp_path, "bin/python3")
    assert target == (tmp_path / "bin" / "python3").readlink()


def test_two_packages_with_one_file_are_refused(broken: Broken) -> None:
    """A file that two packages bring is named with both."""
    path = next((broken.prefix / "conda-meta").glob("greeter-*.json"))
    record = json.loads(path.read_text())
    record["paths_data"]["paths"].append({"_path": "bin/prefixdemo", "path_type": "hardlink"})
    path.write_text(json.dumps(record))
    error = broken.refused()
    assert "env.clobber" == error.code
    assert all(word in error.message for word in ("bin/prefixdemo", "greeter", "prefixdemo"))


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "lib/../../evil", "lib//evil", ""])
def test_package_that_writes_elsewhere_is_refused(broken: Broken, path: str) -> None:
    """A path that leads out of the environment is refused, whatever its package says."""
    file = next((broken.prefix / "conda-meta").glob("greeter-*.json"))
    record = json.loads(file.read_text())
    record["paths_data"]["paths"].append({"_path": path, "path_type": "hardlink"})
    file.write_text(json.dumps(record))
    assert "env.unsafe" == broken.refused().code


def test_store_that_cannot_be_written_is_said(
    small_environment: BuildDone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only store is refused with what to do."""

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(Path, "mkdir", forbidden)
    with pytest.raises(SetupError) as refused:
        packed(small_environment, Store(tmp_path / "env"))
    assert "env.readonly" == refused.value.code


def test_environment_of_another_platform_is_packed_without_bytecode(
    small_environment: BuildDone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no Python here makes its bytecode, an archive comes without, and says so."""
    source, options = source_of(small_environment), PackOptions()
    other = replace(source, lock=replace(source.lock, platform="osx-arm64"))
    tools = replace(pack_tools(options), compile_modules=lambda *_, **__: None)
    made = pack(other, options, store_of(small_environment, tmp_path), tools, unsaid)
    assert "none" == made.manifest["pyc"]
    assert ["no Python of this machine makes its bytecode: packed without"] == list(made.notes)


def test_source_is_what_was_built(small_environment: BuildDone) -> None:
    """Under another name and lock of equal content the archive says those."""
    source = PackSource.of(small_environment.built, "other", "f" * 64)
    assert ("other", "f" * 64, small_environment.ref.key) == (source.name, source.lock_digest, source.key)
    assert small_environment.ref.python.startswith(f"{source.python}.")
    assert os.fspath(source.prefix) == small_environment.ref.prefix


def test_interpreter_cannot_be_left_out(small_environment: BuildDone, tmp_path: Path) -> None:
    """Globs that take the Python along are refused."""
    error = _refused(small_environment, store_of(small_environment, tmp_path), drop=("bin/*",))
    assert "env.pack_drop" == error.code
    assert "bin/*" in error.message


def test_environment_that_came_as_an_archive_is_packed_as_that(small_environment: BuildDone, tmp_path: Path) -> None:
    """Its packages were never here; the archive it came in is given back, and another kind is refused."""
    made = packed(small_environment, store_of(small_environment, tmp_path / "there"), pyc=False)
    store = Store(tmp_path / "here")
    pulled = replace(source_of(small_environment), key=made.sha256, prefix=store.prefix(made.sha256))
    unpack(made.archive, pulled.prefix, made.sha256, unsaid)
    options = PackOptions()
    with pytest.raises(RequestError) as refused:
        pack(pulled, options, store, pack_tools(options), unsaid)
    assert "env.pulled" == refused.value.code
    store.packs.mkdir()
    shutil.copy(made.archive, store.packs)
    shutil.copy(made.manifest_file, store.packs)
    again = pack(pulled, options, store, pack_tools(options), unsaid)
    assert (made.sha256, made.size, made.manifest) == (again.sha256, again.size, again.manifest)
    assert again.archive.parent == store.packs
