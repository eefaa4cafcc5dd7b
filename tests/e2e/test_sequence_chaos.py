"""``kill -9`` at random moments of a sequence's jobs: the same command ends well, and leaves what a calm run leaves.

``NBPLAT_CHAOS_ROUNDS`` sets how many rounds there are; the seed of a round is its number.
"""

from __future__ import annotations

import collections
import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nbplat.compose import Platform
from nbplat.job import END_STATES, Job
from nbplat.remote.sequence.content import content_digest
from nbplat.sequence.amendments import Amendments
from nbplat.sequence.builds import Builds
from nbplat.sequence.exports import Exports
from nbplat.sequence.parse import parse_definition
from nbplat.service.child import step_mark
from nbplat.service.process_tree import marked
from nbplat.terms import local_path
from tests.fixtures.lakehouse import Lake
from tests.fixtures.product import Product, product_folder
from tests.fixtures.sequences import START_US, clicks, digests
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process

ROUNDS = int(os.environ.get("NBPLAT_CHAOS_ROUNDS", "2"))
VICTIMS = ("step", "both", "worker", "service")
STEPS = ("build", "increment", "correct", "export")
FILES, FILE_ROWS = 12, 600

# So little memory that rows are dealt to buckets first: every job of an index has a dozen units and more.
SETTINGS = {"limits.memory_bytes": 1, "limits.threads": 1, "limits.lease_seconds": 5}

TEXT = """source: {source}
entity: user_id
time: event_ts
id: event_id
events:
  click: {{last: 5}}
  buy: {{last: 3, where: "amount > 5"}}
features: {{item: vocab}}
show: [amount]
as_of: {{time: label_ts}}
"""


@dataclass
class World:
    """One source, its definition, and the jobs that follow its days."""

    name: str
    folder: Path

    @property
    def source(self) -> str:
        return f"chaos.{self.name}"

    @property
    def examples(self) -> str:
        return f"chaos.{self.name}_examples"

    @property
    def out(self) -> str:
        return f"chaos.{self.name}_lists"

    @property
    def run_id(self) -> str:
        return f"{self.name}@1"

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.yaml"

    def prepare(self, lake: Lake, step: str) -> None:
        """What happens to the tables before a job."""
        rows = clicks((FILES + 3) * FILE_ROWS, users=150)
        if step == "build":
            self.file.write_text(TEXT.format(source=self.source))
            lake.make(self.source, rows.slice(0, 0), partitioned=False)
            lake.make(self.examples, _examples(), partitioned=False)
        table = lake.table(self.source)
        first, last = {"build": (0, FILES), "increment": (FILES, FILES + 3)}.get(step, (0, 0))
        for number in range(first, last):
            table.append(rows.slice(number * FILE_ROWS, FILE_ROWS))
        if step == "correct":
            user, price = rows["user_id"], rows["amount"]
            late = pc.if_else(pc.equal(user, 7), pc.add(price, 1.0), price)
            table.overwrite(rows.set_column(5, "amount", late).filter(pc.not_equal(pc.fill_null(user, 0), 11)))

    def words(self, step: str) -> list[str]:
        """The command of a job."""
        if step in ("build", "increment"):
            return ["sequence", "build", "--file", str(self.file)]
        if step == "correct":
            return ["sequence", "correct", self.name, "--yes"]
        return ["sequence", "export", self.name, "--on", self.examples, "--to", self.out, "--carry", "example_id"]

    def state(self, platform: Platform) -> list[str]:
        """Content of the index, bucket by bucket, and of the exported lists."""
        sequences = platform.sequences
        stored = sequences.find_index(sequences.bind(parse_definition(self.file.read_text(), self.name)))
        assert stored is not None
        found = digests(stored)
        if platform.catalog.table_exists(self.out):
            rows = platform.catalog.load_table(self.out).scan().to_arrow().sort_by("example_id")
            found.append(content_digest(rows.combine_chunks()))
        return found

    def index(self, platform: Platform) -> str:
        """The index table."""
        return str(platform.sequences.find(self.run_id).outputs["index"])


