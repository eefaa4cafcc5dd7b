"""Looking after environments that came as archives."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from nbplat.adapters.archive.codecs import archive_codec
from nbplat.adapters.fsspec.depot import FsspecDepot
from nbplat.adapters.interpreter.compile_modules import compile_modules
from nbplat.clock import SystemClock
from nbplat.environment.build import BuildDone, BuildTools
from nbplat.environment.built import Built
from nbplat.environment.gc import GcRules, plan_gc
from nbplat.environment.pack import pack
from nbplat.environment.pack_record import PackOptions, PackSource
from nbplat.environment.packing.ports import PackTools
from nbplat.environment.pull import pull
from nbplat.environment.ship import push
from nbplat.environment.store import Store
from nbplat.environment.store_index import StoreIndex
from nbplat.environment.verify import repair, verify
from nbplat.errors import NotFound
from nbplat.testing import FakeClock
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import small_tools, unsaid


@dataclass
class Pulled:
    """An environment from an archive, in a store of its own."""

    built: Built
    tools: BuildTools

    @property
    def prefix(self) -> Path:
        return Path(self.built.prefix)


@pytest.fixture(scope="module")
def shipped(small_environment: BuildDone, tmp_path_factory: pytest.TempPathFactory) -> str:
    """URI of an archive."""
    built = small_environment.built
    source = PackSource(built.name, built.key, Path(built.prefix), built.lock, built.lock_digest, built.requested)
    tools = PackTools(archive_codec("tar.gz", 4), compile_modules)
    made = pack(source, PackOptions(), Store(Path(built.prefix).parent.parent), tools, unsaid)
    return push(made, tmp_path_factory.mktemp("depot").as_uri(), FsspecDepot(), say=unsaid).uri


@pytest.fixture
def pulled(shipped: str, small_channel: SmallChannel, tmp_path: Path) -> Pulled:
    tools = small_tools(small_channel, tmp_path / "env")
    ref = pull(shipped, tools.store, FsspecDepot(), SystemClock(), say=unsaid)
    built = tools.store.built(ref.key)
    assert built is not None
    return Pulled(built, tools)


def test_fresh_one_is_whole_after_it_was_used(pulled: Pulled) -> None:
    """Every file is held against what was unpacked, relocated ones included."""
    subprocess.run([pulled.prefix / "bin/python", "-c", "import nbplat_marker, csv"], check=True, timeout=30)
    report = verify(pulled.tools.store, [pulled.built], say=unsaid)
    assert report.whole
    assert report.environments[0].files > 500
    assert 0 == report.packages_read


def test_damage_is_found_and_mended_from_the_archive(pulled: Pulled) -> None:
    """Changed and lost files are named, and come back from the archive that the store holds."""
    (pulled.prefix / "etc/demo.conf").write_text("root=/elsewhere\n")
    (pulled.prefix / "bin/greet").unlink()
    report = verify(pulled.tools.store, [pulled.built], say=unsaid)
    found = [(one.file, one.what) for one in report.environments[0].damage]
    assert [("bin/greet", "missing"), ("etc/demo.conf", "changed")] == found
    mended = repair(report, [pulled.built], pulled.tools, folder=pulled.prefix, say=unsaid)
    assert mended.whole
    assert f"root={pulled.prefix}\n" == (pulled.prefix / "etc/demo.conf").read_text()


def test_without_the_archive_it_cannot_be_mended(pulled: Pulled) -> None:
    """The refusal says where to get it from; the damaged one stays."""
    (pulled.prefix / "bin/greet").unlink()
    for file in pulled.tools.store.packs.iterdir():
        file.unlink()
    report = verify(pulled.tools.store, [pulled.built], say=unsaid)
    with pytest.raises(NotFound) as caught:
        repair(report, [pulled.built], pulled.tools, folder=pulled.prefix, say=unsaid)
    assert "pull it again" in caught.value.fix
    assert (pulled.prefix / "bin/python").exists()


def test_archive_stays_as_long_as_its_environment(pulled: Pulled) -> None:
    """Sweeping keeps the archive of a kept environment, and takes both when nothing needs them."""
    store, clock = pulled.tools.store, FakeClock(SystemClock().now_ms())
    clock.advance(30 * 24 * 3600)
    assert [] == [one.name for one in plan_gc(store, GcRules(), clock).swept]
    StoreIndex(store.index).forget_name("demo", "")
    kinds = [one.kind for one in plan_gc(store, GcRules(), clock).swept]
    assert ["environment", "archive", "archive"] == kinds
