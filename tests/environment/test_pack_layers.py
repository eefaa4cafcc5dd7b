"""Layers are kept: what did not change is not compressed again, and what was damaged is."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbplat.environment.build import BuildDone
from nbplat.environment.pack import pack
from nbplat.environment.pack_record import PackOptions
from nbplat.environment.ports import Phase
from nbplat.environment.store import Store
from nbplat.errors import SetupError
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import build_small
from tests.fixtures.packs import pack_tools, packed, source_of, store_of


def test_one_package_more_compresses_only_that_one(small_channel: SmallChannel, tmp_path: Path) -> None:
    """Of two environments in one store, the second compresses what the first has not."""
    root = tmp_path / "env"
    first = packed(build_small(small_channel, root, "python", "greeter"), Store(root))
    more = packed(build_small(small_channel, root, "python", "greeter", "nbplat-marker ==7.7.7"), Store(root))
    assert first.made == first.layers
    # Its files, and its bytecode.
    assert 2 == more.made == more.layers - first.layers


def test_archives_with_and_without_bytecode_share_the_layers_of_packages(
    small_environment: BuildDone, tmp_path: Path
) -> None:
    """Bytecode lies in layers of its own."""
    store = store_of(small_environment, tmp_path)
    packed(small_environment, store, pyc=False)
    full = packed(small_environment, store)
    assert len(small_environment.built.lock.conda) == full.layers - full.made


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "record"])
def test_damaged_layer_is_made_again(small_environment: BuildDone, tmp_path: Path, damage: str) -> None:
    """A kept layer that was cut short or changed never reaches an archive."""
    store = store_of(small_environment, tmp_path)
    whole = packed(small_environment, store, pyc=False)
    for one in store.packs.glob("made-*"):
        one.unlink()
    part = max(store.members.glob("*.part"), key=lambda path: path.stat().st_size)
    if damage == "gone":
        part.unlink()
    elif damage == "record":
        part.with_suffix(".json").write_text("{")
    else:
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 1
        part.write_bytes(data[:-1] if damage == "cut" else data)
    again = packed(small_environment, store, pyc=False)
    assert whole.sha256 == again.sha256
    assert 1 == again.made


def test_damaged_archive_is_made_again(small_environment: BuildDone, tmp_path: Path) -> None:
    """What was made before is only taken when its bytes are still right."""
    store = store_of(small_environment, tmp_path)
    whole = packed(small_environment, store, pyc=False)
    data = bytearray(whole.archive.read_bytes())
    data[-9] ^= 1
    whole.archive.write_bytes(data)
    again = packed(small_environment, store, pyc=False)
    assert whole.sha256 == again.sha256
    assert 0 == again.made < again.layers


def test_progress_counts_bytes_up_to_the_end(small_environment: BuildDone, tmp_path: Path) -> None:
    """Phases of a pack count bytes of layers, then of the archive, and end at their totals."""
    phases: list[Phase] = []
    options = PackOptions(pyc=False)
    store = store_of(small_environment, tmp_path)
    made = pack(source_of(small_environment), options, store, pack_tools(options), phases.append)
    assert {"pack"} == {phase.name for phase in phases}
    assert all(0 < phase.done <= phase.total for phase in phases)
    assert made.size >= phases[-1].done == phases[-1].total
    assert {"archive"} < {phase.what for phase in phases}


def test_failed_pack_leaves_nothing(
    small_environment: BuildDone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up while the archive is written is said, and leaves neither archive nor scratch."""
    store = store_of(small_environment, tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nbplat.environment.pack.assemble", full)
    with pytest.raises(SetupError) as refused:
        packed(small_environment, store, pyc=False)
    assert "env.space" == refused.value.code
    assert not list(store.tmp.iterdir())
    assert not store.packs.exists()
