"""Unpacking verifies first, stays inside its folder, and is done whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nbplat.environment.build import BuildDone
from nbplat.environment.pack_record import Pack
from nbplat.environment.ports import Phase
from nbplat.environment.unpack import archive_manifest, unpack
from nbplat.errors import Conflict, DataError, NbplatError, SetupError
from tests.fixtures.environments import unsaid
from tests.fixtures.packs import output, packed, store_of


@pytest.fixture(scope="module")
def archives(small_environment: BuildDone, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pack]:
    store = store_of(small_environment, tmp_path_factory.mktemp("packs"))
    return {one: packed(small_environment, store, format=one, pyc=False) for one in ("tar.gz", "zip", "tar.zst")}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", ["tar.gz", "zip", "tar.zst"])
def test_every_kind_unpacks_to_an_environment_that_knows_its_folder(
    archives: dict[str, Pack], kind: str, tmp_path: Path
) -> None:
    """Programs with the path inside work at once, and the whole archive is counted."""
    made, phases = archives[kind], list[Phase]()
    home = unpack(made.archive, tmp_path / "a" / "home", made.sha256, phases.append)
    assert tmp_path / "a" / "home" == home
    assert f"{home}/etc/demo.conf\nroot={home}\n" == output(home / "bin/prefixdemo")
    assert f"shebang ok {home}\n" == output(home / "bin/demo.sh")
    assert {"check", "unpack"} == {phase.name for phase in phases}
    assert all(0 <= phase.done <= phase.total == made.size for phase in phases)
    assert [home.name] == [path.name for path in home.parent.iterdir()]


@pytest.mark.parametrize("kind", ["tar.gz", "zip", "tar.zst"])
def test_manifest_is_read_without_unpacking(archives: dict[str, Pack], kind: str) -> None:
    """The manifest inside any kind of archive can be read alone."""
    made = archives[kind]
    inside = archive_manifest(made.archive)
    assert made.manifest == {**inside, "archive": made.manifest["archive"], "created_by": "nbplat 0"}


def test_archive_of_another_hash_is_refused_before_anything_is_written(
    archives: dict[str, Pack], tmp_path: Path
) -> None:
    """One flipped bit is enough; nothing appears beside the folder."""
    changed = tmp_path / "changed.tar.gz"
    data = bytearray(archives["tar.gz"].archive.read_bytes())
    data[len(data) // 2] ^= 1
    changed.write_bytes(data)
    with pytest.raises(DataError) as refused:
        unpack(changed, tmp_path / "home", archives["tar.gz"].sha256, unsaid)
    assert "env.hash" == refused.value.code
    assert archives["tar.gz"].sha256 in refused.value.message
    assert [changed] == list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["tar.gz", "zip", "tar.zst"])
@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_archive_that_ends_early_is_refused(archives: dict[str, Pack], kind: str, kept: float, tmp_path: Path) -> None:
    """An archive that was cut, under a hash that says so was right, leaves no half environment."""
    data = archives[kind].archive.read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(DataError) as refused:
        unpack(cut, tmp_path / "home", _sha256(cut), unsaid)
    assert "env.archive" == refused.value.code
    assert [cut] == list(tmp_path.iterdir())


def test_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    """What has none of the three formats is named."""
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DataError) as refused:
        unpack(tmp_path / "text", tmp_path / "home", _sha256(tmp_path / "text"), unsaid)
    assert "env.archive" == refused.value.code


def test_folder_that_exists_is_refused(archives: dict[str, Pack], tmp_path: Path) -> None:
    """Nothing is unpacked over something."""
    with pytest.raises(Conflict) as refused:
        unpack(archives["zip"].archive, tmp_path, archives["zip"].sha256, unsaid)
    assert "env.exists" == refused.value.code


def test_folder_with_a_longer_path_than_files_have_room_for_is_refused(
    archives: dict[str, Pack], tmp_path: Path
) -> None:
    """Compiled files hold paths of limited length; the refusal says how long, and nothing stays."""
    home = tmp_path / ("x" * 200) / ("y" * 100)
    with pytest.raises(DataError) as refused:
        unpack(archives["tar.gz"].archive, home, archives["tar.gz"].sha256, unsaid)
    assert "env.relocate" == refused.value.code
    assert "shorter" in refused.value.fix
    assert [] == list(home.parent.iterdir())


def test_full_disk_is_said_and_leaves_nothing(
    archives: dict[str, Pack], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up on the way is the machine's fault, and what was unpacked is removed."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nbplat.environment.unpack._write", full)
    with pytest.raises(SetupError) as refused:
        unpack(archives["tar.gz"].archive, tmp_path / "home", archives["tar.gz"].sha256, unsaid)
    assert "env.space" == refused.value.code
    assert [] == list(tmp_path.iterdir())


def _entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


_FOLDER, _LINK, _SAME = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
UNSAFE: dict[str, list[tarfile.TarInfo]] = {
    "parent": [_entry("../evil")],
    "parent inside": [_entry("a/../../evil")],
    "absolute": [_entry("/tmp/evil")],
    "link to the parent": [_entry("a", _LINK, "..")],
    "link out": [_entry("a", _LINK, "b/../../evil")],
    "link to an absolute path": [_entry("a", _LINK, "/etc/passwd")],
    "link to nothing": [_entry("a", _LINK, "")],
    "hard link out": [_entry("a", _SAME, "../evil")],
    "hard link to an absolute path": [_entry("a", _SAME, "/etc/passwd")],
    "hard link to a link": [_entry("a", _LINK, "b"), _entry("c", _SAME, "a")],
    "device": [_entry("a", tarfile.CHRTYPE)],
    "block device": [_entry("a", tarfile.BLKTYPE)],
    "pipe": [_entry("a", tarfile.FIFOTYPE)],
    "file through a link": [_entry("b", _FOLDER), _entry("a", _LINK, "b"), _entry("a/evil")],
    "folder over a link": [_entry("b", _FOLDER), _entry("a", _LINK, "b"), _entry("a", _FOLDER)],
    "file over a link": [_entry("b"), _entry("a", _LINK, "b"), _entry("a")],
    "file twice": [_entry("a"), _entry("a")],
    "back slash": [_entry("..\\evil")],
}


@pytest.mark.parametrize("entries", UNSAFE.values(), ids=UNSAFE.keys())
def test_unsafe_archive_is_refused_whatever_its_hash(entries: list[tarfile.TarInfo], tmp_path: Path) -> None:
    """An entry that would leave the folder, or is no file, folder or link, ends it all; nothing stays."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for entry in entries:
            tar.addfile(entry)
    evil = tmp_path / "in" / "evil.tar.gz"
    evil.parent.mkdir()
    evil.write_bytes(gzip.compress(plain.getvalue()))
    with pytest.raises(NbplatError) as refused:
        unpack(evil, tmp_path / "in" / "home", _sha256(evil), unsaid)
    assert "env.unsafe" == refused.value.code
    assert [evil] == list(evil.parent.iterdir())
    assert [evil.parent] == list(tmp_path.iterdir())


