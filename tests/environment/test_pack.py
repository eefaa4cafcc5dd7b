"""Archives of built environments: whoever unpacks them gets one that runs."""

from __future__ import annotations

import json
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nbplat.environment.build import BuildDone
from nbplat.environment.pack_record import Pack
from tests.fixtures.channels import SmallChannel
from tests.fixtures.packs import output, packed, store_of


@pytest.fixture(scope="module")
def archives(small_environment: BuildDone, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pack]:
    """One of each kind, in a store of their own."""
    store = store_of(small_environment, tmp_path_factory.mktemp("packs"))
    made = {one: packed(small_environment, store, format=one) for one in ("tar.gz", "zip", "tar.zst")}
    return {**made, "ray": packed(small_environment, store, target="ray")}


def _gnu_tar(archive: Path, into: Path) -> None:
    subprocess.run(["tar", "-xzf", archive, "-C", into], check=True, timeout=60)


def _tarfile(archive: Path, into: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")


def _zipfile(archive: Path, into: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        assert file.testzip() is None
        file.extractall(into)  # noqa: S202 - our own archive
        for entry in file.infolist():  # Python's own extraction forgets modes
            (into / entry.filename).chmod(entry.external_attr >> 16)


def _unzip(archive: Path, into: Path) -> None:
    subprocess.run(["unzip", "-q", archive, "-d", into], check=True, timeout=60)


def _zstd(archive: Path, into: Path) -> None:
    import zstandard

    with archive.open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            tar.extractall(into, filter="data")


UNPACKERS = [
    pytest.param("tar.gz", _gnu_tar, id="GNU tar"),
    pytest.param("tar.gz", _tarfile, id="tarfile"),
    pytest.param("ray", _gnu_tar, id="without links"),
    pytest.param("zip", _zipfile, id="zipfile"),
    pytest.param("zip", _unzip, id="unzip"),
    pytest.param("tar.zst", _zstd, id="zstd"),
]


@pytest.mark.parametrize(("kind", "unpack"), UNPACKERS)
def test_unpacked_archive_runs_where_it_is(
    archives: dict[str, Pack], kind: str, unpack: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    """Interpreter, its compiled modules, commands and a program with the path inside work, with nothing run before."""
    home = tmp_path / "environment"
    home.mkdir()
    unpack(archives[kind].archive, home)
    modules = "import sys, ssl, sqlite3, ctypes, nbplat_marker; print(sys.prefix, nbplat_marker.__version__)"
    assert f"{home} 7.7.7\n" == output(home / "bin/python", "-c", modules)
    # That first start has put the path into every file that holds one.
    assert f"{home}/etc/demo.conf\nroot={home}\n" == output(home / "bin/prefixdemo")
    assert f"shebang ok {home}\n" == output(home / "bin/demo.sh")
    assert f"hello from {home}\n" == output(home / "bin/greet")
    assert "a b c\n" == output(home / "bin/spell", "abc")


def test_commands_run_before_any_relocation(archives: dict[str, Pack], tmp_path: Path) -> None:
    """Entry points and scripts find the Python beside them, from any folder and through a link."""
    _gnu_tar(archives["tar.gz"].archive, tmp_path)
    link = tmp_path / "elsewhere"
    link.symlink_to(tmp_path / "bin" / "greet")
    for command in ("bin/greet", "elsewhere"):
        assert f"hello from {tmp_path}\n" == output(tmp_path / command, NBPLAT_RELOCATE="0")
    assert f"shebang ok {tmp_path}\n" == output(tmp_path / "bin" / "demo.sh", NBPLAT_RELOCATE="0")
    assert not (tmp_path / ".nbplat" / "prefix").exists()


def test_archives_without_links_hold_files_in_their_place(archives: dict[str, Pack]) -> None:
    """Neither zip nor an archive for Ray holds a link; Spark's holds those of the packages."""
    with tarfile.open(archives["ray"].archive) as tar:
        assert not [one.name for one in tar if one.issym() or one.islnk()]
    with zipfile.ZipFile(archives["zip"].archive) as file:
        assert not [one for one in file.infolist() if (one.external_attr >> 28) == 0o12]
    with tarfile.open(archives["tar.gz"].archive) as tar:
        assert {"bin/python", "bin/python3"} <= {one.name for one in tar if one.issym()}


@pytest.mark.parametrize("kind", ["tar.gz", "ray"])
def test_every_folder_comes_before_what_is_in_it(archives: dict[str, Pack], kind: str) -> None:
    """Unpackers that make no folders by themselves, Spark's Java among them, find each one made."""
    made: set[str] = set()
    with tarfile.open(archives[kind].archive) as tar:
        for one in tar:
            assert one.name.rpartition("/")[0] in made | {""}
            if one.isdir():
                made.add(one.name)


def test_modes_and_owners_are_plain(archives: dict[str, Pack]) -> None:
    """Folders and programs are 0755, other files 0644, all of them of root, and the archive itself can be read."""
    with tarfile.open(archives["tar.gz"].archive) as tar:
        entries = list(tar)
    assert {(0, 0, "", "")} == {(one.uid, one.gid, one.uname, one.gname) for one in entries}
    assert {0o755, 0o644} == {one.mode for one in entries if not one.issym()}
    assert [0o755] == [one.mode for one in entries if one.name == "bin/prefixdemo"]
    assert 0o644 == archives["tar.gz"].archive.stat().st_mode & 0o777
    assert 0o644 == archives["tar.gz"].manifest_file.stat().st_mode & 0o777


def test_zip_deflates_every_file(archives: dict[str, Pack]) -> None:
    """A file is stored as it is only where deflating would not make it smaller."""
    with zipfile.ZipFile(archives["zip"].archive) as file:
        stored = [one for one in file.infolist() if one.compress_type == zipfile.ZIP_STORED and not one.is_dir()]
    assert [] == [one.filename for one in stored if one.file_size > 128]


def test_bytecode_is_used_and_never_checked(archives: dict[str, Pack], small_environment: BuildDone) -> None:
    """Modules come with unchecked bytecode of this Python; tests and files with the path inside come without."""
    version = "".join(small_environment.ref.python.split(".")[:2])
    with tarfile.open(archives["tar.gz"].archive) as tar:
        names = {one.name for one in tar}
        [marker] = [one for one in names if one.endswith(f"nbplat_marker/__pycache__/__init__.cpython-{version}.pyc")]
        content = tar.extractfile(marker)
        assert content is not None
        head = content.read(8)
    assert 1 == int.from_bytes(head[4:8], "little")
    assert not [name for name in names if "_sysconfigdata" in name and name.endswith(".pyc")]
    assert "unchecked-hash" == archives["tar.gz"].manifest["pyc"]


def test_manifest_inside_and_beside_say_the_same(archives: dict[str, Pack], small_environment: BuildDone) -> None:
    """Beside the archive lies the manifest from inside, with the hash that inside cannot know."""
    made = archives["tar.gz"]
    with tarfile.open(made.archive) as tar:
        content = tar.extractfile(".nbplat/manifest.json")
        assert content is not None
        inside = json.load(content)
    beside = json.loads(made.manifest_file.read_text())
    assert made.manifest == beside
    assert {**inside, "archive": beside["archive"], "created_by": "nbplat 0"} == beside
    assert made.sha256 == beside["archive"]["sha256"]
    assert small_environment.ref.key == inside["key"]
    assert small_environment.ref.lock_digest == inside["lock_digest"]
    assert small_environment.ref.python == inside["python"]["version"]
    found = {one["name"]: one["sha256"] for one in inside["packages"]}
    assert {one.name: one.sha256 for one in small_environment.built.lock.conda} == found
    assert inside["bytes"] == sum(one["bytes"] for one in inside["packages"])


def test_archive_says_nothing_of_this_machine(
    archives: dict[str, Pack], small_environment: BuildDone, small_channel: SmallChannel, tmp_path: Path
) -> None:
    """No file of it holds a path of the store or of the channel."""
    _gnu_tar(archives["tar.gz"].archive, tmp_path)
    homes = (str(Path(small_environment.ref.prefix).parents[2]).encode(), str(small_channel.folder).encode())
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [] == [path for path in files if any(home in path.read_bytes() for home in homes)]


def test_same_archive_is_found_made(archives: dict[str, Pack], small_environment: BuildDone) -> None:
    """A second call reads the archive's hash and makes nothing."""
    first = archives["tar.gz"]
    again = packed(small_environment, store_of(small_environment, first.archive.parent.parent))
    assert (first.archive, first.sha256, first.manifest) == (again.archive, again.sha256, again.manifest)
    assert (0, 0) == (again.layers, again.made)
