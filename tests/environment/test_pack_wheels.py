"""What came by wheels travels by its own record, equal in every prefix, and runs."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from nbplat.adapters.uv.program import UvPip
from nbplat.environment.build import BuildDone, build
from nbplat.environment.lock_record import LocalLayer, PipPackage
from nbplat.environment.source_hash import source_hash
from nbplat.environment.store import Store
from nbplat.errors import DataError, RequestError
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import lock_small, small_tools, unsaid
from tests.fixtures.packs import output, packed
from tests.fixtures.wheels import make_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel with a module, a command, a script and a data file."""
    return make_wheel(
        tmp_path_factory.mktemp("wheels"),
        "ranker",
        "0.3",
        {
            "ranker/__init__.py": "import sys\n\n\ndef main():\n    print('ranks in', sys.prefix)\n",
            "ranker-0.3.data/scripts/rank.py": "#!python\nimport sys\nprint('script of', sys.prefix)\n",
            "ranker-0.3.data/data/share/ranker/model.txt": "7\n",
        },
        scripts={"rank": "ranker:main"},
    )


def _build(channel: SmallChannel, wheel: Path, root: Path) -> BuildDone:
    layer = LocalLayer("ranker", "0.3", wheel.name, source_hash(wheel))
    lock = lock_small(channel, "python", local=[layer])
    tools = small_tools(channel, root, pip=UvPip())
    return build(lock, "", tools, folder=wheel.parent, imports=False, say=unsaid)


@pytest.fixture(scope="module")
def ranked(small_channel: SmallChannel, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildDone:
    return _build(small_channel, wheel, tmp_path_factory.mktemp("ranked") / "env")


def test_wheel_runs_from_an_archive(ranked: BuildDone, tmp_path: Path) -> None:
    """Module, command, script and data are there, and start before anything was relocated."""
    made = packed(ranked, Store(Path(ranked.ref.prefix).parent.parent))
    with tarfile.open(made.archive) as tar:
        tar.extractall(tmp_path, filter="tar")
    assert f"ranks in {tmp_path}\n" == output(tmp_path / "bin/rank", NBPLAT_RELOCATE="0")
    assert f"script of {tmp_path}\n" == output(tmp_path / "bin/rank.py", NBPLAT_RELOCATE="0")
    assert "7\n" == (tmp_path / "share/ranker/model.txt").read_text()
    [package] = [one for one in made.manifest["packages"] if one["name"] == "ranker"]
    assert ("local", "0.3") == (package["kind"], package["version"])
    assert 64 == len(package["source_hash"])
    [record] = tmp_path.glob("lib/python*/site-packages/ranker-0.3.dist-info/RECORD")
    listed = [line.partition(",")[0] for line in record.read_text().splitlines()]
    assert not [path for path in listed if not (record.parent.parent / path).is_file()]
    assert not [path for path in listed if path.endswith("direct_url.json")]


def test_wheel_gives_equal_bytes_in_every_folder(
    ranked: BuildDone, small_channel: SmallChannel, wheel: Path, tmp_path: Path
) -> None:
    """The scripts that the installer wrote for one prefix travel the same as those for a longer one."""
    there = _build(small_channel, wheel, tmp_path / ("long-" * 20) / "env")
    archives = [packed(one, Store(Path(one.ref.prefix).parent.parent)) for one in (ranked, there)]
    assert archives[0].sha256 == archives[1].sha256


@pytest.fixture
def breakable(small_channel: SmallChannel, wheel: Path, tmp_path: Path) -> BuildDone:
    return _build(small_channel, wheel, tmp_path / "env")


def _info(done: BuildDone) -> Path:
    [found] = Path(done.ref.prefix).glob("lib/python*/site-packages/ranker-0.3.dist-info")
    return found


def test_changed_module_of_a_wheel_is_refused(breakable: BuildDone) -> None:
    """Its record holds a hash of every file."""
    module = _info(breakable).parent / "ranker" / "__init__.py"
    module.write_text(module.read_text().replace("ranks in", "lies in"))
    with pytest.raises(DataError) as refused:
        packed(breakable, Store(Path(breakable.ref.prefix).parent.parent))
    assert "env.hash" == refused.value.code
    assert "ranker/__init__.py" in refused.value.message


def test_wheel_without_record_or_files_is_refused(breakable: BuildDone) -> None:
    """A record that is gone, and a script that is gone, are named."""
    store, info = Store(Path(breakable.ref.prefix).parent.parent), _info(breakable)
    (Path(breakable.ref.prefix) / "bin" / "rank").unlink()
    with pytest.raises(DataError, match="bin/rank of ranker is gone"):
        packed(breakable, store)
    (info / "RECORD").unlink()
    with pytest.raises(DataError, match=r"ranker-0\.3\.dist-info has no RECORD"):
        packed(breakable, store)
    shutil.rmtree(info)
    with pytest.raises(DataError, match="ranker is not in it"):
        packed(breakable, store)


def test_package_installed_in_place_is_refused(breakable: BuildDone) -> None:
    """An editable install points to a folder of this machine; it says where to declare it."""
    (_info(breakable) / "direct_url.json").write_text('{"url": "file:///home/me/x", "dir_info": {"editable": true}}')
    with pytest.raises(RequestError) as refused:
        packed(breakable, Store(Path(breakable.ref.prefix).parent.parent))
    assert "env.editable" == refused.value.code
    assert "local" in refused.value.fix


def test_other_version_than_the_locks_is_refused(small_channel: SmallChannel, wheel: Path, tmp_path: Path) -> None:
    """A wheel that the lock does not know, or knows by another version, is not shipped."""
    done = _build(small_channel, wheel, tmp_path / "env")
    info = _info(done)
    info.rename(info.with_name("ranker-0.4.dist-info"))
    with pytest.raises(DataError, match="ranker"):
        packed(done, Store(Path(done.ref.prefix).parent.parent))


def test_pip_part_keeps_its_hashes(small_channel: SmallChannel, tmp_path: Path) -> None:
    """A distribution of the pip part travels with the hashes of the lock."""
    import hashlib

    [file] = small_channel.wheels.glob("pip_demo-1.0-*.whl")
    digest = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    lock = lock_small(small_channel, "python", pip=[PipPackage("pip-demo", "1.0", (digest,))])
    tools = small_tools(small_channel, tmp_path / "env", pip=_LocalWheels(file))
    done = build(lock, "", tools, folder=tmp_path, imports=False, say=unsaid)
    made = packed(done, Store(tmp_path / "env"))
    [package] = [one for one in made.manifest["packages"] if one["kind"] == "pip"]
    assert ("pip-demo", [digest]) == (package["name"], package["hashes"])


class _LocalWheels(UvPip):
    """Installs the pip part from a file: no index is asked."""

    def __init__(self, wheel: Path) -> None:
        super().__init__()
        self._wheel = wheel

    def install(self, packages: object, python: Path, **asked: object) -> None:
        self.install_wheels([self._wheel], python, say=unsaid)
