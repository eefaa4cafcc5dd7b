"""Tar and zip as we write them are read by others, for any name and size."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbplat.adapters.archive import archive_codec
from nbplat.environment.packing.files import PackedFile
from nbplat.environment.packing.read_file import FileReader
from nbplat.environment.packing.tar_bytes import PIECE_BYTES, TAR_END, Buffers, tar_header, tar_pieces
from nbplat.environment.packing.zip_bytes import ZipEntry, zip_batch, zip_directory

_PARTS = st.text(st.sampled_from("abZ0._-é漢 "), min_size=1, max_size=90).filter(lambda part: part.strip("."))
_PATHS = st.lists(_PARTS, min_size=1, max_size=6).map("/".join)


def _tar(files: list[PackedFile]) -> bytes:
    pieces = tar_pieces(files, FileReader(""), lambda file, data: None, Buffers())
    return b"".join(bytes(piece.data) for piece in pieces) + TAR_END


@given(path=_PATHS, target=_PATHS, size=st.integers(0, 1 << 40), executable=st.booleans())
def test_any_header_is_read_back(path: str, target: str, size: int, executable: bool) -> None:
    """Long and foreign names, large files, links and folders come out of Python's reader as they went in."""
    file = _read_back(tar_header(path, size=size, executable=executable))
    assert (path, size, executable, True) == (file.name, file.size, bool(file.mode & 0o100), file.isreg())
    link = _read_back(tar_header(path, target=target))
    assert (path, target, True) == (link.name, link.linkname, link.issym())
    folder = _read_back(tar_header(f"{path}/"))
    assert (path, True, 0o755) == (folder.name, folder.isdir(), folder.mode)


def _read_back(header: bytes) -> tarfile.TarInfo:
    with tarfile.open(fileobj=io.BytesIO(header), mode="r:") as tar:
        found = tar.next()
    assert found is not None
    return found


def test_gnu_tar_reads_every_kind_of_header(tmp_path: Path) -> None:
    """The names that need an extended header, by the program that nodes unpack with."""
    names = ["plain", "d" * 150 + "/" + "n" * 90, "long/" + "n" * 180, "ümlaut/漢", "/".join(["deep"] * 60), "a" * 100]
    archive = tmp_path / "names.tar"
    archive.write_bytes(_tar([PackedFile(name, content=name.encode()) for name in names]))
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", out], check=True, timeout=60)
    assert [name.encode() for name in names] == [(out / name).read_bytes() for name in names]


@pytest.mark.parametrize(
    "size", [0, 1, 511, 512, PIECE_BYTES - 1024, PIECE_BYTES - 512, PIECE_BYTES, 3 * PIECE_BYTES + 7]
)
def test_file_of_any_size_lies_whole_in_the_stream(tmp_path: Path, size: int) -> None:
    """Files that just fit into a piece, just do not, or take several, with a small one on each side."""
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "large").write_bytes(content[:size])
    (tmp_path / "small").write_bytes(b"small")
    paths = ("a/small", "b/large", "c/small")
    files = [PackedFile(path, str(tmp_path), path[2:]) for path in paths]
    with tarfile.open(fileobj=io.BytesIO(_tar(files))) as tar:
        found = [tar.extractfile(path) for path in paths]
        assert [b"small", content[:size], b"small"] == [one.read() for one in found if one is not None]


def test_pieces_hold_machine_code_or_texts_and_never_both(tmp_path: Path) -> None:
    """Libraries come last, in pieces of their own; the other pieces are full ones but for the last of each kind."""
    (tmp_path / "x").write_bytes(b"x" * (PIECE_BYTES // 3))
    names = [f"{number}{end}" for number in range(5) for end in (".py", ".so", ".so.1.2")]
    files = [PackedFile(name, str(tmp_path), "x") for name in names]
    pieces = [(piece.machine_code, len(piece.data)) for piece in tar_pieces(files, FileReader(""), _nothing, Buffers())]
    kinds = [machine_code for machine_code, _ in pieces]
    assert sorted(kinds) == kinds
    assert {PIECE_BYTES} == {size for _, size in pieces[: kinds.index(True) - 1]}
    assert {PIECE_BYTES} == {size for _, size in pieces[kinds.index(True) : -1]}


def _nothing(file: PackedFile, data: bytes) -> None:
    """Nothing is relocated."""


@given(contents=st.dictionaries(_PATHS, st.binary(max_size=3000) | st.just(b"x" * 70000), min_size=1, max_size=8))
def test_any_zip_is_read_back(contents: dict[str, bytes]) -> None:
    """Names, bytes, modes and checksums, over several parts put one after the other."""
    codec = archive_codec("zip", 6)
    parts, out = [], b""
    for path, content in contents.items():
        file = PackedFile(path, content=content, executable=len(content) % 2 == 0)
        data, entries = zip_batch([file], FileReader(""), codec.compress, _nothing)
        parts.append((len(out), entries))
        out += data
    with zipfile.ZipFile(io.BytesIO(out + zip_directory(parts))) as archive:
        assert archive.testzip() is None
        assert contents == {one.filename: archive.read(one) for one in archive.infolist()}
        modes = [0o755 if len(content) % 2 == 0 else 0o644 for content in contents.values()]
        assert modes == [one.external_attr >> 16 & 0o777 for one in archive.infolist()]


def test_zip_beyond_four_gigabytes_and_65535_entries_is_listed() -> None:
    """The wide fields stand where the plain ones have no room; Python's reader takes them."""
    large = ZipEntry("large", False, 8, 0, 5 << 30, 6 << 30, 0)
    far = ZipEntry("far", True, 8, 0, 10, 20, 0)
    data = zip_directory([(0, [large]), (5 << 30 | 1 << 20, [far])])
    entries = zipfile.ZipFile(_Sparse(data, (5 << 30) + (1 << 20) + 10 + 33)).infolist()
    assert [(5 << 30, 6 << 30), (10, 20)] == [(one.compress_size, one.file_size) for one in entries]
    assert (5 << 30) + (1 << 20) == entries[1].header_offset
    many = zip_directory([(0, [far._replace(path=str(number)) for number in range(70000)])])
    assert 70000 == len(zipfile.ZipFile(_Sparse(many, 10 + 30 + 5)).infolist())


class _Sparse(io.RawIOBase):
    """The end of a large file; what comes before it is never read."""

    def __init__(self, end: bytes, before: int) -> None:
        self._end, self._before, self._at = end, before, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._before + len(self._end))[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        start = self._at - self._before
        assert start >= 0
        data = self._end[start:] if size < 0 else self._end[start : start + size]
        self._at += len(data)
        return data


@pytest.mark.parametrize("kind", ["tar.gz", "tar.zst", "zip"])
def test_level_decides_about_size(kind: str) -> None:
    """A higher level makes texts smaller; the name tells levels apart."""
    data = b"".join(f"{number * number} is the square of {number}\n".encode() for number in range(40000))
    high, low = archive_codec(kind, 9), archive_codec(kind, 1)
    assert len(high.compress(data, False)) < len(low.compress(data, False))
    assert 3 == len({high.name, low.name, archive_codec(kind, 0).name})


def test_deflate_has_no_header() -> None:
    """Zip holds raw deflate."""
    assert b"hello" == zlib.decompress(bytes(archive_codec("zip", 1).compress(b"hello", False)), -15)
