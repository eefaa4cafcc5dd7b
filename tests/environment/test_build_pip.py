"""Environments with a pip part and packages of the user's own."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from nbplat.adapters.uv.program import UvPip
from nbplat.environment.build import BuildDone, BuildTools, build
from nbplat.environment.lock_record import LocalLayer, Lock, PipPackage, PlatformLock
from nbplat.environment.ports import Phase, Say
from nbplat.environment.source_hash import source_hash
from nbplat.environment.store import Store
from nbplat.environment.verify import repair, verify
from nbplat.errors import Conflict, DataError, RequestError
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import lock_small, small_tools, unsaid
from tests.fixtures.waiting import wait_until
from tests.fixtures.wheels import make_wheel

# Needs nothing to build with: the backend lies in the folder itself.
_BACKEND = """
    import base64, hashlib, pathlib, zipfile

    def build_wheel(into, config_settings=None, metadata_directory=None):
        info = "ranker-0.3.dist-info"
        files = {
            "ranker.py": pathlib.Path("ranker.py").read_text(),
            f"{info}/METADATA": "Metadata-Version: 2.1\\nName: ranker\\nVersion: 0.3\\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
            f"{info}/entry_points.txt": "[console_scripts]\\nrank = ranker:main\\n",
        }
        rows = []
        for name, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            rows.append(f"{name},sha256={digest},{len(text.encode())}")
        files[f"{info}/RECORD"] = "\\n".join([*rows, f"{info}/RECORD,,"]) + "\\n"
        with zipfile.ZipFile(pathlib.Path(into) / "ranker-0.3-py3-none-any.whl", "w") as wheel:
            for name, text in files.items():
                wheel.writestr(name, text)
        return "ranker-0.3-py3-none-any.whl"
"""


class Counting(UvPip):
    """Counts the wheels that it builds."""

    def __init__(self) -> None:
        self.wheels: list[str] = []

    def wheel(self, source: Path, into: Path, *, offline: bool, say: Say) -> Path:
        self.wheels.append(source.name)
        return super().wheel(source, into, offline=offline, say=say)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a package of the user's own, ``ranker``."""
    folder = tmp_path / "project" / "ranker"
    folder.mkdir(parents=True)
    (folder / "ranker.py").write_text("import pip_demo\n\n\ndef main():\n    print('ranked with', pip_demo.VERSION)\n")
    (folder / "backend.py").write_text(textwrap.dedent(_BACKEND))
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "ranker"\nversion = "0.3"\n'
    )
    return folder


