"""Looking after the store: what it holds, what it takes, what may go."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nbplat.clock import SystemClock
from nbplat.environment.build import build
from nbplat.environment.find import find_environment
from nbplat.environment.gc import GcRules, Sweeping, plan_gc, sweep
from nbplat.environment.kernel import write_kernel
from nbplat.environment.key_lock import hold
from nbplat.environment.store import Store
from nbplat.environment.store_index import StoreIndex
from nbplat.environment.usage import listing, usage
from nbplat.errors import NotFound, RequestError, SetupError
from nbplat.testing import FakeClock
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import lock_small, small_tools, unsaid

_DAY_S = 24 * 3600


@dataclass
class Kept:
    """A store with two environments: ``demo`` with the marker 7.7.7, ``other`` with 8.8.8."""

    root: Path
    clock: FakeClock
    demo: str
    other: str

    @property
    def store(self) -> Store:
        return Store(self.root)

    def names(self, plan: Sweeping, kind: str = "environment") -> list[str]:
        return [one.name for one in plan.swept if one.kind == kind]


def _build_two(channel: SmallChannel, root: Path) -> Kept:
    clock = FakeClock(SystemClock().now_ms())
    keys = []
    for name, version in (("demo", "7.7.7"), ("other", "8.8.8")):
        lock = lock_small(channel, "python", f"nbplat-marker =={version}", name=name)
        tools = small_tools(channel, root, clock=clock)
        done = build(lock, "", tools, folder=root.parent, project=str(root.parent), imports=False, say=unsaid)
        keys.append(done.ref.key)
    return Kept(root, clock, *keys)


@pytest.fixture(scope="module")
def two(small_channel: SmallChannel, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Two environments for the tests that remove none."""
    return _build_two(small_channel, tmp_path_factory.mktemp("store") / "env")


@pytest.fixture
def kept(two: Kept) -> Iterator[Kept]:
    """The two, built now by a clock that the test moves; the index is put back afterwards."""
    index = two.store.index.read_bytes()
    yield Kept(two.root, FakeClock(two.clock.now_ms()), two.demo, two.other)
    two.store.index.write_bytes(index)


@pytest.fixture
def mine(small_channel: SmallChannel, tmp_path: Path) -> Kept:
    """Two of the test's own, to remove."""
    return _build_two(small_channel, tmp_path / "env")


def test_listing_tells_names_uses_and_why_each_is_kept(kept: Kept) -> None:
    """Each environment is listed with its names, when it was used, what keeps it and its size; the last used first."""
    kept.clock.advance(60)
    find_environment(kept.store, "demo", clock=kept.clock)
    demo, other = listing(kept.store)
    assert (("demo",), ("other",)) == (demo.names, other.names)
    assert kept.clock.now_ms() == demo.used_ms
    assert ("it is demo in " + str(kept.root.parent),) == demo.kept
    assert demo.size_bytes > 20e6
    assert json.loads(json.dumps(demo.record()))["key"] == kept.demo


