"""Builds that are killed, and builds that meet."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from nbplat.environment.build import build
from nbplat.environment.key_lock import hold
from nbplat.environment.lock_record import environment_key
from nbplat.environment.ports import Phase
from nbplat.environment.store import Store
from nbplat.environment.store_index import StoreIndex
from nbplat.environment.verify import verify
from nbplat.errors import InternalError
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import lock_small, small_tools, unsaid
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process

_SPECS = ("python", "nbplat-marker ==7.7.7", "greeter")
_ROOT = Path(__file__).parent.parent.parent

# Builds in a process of its own and stops for ever where it is told to, so that it is killed exactly there.
_BUILDER = """
    import json, os, sys, time
    sys.path.insert(0, {here!r})
    from pathlib import Path
    import nbplat.environment.build as building
    from nbplat.environment.store import Store
    from nbplat.environment.store_index import StoreIndex
    from nbplat.adapters.conda import cached_package
    from tests.fixtures.channels import SmallChannel
    from tests.fixtures.environments import lock_small, small_tools

    channel = SmallChannel(*(Path(one) for one in {channel!r}), {python!r}, {platform!r})
    root, point, reached = Path({root!r}), {point!r}, Path({reached!r})

    def stop(*_, **__):
        reached.write_text(str(os.getpid()))
        time.sleep(3600)

    def say(phase):
        print(json.dumps([phase.name, phase.what]), flush=True)
        if point == "phase " + phase.name or point == f"phase {{phase.name}} end" and phase.done == phase.total > 0:
            stop()

    if point == "record":
        building.write_built = stop
    if point == "measure":
        building._measure = stop
    if point == "index":
        StoreIndex.name = stop
    if point == "discard":
        made = building.smoke_check
        def fail(*_, **__):
            Store.discard = stop
            raise RuntimeError("the check fails")
        building.smoke_check = fail
    lock = lock_small(channel, *{specs!r})
    done = building.build(lock, "", small_tools(channel, root), folder=root, say=say)
    print(json.dumps(["done", done.found]), flush=True)
"""


def _start(channel: SmallChannel, root: Path, point: str, reached: Path) -> subprocess.Popen[str]:
    text = textwrap.dedent(_BUILDER).format(
        here=str(_ROOT),
        channel=[str(channel.folder), str(channel.wheels)],
        python=channel.python,
        platform=channel.platform,
        root=str(root),
        point=point,
        reached=str(reached),
        specs=list(_SPECS),
    )
    return subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=_ROOT
    )


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill it if it has not ended by itself, and take what it said to its end."""
    process.kill()
    process.communicate(timeout=20)


@pytest.mark.parametrize(
    "point",
    [
        "phase fetch",
        "phase fetch end",
        "phase install",
        "phase install end",
        "phase check",
        "measure",
        "record",
        "discard",
        "index",
    ],
)
def test_killed_build_shows_nothing_and_the_same_command_succeeds(
    small_channel: SmallChannel, tmp_path: Path, point: str
) -> None:
    """After a kill no half-built environment is listed or found, and the next build makes a whole one and clears up."""
    root, reached = tmp_path / "env", tmp_path / "reached"
    builder = _start(small_channel, root, point, reached)
    wait_until(lambda: reached.exists() or builder.poll() is not None, limit_s=60, what=f"the build at {point}")
    assert reached.exists()
    _kill(builder)
    store = Store(root)
    lock = lock_small(small_channel, *_SPECS)
    key = environment_key(lock.platforms[small_channel.platform])
    # With the record written the environment is whole: only its name is not noted yet.
    assert (1 if point == "index" else 0) == len(store.every())
    assert [] == StoreIndex(store.index).names()
    done = build(lock, "", small_tools(small_channel, root), folder=root, say=unsaid)
    assert (point == "index") == done.found
    greeting = subprocess.run([f"{done.ref.prefix}/bin/greet"], capture_output=True, text=True, check=True, timeout=30)
    assert f"hello from {done.ref.prefix}\n" == greeting.stdout
    assert [store.prefix(key)] == list(store.envs.iterdir())
    assert [done.ref.name] == [one.name for one in StoreIndex(store.index).names()]
    store.sweep()
    assert [] == list(store.tmp.iterdir())


def test_child_dies_with_its_builder(small_channel: SmallChannel, tmp_path: Path) -> None:
    """A killed builder leaves no process behind that goes on writing."""
    reached = tmp_path / "reached"
    builder = _start(small_channel, tmp_path / "env", "phase fetch", reached)
    wait_until(reached.exists, limit_s=60, what="the fetch")
    group = os.getpgid(builder.pid)
    _kill(builder)

    def gone() -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    wait_until(gone, what="the end of the child")