@pytest.fixture(autouse=True)
def only_these_wheels(small_channel: SmallChannel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """uv knows the wheels of the small channel and an index that has nothing."""
    monkeypatch.setenv("UV_FIND_LINKS", str(small_channel.wheels))
    (tmp_path / "empty-index").mkdir()
    monkeypatch.setenv("UV_DEFAULT_INDEX", (tmp_path / "empty-index").as_uri())


@pytest.fixture
def tools(small_channel: SmallChannel, tmp_path: Path) -> BuildTools:
    """A store of the test's own, with uv."""
    return small_tools(small_channel, tmp_path / "env", pip=Counting())


@pytest.fixture
def lock(small_channel: SmallChannel, tools: BuildTools, project: Path) -> Lock:
    """Python and the marker by conda, pip-demo by pip, ranker from its folder."""
    conda = lock_small(small_channel, "python", "nbplat-marker ==7.7.7").platforms[small_channel.platform]
    pip = tools.pip.resolve(
        ["pip-demo<2"], conda.conda, small_channel.python, small_channel.platform, offline=True, say=unsaid
    )
    return _lock(conda, pip, (LocalLayer("ranker", "0.3", "ranker", source_hash(project)),))


def _lock(conda: PlatformLock, pip: tuple[PipPackage, ...], local: tuple[LocalLayer, ...]) -> Lock:
    whole = replace(conda, pip=pip, local=local)
    return Lock("demo", "0" * 64, ("small",), ("python",), ("pip-demo<2",), {conda.platform: whole})


def _build(lock: Lock, tools: BuildTools, project: Path, say: Say = unsaid) -> BuildDone:
    return build(lock, "", tools, folder=project.parent, offline=True, say=say)


def _nothing_left(store: Store) -> None:
    assert [] == (list(store.envs.iterdir()) if store.envs.is_dir() else [])
    assert [] == (list(store.tmp.iterdir()) if store.tmp.is_dir() else [])


def test_three_layers_make_one_environment(lock: Lock, tools: BuildTools, project: Path) -> None:
    """Conda, pip and local packages are there together, and scripts of each start the environment's Python."""
    said: list[Phase] = []
    done = _build(lock, tools, project, said.append)
    ran = subprocess.run([f"{done.ref.prefix}/bin/rank"], capture_output=True, text=True, check=True, timeout=30)
    assert "ranked with 1.0\n" == ran.stdout
    [info] = Path(done.ref.prefix).glob("lib/python*/site-packages/ranker-0.3.dist-info")
    assert not (info / "direct_url.json").exists()
    assert ["layer", "fetch", "install", "pip", "layer", "check"] == _order(said)
    assert "pip-demo, ranker" in [one.what for one in said if one.name == "check"]
    assert _build(lock, tools, project).found
    assert ["ranker"] == tools.pip.wheels  # type: ignore[attr-defined]


def _order(said: list[Phase]) -> list[str]:
    """Names of phases, without those that only go on."""
    names = [one.name for one in said if one.name != "verify"]
    return [name for before, name in zip(["", *names], names, strict=False) if name != before]


def test_wheel_is_built_once_for_a_source(lock: Lock, tools: BuildTools, project: Path) -> None:
    """Another environment with the same source takes the stored wheel, even when the source has moved on since."""
    _build(lock, tools, project)
    [platform] = lock.platforms.values()
    other = replace(lock, platforms={platform.platform: replace(platform, virtual={})}, name="other")
    without_marker = replace(platform, conda=tuple(one for one in platform.conda if one.name == "python"))
    other = replace(other, platforms={platform.platform: without_marker})
    (project / "ranker.py").write_text("def main():\n    print('changed')\n")
    done = _build(other, tools, project)
    assert not done.found
    assert ["ranker"] == tools.pip.wheels  # type: ignore[attr-defined]


def test_source_that_is_not_the_locked_one_is_refused(lock: Lock, tools: BuildTools, project: Path) -> None:
    """A change since the lock is named, with the command that takes it in; nothing is installed."""
    (project / "ranker.py").write_text("def main():\n    print('changed')\n")
    with pytest.raises(Conflict) as caught:
        _build(lock, tools, project)
    assert "env.stale" == caught.value.code
    assert "ranker" in caught.value.message
    assert "nbplat env lock" in caught.value.fix
    _nothing_left(tools.store)


def test_source_that_does_not_build_is_refused(lock: Lock, tools: BuildTools, project: Path) -> None:
    """What the build said last is in the refusal; nothing is installed."""
    (project / "backend.py").write_text("raise RuntimeError('no compiler here')\n")
    [platform] = lock.platforms.values()
    layer = replace(platform.local[0], source_hash=source_hash(project))
    broken = replace(lock, platforms={platform.platform: replace(platform, local=(layer,))})
    with pytest.raises(RequestError) as caught:
        _build(broken, tools, project)
    assert "env.local" == caught.value.code
    assert "no compiler here" in caught.value.message
    _nothing_left(tools.store)


@pytest.mark.parametrize("how", ["swapped", "torn"])
def test_wheel_of_an_index_with_other_bytes_is_refused(
    lock: Lock,
    tools: BuildTools,
    project: Path,
    small_channel: SmallChannel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """A wheel that was swapped or torn after the lock is named, and the half-built environment is gone."""
    wheels = tmp_path / "wheels"
    shutil.copytree(small_channel.wheels, wheels)
    [wheel] = wheels.glob("pip_demo-1.0-*.whl")
    if how == "swapped":
        make_wheel(wheels, "pip-demo", "1.0", {"pip_demo.py": "VERSION = 'evil'\n"})
    else:
        wheel.write_bytes(wheel.read_bytes()[:-100])
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    with pytest.raises(DataError) as caught:
        _build(lock, tools, project)
    assert "env.hash" == caught.value.code
    assert wheel.name.partition("-")[0] in caught.value.message.replace("-", "_")
    _nothing_left(tools.store)


def test_damage_in_the_pip_part_is_found_and_mended(lock: Lock, tools: BuildTools, project: Path) -> None:
    """Files that pip installed are held against its records, and come back by a repair."""
    done = _build(lock, tools, project)
    [module] = Path(done.ref.prefix).glob("lib/python*/site-packages/pip_demo.py")
    module.write_text("VERSION = 'evil'\n")
    (Path(done.ref.prefix) / "bin/rank").unlink()
    report = verify(tools.store, [done.built], say=unsaid)
    found = {(one.package, one.file.rsplit("/", 1)[-1], one.what) for one in report.environments[0].damage}
    assert {("pip-demo", "pip_demo.py", "changed"), ("ranker", "rank", "missing")} == found
    # The wheel of ranker lies in the store: its source is not needed.
    shutil.rmtree(project)
    assert repair(report, [done.built], tools, folder=project.parent, offline=True, say=unsaid).whole
    ran = subprocess.run([f"{done.ref.prefix}/bin/rank"], capture_output=True, text=True, check=True, timeout=30)
    assert "ranked with 1.0\n" == ran.stdout


@pytest.mark.parametrize("phase", ["layer", "pip"])
def test_build_that_is_broken_off_leaves_nothing(lock: Lock, tools: BuildTools, project: Path, phase: str) -> None:
    """An interruption while pip works or a wheel is built leaves no environment and no half wheel."""

    def interrupt(told: Phase) -> None:
        if told.name == phase:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _build(lock, tools, project, interrupt)
    _nothing_left(tools.store)
    assert not tools.store.wheels.is_dir() or phase == "pip"
    assert not _build(lock, tools, project).found


# Builds in a process of its own and stops for ever at a phase, so that it is killed exactly there.
_BUILDER = """
    import pickle, sys, time
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from nbplat.adapters.uv.program import UvPip
    from nbplat.environment.build import build
    from tests.fixtures.environments import small_tools

    channel, lock, root, project, phase, reached = pickle.loads(Path(sys.argv[2]).read_bytes())

    def say(told):
        if told.name == phase:
            reached.write_text("")
            time.sleep(3600)

    build(lock, "", small_tools(channel, root, pip=UvPip()), folder=project.parent, offline=True, say=say)
"""


@pytest.mark.process
@pytest.mark.parametrize("phase", ["layer", "pip"])
def test_killed_build_is_done_again_from_the_start(
    lock: Lock, tools: BuildTools, project: Path, small_channel: SmallChannel, tmp_path: Path, phase: str
) -> None:
    """A kill while a wheel is built or pip installs shows no environment; the same command makes a whole one."""
    asked, reached = tmp_path / "asked", tmp_path / "reached"
    asked.write_bytes(pickle.dumps((small_channel, _plain(lock), tools.store.root, project, phase, reached)))
    repository = str(Path(__file__).parent.parent.parent)
    builder = subprocess.Popen([sys.executable, "-c", textwrap.dedent(_BUILDER), repository, str(asked)])
    wait_until(lambda: reached.exists() or builder.poll() is not None, limit_s=60, what=f"the phase {phase}")
    builder.kill()
    builder.wait(timeout=20)
    assert reached.exists()
    assert [] == tools.store.every()
    done = _build(lock, tools, project)
    assert not done.found
    ran = subprocess.run([f"{done.ref.prefix}/bin/rank"], capture_output=True, text=True, check=True, timeout=30)
    assert "ranked with 1.0\n" == ran.stdout
    assert [Path(done.ref.prefix)] == list(tools.store.envs.iterdir())
    assert [] == list(tools.store.tmp.iterdir())


def _plain(lock: Lock) -> Lock:
    """Without read-only mappings, which cannot be pickled."""
    platforms = {name: replace(one, virtual=dict(one.virtual)) for name, one in lock.platforms.items()}
    return replace(lock, platforms=platforms)