def test_shared_bytes_are_counted_once(kept: Kept) -> None:
    """What `du` adds up is what the disk holds: packages once, environments by what only they have."""
    found = usage(kept.store)
    parts = {one.name: one.bytes for one in found.parts}
    asked = subprocess.run(
        ["du", "-s", "--block-size=1", *(str(kept.root / one) for one in ("pkgs", "envs"))],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout.splitlines()
    folders = sum(1 for name in ("pkgs", "envs") for _ in os.walk(kept.root / name)) * 4096
    measured = sum(int(line.split()[0]) for line in asked)
    assert abs(measured - folders - parts["packages"] - parts["environments"]) < 0.05 * measured
    assert parts["environments"] < 0.5 * parts["packages"]
    assert found.shared_bytes > 30e6
    assert found.bytes == sum(parts.values())
    assert all(one.own_bytes is not None and one.own_bytes < one.size_bytes / 2 for one in found.environments)


def test_named_environments_stay_and_forgotten_ones_go_after_a_rest(kept: Kept) -> None:
    """An environment whose name means another one now goes once it has rested; what still is named stays."""
    StoreIndex(kept.store.index).forget_name("demo", str(kept.root.parent))
    assert [] == kept.names(plan_gc(kept.store, GcRules(), kept.clock))
    kept.clock.advance(2 * _DAY_S)
    plan = plan_gc(kept.store, GcRules(), kept.clock)
    assert ["demo"] == kept.names(plan)
    assert ["other"] == [one.name for one in plan.kept]


def test_dry_run_touches_nothing_and_says_what_is_freed(mine: Kept) -> None:
    """The plan names each thing with the reason; what it frees is what the disk has more afterwards."""
    StoreIndex(mine.store.index).forget_name("demo", str(mine.root.parent))
    mine.clock.advance(2 * _DAY_S)
    _rested(mine)
    before = usage(mine.store).bytes
    plan = plan_gc(mine.store, GcRules(), mine.clock)
    assert before == usage(mine.store).bytes
    assert ["nbplat-marker-7.7.7"] == [one.rsplit("-", 1)[0] for one in mine.names(plan, "package")]
    assert all(one.why for one in plan.swept)
    done = sweep(mine.store, GcRules(), mine.clock)
    assert done.done
    assert plan.swept == done.swept
    assert before - plan.frees_bytes == usage(mine.store).bytes
    assert ["other"] == [one.name for one in mine.store.every()]


def test_environment_that_was_swept_is_built_again(mine: Kept, small_channel: SmallChannel) -> None:
    """Sweeping loses nothing: the lock brings it back."""
    StoreIndex(mine.store.index).forget_name("demo", str(mine.root.parent))
    mine.clock.advance(2 * _DAY_S)
    _rested(mine)
    sweep(mine.store, GcRules(), mine.clock)
    with pytest.raises(NotFound):
        find_environment(mine.store, "demo")
    lock = lock_small(small_channel, "python", "nbplat-marker ==7.7.7")
    done = build(lock, "", small_tools(small_channel, mine.root), folder=mine.root, say=unsaid)
    assert mine.demo == done.ref.key
    assert ("nbplat-marker",) == done.installed.fetched


def test_age_sweeps_named_environments_too(kept: Kept) -> None:
    """With an age, a name alone does not keep what nobody used for so long."""
    kept.clock.advance(20 * _DAY_S)
    find_environment(kept.store, "other", clock=kept.clock)
    kept.clock.advance(15 * _DAY_S)
    assert [] == kept.names(plan_gc(kept.store, GcRules(), kept.clock))
    old = GcRules(older_than_ms=30 * _DAY_S * 1000)
    assert ["demo"] == kept.names(plan_gc(kept.store, old, kept.clock))


def test_rest_under_an_hour_is_refused() -> None:
    """Nobody can ask for the removal of what was just found."""
    with pytest.raises(RequestError) as caught:
        GcRules(rest_ms=1000)
    assert "env.gc" == caught.value.code


def test_projects_that_are_gone_keep_nothing(kept: Kept) -> None:
    """A name of a project whose folder was removed refers to nothing."""
    index = StoreIndex(kept.store.index)
    [named] = [one for one in index.names() if one.name == "demo"]
    index.forget_name("demo", named.project)
    gone = kept.root.parent / "project"
    gone.mkdir()
    index.name(type(named)("demo", str(gone), named.platform, named.key, named.lock_digest, named.built_ms))
    kept.clock.advance(2 * _DAY_S)
    assert [] == kept.names(plan_gc(kept.store, GcRules(), kept.clock))
    gone.rmdir()
    assert ["demo"] == kept.names(plan_gc(kept.store, GcRules(), kept.clock))


def test_runs_and_kernels_keep_what_they_need(kept: Kept, tmp_path: Path) -> None:
    """A run keeps an environment at any age, a kernel as long as its file is there."""
    other = find_environment(kept.store, "other")
    _pretend_ipykernel(Path(other.prefix))
    spec = write_kernel(other, kept.store, kept.clock, kernels=tmp_path / "kernels")
    kept.clock.advance(400 * _DAY_S)
    rules = GcRules(older_than_ms=30 * _DAY_S * 1000)
    needed = {kept.demo: ["spend@3 is under way in it"]}
    plan = plan_gc(kept.store, rules, kept.clock, lambda: needed)
    assert [] == kept.names(plan)
    assert ("spend@3 is under way in it",) in {one.why[:1] for one in plan.kept}
    shutil.rmtree(Path(spec.path).parent)
    assert ["other"] == kept.names(plan_gc(kept.store, rules, kept.clock, lambda: needed))
    assert ["demo", "other"] == sorted(kept.names(plan_gc(kept.store, rules, kept.clock)))


@pytest.fixture
def runner(kept: Kept) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs in ``demo``."""
    ref = find_environment(kept.store, "demo")
    running = subprocess.Popen(
        [ref.interpreter, "-c", "print('up', flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert running.stdout is not None
    assert b"up\n" == running.stdout.readline()
    yield running
    running.communicate(timeout=20)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the system does not tell what runs")
def test_environment_that_runs_is_never_swept(kept: Kept, runner: subprocess.Popen[bytes]) -> None:
    """A process in an environment keeps it, whatever the index says."""
    kept.clock.advance(400 * _DAY_S)
    plan = plan_gc(kept.store, GcRules(older_than_ms=_DAY_S * 1000), kept.clock)
    assert ["other"] == kept.names(plan)
    assert [(f"process {runner.pid} runs in it",)] == [one.why for one in plan.kept]


def test_leftovers_of_killed_builds_go_and_those_of_living_ones_stay(kept: Kept) -> None:
    """A half-built folder goes at once, unless somebody holds its lock."""
    halves = [kept.store.envs / ("a" * 32), kept.store.envs / ("b" * 32)]
    for half in halves:
        (half / "lib").mkdir(parents=True)
    with hold(kept.store.lock_file("b" * 32)):
        plan = plan_gc(kept.store, GcRules(), kept.clock)
    assert ["a" * 32] == kept.names(plan, "unfinished")
    assert [2] == [one.count for one in usage(kept.store).parts if one.name == "unfinished"]
    assert {str(half) for half in halves} == {
        one.path for one in sweep(kept.store, GcRules(), kept.clock).swept if one.kind == "unfinished"
    }
    assert not any(half.exists() for half in halves)


def test_sweep_keeps_away_from_builds(kept: Kept) -> None:
    """While something is built nothing is swept; who asked is told before the wait."""

    class Waits(Exception):
        pass

    def stop(who: str) -> None:
        raise Waits(who)

    with kept.store.in_use(), pytest.raises(Waits):
        sweep(kept.store, GcRules(), kept.clock, waiting=stop)
    assert 2 == len(kept.store.every())


def test_names_are_found_by_project_then_by_time(kept: Kept, small_channel: SmallChannel, tmp_path: Path) -> None:
    """A name means the project's own environment, else the newest; the start of a key means that one."""
    project = tmp_path / "second"
    project.mkdir()
    kept.clock.advance(60)
    lock = lock_small(small_channel, "python", "nbplat-marker ==8.8.8", name="demo")
    tools = small_tools(small_channel, kept.root, clock=kept.clock)
    build(lock, "", tools, folder=tmp_path, project=str(project), imports=False, say=unsaid)
    assert kept.demo == find_environment(kept.store, "demo", project=str(kept.root.parent)).key
    assert kept.other == find_environment(kept.store, "demo", project=str(project)).key
    assert kept.other == find_environment(kept.store, "demo").key
    assert kept.demo == find_environment(kept.store, kept.demo[:10]).key


def test_unknown_name_is_refused_with_near_ones(kept: Kept) -> None:
    """The refusal names the command that builds it, and what is built."""
    with pytest.raises(NotFound) as caught:
        find_environment(kept.store, "dmo")
    assert "env.unknown" == caught.value.code
    assert "did you mean demo" in caught.value.fix


def test_lost_index_loses_no_environment(kept: Kept) -> None:
    """Without its index the store still lists what it holds, and finds it by key."""
    kept.store.index.unlink()
    assert {kept.demo, kept.other} == {one.built.key for one in listing(kept.store)}
    assert kept.demo == find_environment(kept.store, kept.demo[:12]).key


def test_broken_index_is_refused_with_what_removing_it_costs(kept: Kept) -> None:
    """A file that is no index is not guessed at: the refusal says that environments stay without it."""
    kept.store.index.write_bytes(b"no database" * 100)
    with pytest.raises(SetupError) as caught:
        find_environment(kept.store, "demo")
    assert "env.index" == caught.value.code
    assert "environments stay" in caught.value.fix


def _rested(kept: Kept) -> None:
    """Files bear the machine's time; the clock of the test is ahead of it. Let the packages be as old as they seem."""
    now_s = SystemClock().now_ms() / 1000
    for package in kept.store.pkgs.iterdir():
        os.utime(package, (now_s, now_s))


def _pretend_ipykernel(prefix: Path) -> None:
    [site] = prefix.glob("lib/python*/site-packages")
    (site / "ipykernel_launcher.py").write_text("")