def test_two_processes_build_one_environment_once(small_channel: SmallChannel, tmp_path: Path) -> None:
    """One builds; the other says for whom it waits, and takes what was built."""
    root = tmp_path / "env"
    lock = lock_small(small_channel, *_SPECS)
    key_file = Store(root).lock_file(environment_key(lock.platforms[small_channel.platform]))
    # Both meet at the lock, which this process holds until they do.
    with hold(key_file):
        builders = [_start(small_channel, root, "", tmp_path / "never") for _ in range(2)]
        first = [json.loads(one.stdout.readline()) for one in builders if one.stdout]
    said = [[json.loads(line) for line in one.communicate(timeout=120)[0].splitlines()] for one in builders]
    assert [["wait", f"process {os.getpid()} builds demo"]] * 2 == first
    assert [False, True] == sorted(lines[-1][1] for lines in said)
    [waited] = [lines for lines in said if lines[-1] == ["done", True]]
    assert {"done"} == {name for name, _ in waited}


def test_two_environments_fetch_a_shared_package_once(small_channel: SmallChannel, tmp_path: Path) -> None:
    """Builds of different keys go on side by side and meet at the package that both need."""
    root = tmp_path / "env"
    script = textwrap.dedent(_BUILDER).replace("*{specs!r}", "*{specs!r}, name={name!r}")
    builders = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                script.format(
                    here=str(_ROOT),
                    channel=[str(small_channel.folder), str(small_channel.wheels)],
                    python=small_channel.python,
                    platform=small_channel.platform,
                    root=str(root),
                    point="",
                    reached=str(tmp_path / "never"),
                    specs=["python", f"nbplat-marker =={version}"],
                    name=f"marker{version[0]}",
                ),
            ],
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )
        for version in ("7.7.7", "8.8.8")
    ]
    for one in builders:
        one.communicate(timeout=120)
        assert 0 == one.returncode
    store = Store(root)
    assert {"marker7", "marker8"} == {one.name for one in StoreIndex(store.index).names()}
    assert 2 == len(store.every())
    assert 3 == len(list(store.pkgs.iterdir()))


def test_waiting_names_the_builder(small_channel: SmallChannel, tmp_path: Path) -> None:
    """The wait is told as a phase with the process that is waited for."""
    root, reached = tmp_path / "env", tmp_path / "reached"
    builder = _start(small_channel, root, "phase install", reached)
    wait_until(reached.exists, limit_s=60, what="the install")
    said: list[Phase] = []

    def listen(phase: Phase) -> None:
        said.append(phase)
        if phase.name == "wait":
            _kill(builder)

    done = build(lock_small(small_channel, *_SPECS), "", small_tools(small_channel, root), folder=root, say=listen)
    assert f"process {builder.pid} builds demo" == said[0].what
    assert not done.found


def test_killed_child_is_refused_and_left_clean(small_channel: SmallChannel, tmp_path: Path) -> None:
    """When the library's process dies, the build says so, leaves nothing, and works the next time."""
    root = tmp_path / "env"
    lock = lock_small(small_channel, *_SPECS)

    def kill(phase: Phase) -> None:
        # Other children of this process are the test session's: Ray, PostgreSQL.
        for child in psutil.Process().children():
            if "nbplat.adapters.conda.child_main" in child.cmdline():
                child.send_signal(signal.SIGKILL)

    with pytest.raises(InternalError) as caught:
        build(lock, "", small_tools(small_channel, root), folder=root, say=kill)
    assert "env.child" == caught.value.code
    assert "SIGKILL" in caught.value.message
    assert [] == list(Store(root).envs.iterdir())
    assert not build(lock, "", small_tools(small_channel, root), folder=root, say=unsaid).found


@pytest.mark.parametrize("seed", range(3))
def test_kills_at_any_moment_are_survived(small_channel: SmallChannel, tmp_path: Path, seed: int) -> None:
    """Three kills at moments that nobody chose, then the same command: one whole environment and no leftovers."""
    root, chance = tmp_path / "env", random.Random(seed)  # noqa: S311 - a seed that can be told again
    for turn in range(3):
        builder = _start(small_channel, root, "", tmp_path / "never")
        assert builder.stdout is not None
        # From its first word on a build takes about half a second here.
        builder.stdout.readline()
        with contextlib.suppress(subprocess.TimeoutExpired):
            builder.wait(timeout=chance.uniform(0, 0.6))
        _kill(builder)
        assert len(Store(root).every()) <= 1, turn
    tools = small_tools(small_channel, root)
    done = build(lock_small(small_channel, *_SPECS), "", tools, folder=root, say=unsaid)
    assert verify(tools.store, [done.built], say=unsaid).whole
    assert [Path(done.ref.prefix)] == list(tools.store.envs.iterdir())
    assert 3 == len(list(tools.store.pkgs.iterdir()))
    tools.store.sweep()
    assert [] == list(tools.store.tmp.iterdir())
