"""Checking channels: every kind of damage is found and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nbplat.adapters.conda.channel.check import check_channel
from nbplat.adapters.conda.channel.conda_file import write_package
from nbplat.adapters.conda.channel.index import index_channel
from nbplat.environment.channel.package import Package, PackageFile
from nbplat.errors import NotFound
from tests.fixtures.channels import SmallChannel


def check(channel: SmallChannel) -> list[str]:
    return check_channel(channel.folder, lambda phase: None)


def test_sound_channel_has_only_what_cannot_be_installed_here(small_channel: SmallChannel) -> None:
    """Nothing is damaged in the small channel; the two packages that no machine can have are named with the reason."""
    found = check(small_channel)
    assert ["needs-cuda ==1.0", "needs-new-glibc ==1.0"] == [one.split(" cannot be installed")[0] for one in found]
    assert "__cuda" in found[0]
    assert "__glibc" in found[1]


def _swap(channel: SmallChannel) -> None:
    target, other = channel.package("nbplat-marker-7"), channel.package("nbplat-marker-8")
    target.write_bytes(other.read_bytes())


def _truncate(channel: SmallChannel) -> None:
    target = channel.package("nbplat-marker-7")
    target.write_bytes(target.read_bytes()[:-200])


def _gone(channel: SmallChannel) -> None:
    channel.package("nbplat-marker-7").unlink()


def _unlisted(channel: SmallChannel) -> None:
    index = channel.folder / "noarch" / "repodata.json"
    told = json.loads(index.read_text())
    del told["packages.conda"][channel.package("nbplat-marker-7").name]
    index.write_text(json.dumps(told))


def _other_need(channel: SmallChannel) -> None:
    index = channel.folder / "noarch" / "repodata.json"
    told = json.loads(index.read_text())
    told["packages.conda"][channel.package("nbplat-marker-7").name]["depends"] = []
    index.write_text(json.dumps(told))


def _torn_index(channel: SmallChannel) -> None:
    packed = channel.folder / "noarch" / "repodata.json.zst"
    packed.write_bytes(packed.read_bytes()[:20])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_swap, "it is not the file of the repodata"),
        (_truncate, "it is not the file of the repodata"),
        (_gone, "the repodata has it and the folder has not"),
        (_unlisted, "the repodata does not have it"),
        (_other_need, "it says something else of itself than the repodata"),
        (_torn_index, "repodata.json.zst cannot be read"),
    ],
)
def test_damage_is_named(
    damage: Callable[[SmallChannel], None], said: str, small_channel: SmallChannel, tmp_path: Path
) -> None:
    """A swapped, truncated, lost or unlisted package and a torn index are each named."""
    broken = small_channel.copy(tmp_path / "channel")
    damage(broken)
    found = check(broken)
    assert any(said in one for one in found), found
    assert all("nbplat-marker-7" in one or "repodata.json.zst" in one for one in found)


def test_content_that_is_not_listed_is_named(tmp_path: Path) -> None:
    """A package whose files are not those of its own list is named, even where the index has its hash."""
    import io
    import tarfile
    import zipfile

    import zstandard

    folder = tmp_path / "channel"
    made = write_package(Package("toy", "1.0", "noarch"), [PackageFile("a", lambda: b"x")], folder, tmp_path / "tmp")
    path = folder / "noarch" / made.file_name
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    [payload] = [name for name in parts if name.startswith("pkg-")]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in (("a", b"evil"), ("b", b"")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    parts[payload] = zstandard.ZstdCompressor().compress(out.getvalue())
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    index_channel(folder, tmp_path / "tmp")
    found = check_channel(folder, lambda phase: None)
    assert ["a is not what the list says", "b is there and not listed"] == [one.split(": ", 1)[1] for one in found]


def test_no_channel_is_refused(tmp_path: Path) -> None:
    """A folder without an index is no channel: refused with the command that makes one."""
    with pytest.raises(NotFound) as caught:
        check_channel(tmp_path, lambda phase: None)
    assert f"make it: nbplat env channel make {tmp_path}" == caught.value.fix