def _examples() -> pa.Table:
    moment = pa.timestamp("us", tz="UTC")
    at = [START_US + (n % 30) * 4_000_000_000 for n in range(400)]
    return pa.table(
        {
            "example_id": pa.array(range(400), pa.int64()),
            "user_id": pa.array([n % 160 for n in range(400)], pa.int64()),
            "label_ts": pa.array(at, pa.int64()).cast(moment),
        }
    )


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A state folder in which processes are killed."""
    with product_folder(tmp_path_factory.mktemp("storm"), SETTINGS) as product:
        yield product


@dataclass(frozen=True)
class Calm:
    """What an undisturbed run leaves after each job: content, units done, snapshots of the index."""

    content: dict[str, list[str]]
    units: dict[str, int]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Calm:
    """The four jobs, one after another, in a process that does not die."""
    folder = tmp_path_factory.mktemp("calm")
    world, content, units = World("calm", folder), {}, {}
    lake = Lake(folder / "home", **SETTINGS)
    for step in STEPS:
        world.prepare(lake, step)
        sequences = lake.platform.sequences
        definition = parse_definition(world.file.read_text(), world.name)
        if step == "correct":
            Amendments(sequences).correct(definition, owner="me", publish=True)
        elif step == "export":
            Exports(sequences).queue(definition, world.examples, world.out, owner="me", carry=["example_id"])
        else:
            Builds(sequences).queue(definition, owner="me")
        lake.work()
        content[step] = world.state(lake.platform)
        units[step] = done(lake.platform, newest(lake.platform, world))
    lake.close()
    assert 4 == len({tuple(each) for each in content.values()})
    assert units["build"] > 10
    assert units["increment"] > 5
    assert units["correct"] > 8
    return Calm(content, units)


@contextlib.contextmanager
def lake_of(product: Product) -> Iterator[Lake]:
    lake = Lake(product.home)
    try:
        yield lake
    finally:
        lake.close()


def newest(platform: Platform, world: World) -> Job:
    return platform.store.jobs(run_id=world.run_id, limit=1)[0]


def done(platform: Platform, job: Job) -> int:
    """How many units of a job the events show as done."""
    scope = str(job.params.get("scope", "none"))
    events = platform.store.events(run_id=job.run_id, limit=5000)
    return sum(e.kind == "unit.done" and e.data["scope"].startswith(f"{scope}/") for e in events)


def wait_for_moment(platform: Platform, world: World, before: set[str], moment: int, later_s: float) -> None:
    """Until so many units of the new job are done and a little time has gone by, or the job has ended."""

    def fresh() -> Job | None:
        found = platform.store.jobs(limit=1000)
        return next((j for j in found if j.run_id == world.run_id and j.id not in before and j.started_ms), None)

    def there() -> bool:
        now = platform.store.job(job.id)
        return now.state in END_STATES or done(platform, now) >= moment

    job = wait_until(fresh, limit_s=60, what="the job")
    wait_until(there, limit_s=60, what=f"unit {moment}")
    until = time.monotonic() + later_s
    wait_until(lambda: time.monotonic() >= until, what="a moment")


def strike(product: Product, victim: str) -> None:
    """Kill it; a step that has just ended cannot be."""
    if victim != "step":
        product.kill(victim)
    for process in marked(step_mark(product.config)) if victim == "step" else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def check(product: Product, world: World, step: str, calm: Calm) -> None:
    """The content is the calm run's, in as many snapshots; each unit is done and was counted once; nothing is left."""
    with product.platform() as platform:
        assert calm.content[step] == world.state(platform)
        table = platform.catalog.load_table(world.index(platform))
        assert min(STEPS.index(step) + 1, 3) == len(table.snapshots())
        events = platform.store.events(run_id=world.run_id, limit=20_000)
        ends = collections.Counter((e.data["scope"], e.unit_id) for e in events if e.kind == "unit.done")
        assert {1} == set(ends.values())
        assert {"done"} == {unit.state for scope, _ in ends for unit in platform.store.units(scope)}
        named = {local_path(path) for path in platform.sequences.tables.held(world.index(platform))}
        assert files_of(table.location()) == named
        if step == "export":
            lists = platform.catalog.load_table(world.out)
            assert 1 == len(lists.snapshots())
            assert files_of(lists.location()) == {local_path(t.file.file_path) for t in lists.scan().plan_files()}
    assert [] == [path for path in (product.home / "spill").rglob("*") if path.is_file()]
    wait_until(lambda: not product.steps(), what="the end of the last step")


def files_of(location: str) -> set[Path]:
    """Data and delete files of a table, also half-written ones."""
    return {path for path in (local_path(location) / "data").rglob("*") if path.is_file()}


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_killed_at_random_moments(storm: Product, calm: Calm, seed: int) -> None:
    """Whatever is killed whenever, the command that was given ends well, and everything is as after a calm run."""
    rng = random.Random(seed)  # noqa: S311
    world = World(f"storm_{seed}", storm.folder)
    for place, step in enumerate(STEPS):
        with lake_of(storm) as lake:
            world.prepare(lake, step)
        with storm.platform() as platform:
            before = {job.id for job in platform.store.jobs(limit=1000)}
            follower = storm.start(*world.words(step))
            moment = rng.randint(0, calm.units[step])
            later_s = rng.random() * (0.15 if calm.units[step] else 1.5)
            wait_for_moment(platform, world, before, moment, later_s)
        strike(storm, VICTIMS[(seed + place) % len(VICTIMS)])
        ended = storm.ended(follower)
        assert 0 == ended.code, (step, ended)
        check(storm, world, step, calm)
        if step in ("build", "increment"):
            assert "present source" in storm.run(*world.words(step)).out
            check(storm, world, step, calm)