def _zip_name(file: zipfile.ZipFile) -> None:
    file.writestr("../evil", "x")


def _zip_link(file: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("a")
    entry.external_attr = 0o120777 << 16
    file.writestr(entry, "/etc/passwd")


def _zip_device(file: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("a")
    entry.external_attr = 0o020666 << 16
    file.writestr(entry, "")


@pytest.mark.parametrize("write", [_zip_name, _zip_link, _zip_device])
def test_unsafe_zip_is_refused(write: Callable[[zipfile.ZipFile], None], tmp_path: Path) -> None:
    """The same for zip, whose modes can say link and device."""
    evil = tmp_path / "evil.zip"
    with zipfile.ZipFile(evil, "w") as file:
        write(file)
    with pytest.raises(DataError) as refused:
        unpack(evil, tmp_path / "home", _sha256(evil), unsaid)
    assert "env.unsafe" == refused.value.code
    assert [evil] == list(tmp_path.iterdir())


def test_modes_are_plain_whatever_the_archive_says(tmp_path: Path) -> None:
    """Neither set-user bits nor files that anybody may write come out of an archive."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, mode in (("program", 0o6777), ("text", 0o666)):
            entry = _entry(name)
            entry.mode = mode
            tar.addfile(entry)
    archive = tmp_path / "odd.tar.gz"
    archive.write_bytes(gzip.compress(plain.getvalue()))
    home = unpack(archive, tmp_path / "home", _sha256(archive), unsaid)
    assert 0o755 == (home / "program").stat().st_mode & 0o7777
    assert 0o644 == (home / "text").stat().st_mode & 0o7777
