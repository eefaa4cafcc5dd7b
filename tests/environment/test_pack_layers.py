"""Layers are kept: what did not change is not compressed again, and what was damaged is."""

from __future__ import annotations

import subprocess
import sys
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


_PACK = """
import sys
import subprocess
import sys
from pathlib import Path
from nbplat.adapters.archive import archive_codec
from nbplat.adapters.interpreter.compile_modules import compile_modules
from nbplat.environment.built import read_built
from nbplat.environment.pack import pack
from nbplat.environment.pack_record import PackOptions, PackSource
from nbplat.environment.packing.ports import PackTools
from nbplat.environment.store import Store
options = PackOptions(pyc=False)
source = PackSource.of(read_built(Path(sys.argv[2])))
tools = PackTools(archive_codec("tar.gz", 0), compile_modules, "0")
phases = []
def say(phase):
    if not phases or phases[-1] != phase.what:
        phases.append(phase.what)
        print(phase.name, phase.what, flush=True)
made = pack(source, options, Store(Path(sys.argv[1])), tools, say)
print("made", made.made, made.sha256)
"""


def _start(small_environment: BuildDone, store: Store) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", _PACK, str(store.root), small_environment.ref.prefix]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_two_at_once_pack_once(small_environment: BuildDone, tmp_path: Path) -> None:
    """The second waits for the first and finds its archive."""
    store = store_of(small_environment, tmp_path)
    running = [_start(small_environment, store) for _ in range(2)]
    said = [one.communicate(timeout=120)[0].splitlines()[-1].split() for one in running]
    assert [["0"], [str(len(small_environment.built.lock.conda))]] == sorted(line[1:2] for line in said)
    assert said[0][2] == said[1][2]


@pytest.mark.process
@pytest.mark.parametrize("lines", range(1, 7))
def test_pack_that_was_killed_is_done_by_the_next(small_environment: BuildDone, tmp_path: Path, lines: int) -> None:
    """Killed at any layer, or while the archive is written: the next takes what is finished and sweeps the rest."""
    whole = packed(small_environment, store_of(small_environment, tmp_path / "whole"), pyc=False)
    store = store_of(small_environment, tmp_path / "killed")
    running = _start(small_environment, store)
    assert running.stdout is not None
    for _ in range(lines):
        running.stdout.readline()
    running.kill()
    running.communicate(timeout=60)
    assert whole.sha256 == packed(small_environment, store, pyc=False).sha256
    assert not list(store.tmp.iterdir())
    names = sorted(path.name for path in store.packs.iterdir() if not path.name.startswith("made-"))
    assert [f"{whole.sha256}.tar.gz", f"{whole.sha256}.tar.gz.json"] == names
    parts = {path.stem for path in store.members.glob("*.part")}
    assert parts == {path.stem for path in store.members.glob("*.json")}
