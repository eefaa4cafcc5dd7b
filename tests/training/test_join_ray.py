"""The Ray runners of a join: the same batches as here, whoever dies meanwhile; nothing shuffled."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.ray import pool
from nbplat.adapters.ray.cluster import RaySettings
from nbplat.adapters.ray.kept import token_words
from nbplat.adapters.ray.pool import RayPool
from nbplat.errors import Conflict, RemoteError, RequestError, SetupError
from nbplat.remote.failure import KernelError
from nbplat.remote.memory_limits import machine_bytes
from nbplat.remote.training.ray_unit import knows_attempts
from nbplat.terms import Window, local_path
from nbplat.training.join import JoinPlan, JoinSpec, Stage, plan_join
from nbplat.training.join.open import OpenJoin
from tests.fixtures.lakehouse import Lake
from tests.fixtures.waiting import wait_until

pytestmark = [
    pytest.mark.ray,
    # What Ray Data says of its own options when it copies them.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]

BOTH = (Stage("twice@1"), Stage.parse("j.score:score"))
SETTINGS = RaySettings("", threads=2, memory_bytes=1 << 30, bundle=lambda: "")


def _plan(lake: Lake, *stage: Stage, **options: Any) -> JoinPlan:
    return plan_join(JoinSpec("j.base", on=("id",), stage=stage, **options), lake.platform.join_source, lake.backfills)


@pytest.fixture(scope="module")
def opened(joins: Lake, ray_cluster: None) -> Iterator[OpenJoin]:
    with joins.platform.open_join(_plan(joins, *BOTH)) as opened:
        yield opened


def _rows(batches: Any) -> list[list[dict[str, Any]]]:
    return [batch.to_pylist() for batch in batches]


def _sent(value: Any) -> Any:
    """As a worker gets it."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - our own


@pytest.mark.parametrize("shuffle", ["none", "bucket", "window"])
@pytest.mark.parametrize("seed", [0, 7])
def test_the_runners_give_the_same_batches(opened: OpenJoin, shuffle: str, seed: int) -> None:
    """Threads here, tasks of Ray, a shard elsewhere and a dataset of Ray: row for row and batch for batch the same."""
    options: dict[str, Any] = {"shuffle": shuffle, "seed": seed, "epoch": 1, "window": 3}
    here = _rows(opened.batches(50, **options))
    assert here == _rows(opened.batches(50, runner="ray", **options))
    shard = _sent(opened.shard(0, 1))
    assert here == _rows(shard.batches(50, **options))
    dataset = opened.to_ray(**options)
    got = dataset.iter_batches(batch_size=50, batch_format="pyarrow", prefetch_batches=0)
    assert here == [batch.to_pylist() for batch in got]
    # One operator, which reads: there is nothing in between that could shuffle.
    operators = [line for line in dataset.stats().splitlines() if line.startswith("Operator")]
    assert ["Operator 1 ReadTrainingJoin"] == [line.partition(":")[0] for line in operators]


@pytest.mark.parametrize("shuffle", ["none", "window"])
def test_a_shard_deals_as_the_runner_here_does(opened: OpenJoin, shuffle: str) -> None:
    """Ranks of a world get the same batches, trimmed to equally many as well; dates that cut are counted there."""
    options: dict[str, Any] = {"shuffle": shuffle, "seed": 3, "window": 2, "equal": "trim"}
    for rank in range(3):
        here = _rows(opened.batches(9, rank=rank, world=3, **options))
        assert here == _rows(_sent(opened.shard(rank, 3)).batches(9, **options))


def test_dates_and_numbers_are_the_same_in_a_shard(joins: Lake) -> None:
    """Rows outside the dates are left out and not counted; arrays have the form that they have here."""
    opened = joins.platform.open_join(_plan(joins, BOTH[0], dates=Window.parse("2026-11-01", "2026-11-03")))
    here = opened.batches(20, rank=1, world=2, equal="pad", format="numpy")
    there = _sent(opened.shard(1, 2)).batches(20, equal="pad", format="numpy")
    for ours, theirs in zip(here, there, strict=True):
        assert list(ours) == list(theirs)
        assert all((ours[name] == theirs[name]).all() for name in ours)
    assert here.state() == there.state()
    assert [cover.record() for cover in here.seen] == [cover.record() for cover in there.seen]


def test_a_token_goes_on_in_another_runner(opened: OpenJoin) -> None:
    """Begun here, gone on in Ray, ended in a shard: the batches of one pass; another world size is refused there."""
    options: dict[str, Any] = {"shuffle": "window", "seed": 11, "window": 2}
    whole = _rows(opened.batches(16, **options))
    first = opened.batches(16, **options)
    got = [batch.to_pylist() for _, batch in zip(range(4), first, strict=False)]
    token = first.state()
    second = opened.batches(16, runner="ray", resume=token)
    for batch in second:
        got.append(batch.to_pylist())
        if len(got) == 10:
            break
    got += _rows(_sent(opened.shard(0, 1)).batches(16, resume=second.state()))
    assert whole == got
    of_two = opened.batches(16, rank=0, world=2).state()
    with pytest.raises(KernelError, match=r"training\.world.*rank 0 of 2.*rank 1 of 3"):
        opened.shard(1, 3).batches(16, resume=of_two)
    with pytest.raises(RequestError, match=r"training\.world"):
        opened.batches(16, rank=1, world=3, runner="ray", resume=of_two)


class Deadly(RayPool):
    """Workers that are killed in the middle of a unit: so many times, then no more.

    Args:
        folder: Where the tries are counted, one file a unit.
        known: Whether a piece may count its tries by itself.
    """

    def __init__(self, folder: Path, victim: str, times: int, known: bool) -> None:
        super().__init__(SETTINGS, attempts=2)
        self.folder, self.victim, self.times = folder, victim, times
        self.counted = 2 if known else 99

    def _marked(self, unit: Any) -> Any:
        return unit._replace(task=_DeadlyTask(unit.task, str(self.folder / "tries"), self.times))

    def join(self, unit: Any) -> Any:
        return super().join(self._marked(unit) if unit.name == self.victim else unit)

    def dataset(self, pieces: Any) -> Any:
        return super().dataset(
            [
                piece._replace(
                    units=tuple(self._marked(u) if u.name == self.victim else u for u in piece.units),
                    attempts=self.counted,
                )
                for piece in pieces
            ]
        )


class _DeadlyTask(dict[str, Any]):
    """A task that kills the worker that reads it."""

    def __init__(self, task: Any, tries: str, times: int, driver: int = 0) -> None:
        super().__init__(task)
        self.tries, self.times, self.driver = tries, times, driver or os.getpid()

    def __reduce__(self) -> Any:
        return _DeadlyTask, (dict(self), self.tries, self.times, self.driver)

    def __getitem__(self, name: str) -> Any:
        if name == "sides" and os.getpid() != self.driver:
            with open(self.tries, "a") as file:  # noqa: PTH123 - runs in a worker
                file.write("x")
            if os.path.getsize(self.tries) <= self.times:  # noqa: PTH202
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(name)


def _deadly(opened: OpenJoin, folder: Path, times: int, *, known: bool = True) -> OpenJoin:
    """The same join over a pool in which the workers of its third unit die.

    Args:
        known: Whether a task knows how often it was begun.
    """
    made = Deadly(folder, opened.plan.units[2].name, times, known)
    return OpenJoin(
        opened.plan, opened._source, tensors=lambda arrays: {}, trees=lambda *_: None, pool=lambda plan, env: made
    )


def test_a_killed_worker_costs_no_row(opened: OpenJoin, tmp_path: Path) -> None:
    """With -9 in the middle of an epoch: the batches are those of an epoch in which nobody died."""
    options: dict[str, Any] = {"shuffle": "window", "seed": 5, "window": 2}
    whole = _rows(opened.batches(50, **options))
    assert whole == _rows(_deadly(opened, tmp_path, 1).batches(50, runner="ray", **options))
    assert 2 == (tmp_path / "tries").stat().st_size
    (tmp_path / "tries").unlink()
    dataset = _deadly(opened, tmp_path, 1).to_ray(**options)
    got = dataset.iter_batches(batch_size=50, batch_format="pyarrow", prefetch_batches=0)
    assert whole == [batch.to_pylist() for batch in got]
    assert 2 == (tmp_path / "tries").stat().st_size


def test_a_unit_that_keeps_killing_its_worker_is_named(opened: OpenJoin, tmp_path: Path) -> None:
    """After so many workers it is given up: the error says which unit, its files and its size, and what mends it."""
    unit = opened.plan.units[2]
    file = local_path(unit.files[0].path).name
    named = rf"ray\.worker.*2 times.*{unit.name} \({file}: {unit.rows} rows.*max_unit_bytes"
    with pytest.raises(RemoteError, match=named):
        list(_deadly(opened, tmp_path, 99).batches(50, runner="ray"))
    assert 2 == (tmp_path / "tries").stat().st_size
    (tmp_path / "tries").unlink()
    with pytest.raises(Exception, match=named):
        _deadly(opened, tmp_path, 99).to_ray().materialize()


def test_this_ray_tells_a_task_how_often_it_was_begun() -> None:
    """The bound of a dataset's retries, and the name of what is given up, rest on a call that Ray does not document.

    When this fails, Ray has moved it: find it anew for `nbplat.remote.training.ray_unit`, or live with the fall-back.
    """
    assert knows_attempts()


def test_without_that_call_the_retries_of_a_dataset_are_bounded_by_ray(
    opened: OpenJoin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives up after as many workers, without a name; and a worker that dies once costs no row."""
    monkeypatch.setattr(pool, "knows_attempts", lambda: False)
    deadly = _deadly(opened, tmp_path, 99, known=False)
    with pytest.raises(Exception, match=r"(?s)worker.*died|crashed"):
        deadly.to_ray().materialize()
    assert 2 == (tmp_path / "tries").stat().st_size
    (tmp_path / "tries").unlink()
    got = _deadly(opened, tmp_path, 1, known=False).to_ray().iter_batches(batch_size=50, batch_format="pyarrow")
    assert _rows(opened.batches(50)) == [batch.to_pylist() for batch in got]


def test_a_file_that_is_gone_names_the_unit_from_the_worker_too(tmp_path: Path, ray_cluster: None) -> None:
    """A shard, the pool and the dataset say which partition, and that its snapshot or run was swept."""
    lake = Lake(tmp_path / "home")
    lake.make_shop()
    run = lake.stage("twice", "SELECT id, x * 2 AS twice FROM base", keys=("id",))
    spec = JoinSpec("shop.orders", stage=(Stage(run),))
    opened = lake.platform.open_join(plan_join(spec, lake.platform.join_source, lake.backfills))
    lost = opened.plan.units[2]
    staged = lost.sides[0].files[0]
    assert staged is not None
    local_path(staged.path).unlink()
    told = rf"training\.file_gone.*{lost.name}.*hold"
    with pytest.raises(Conflict, match=told):
        list(opened.batches(7, runner="ray"))
    with pytest.raises(KernelError, match=told):
        list(_sent(opened.shard(0, 1)).batches(7))
    with pytest.raises(KernelError, match=told):
        opened.to_ray().materialize()
    lake.close()


def test_a_shard_that_nobody_gave_a_rank_says_so(opened: OpenJoin) -> None:
    """Outside of a trainer's worker the rank must be given."""
    with pytest.raises(KernelError, match=r"training\.option.*join\.shard\(rank, world\)"):
        opened.shard().batches()


def test_a_cluster_of_another_version_is_refused(ray_cluster: None, tmp_path: Path) -> None:
    """The error names both versions and the command that makes them one; nothing is run there."""
    import ray

    address = ray.get_runtime_context().gcs_address
    script = (
        "import ray; ray.__version__ = '2.59.0'\n"
        "from nbplat.adapters.ray.cluster import RaySettings, cluster\n"
        "from nbplat.errors import RemoteError\n"
        "from nbplat.remote.bundle import write_bundle\n"
        f"settings = RaySettings({address!r}, 1, 1 << 30, lambda: write_bundle({str(tmp_path)!r}))\n"
        "try:\n"
        "    with cluster(settings): print('joined')\n"
        "except RemoteError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    told = rf"ray\.version.*Ray {ray.__version__}.*2\.59\.0.*pip install .ray=={ray.__version__}"
    assert re.search(told, done.stdout), done.stdout


def test_a_join_on_a_cluster_of_another_version_is_refused(joins: Lake, ray_cluster: None, tmp_path: Path) -> None:
    """By a dataset, by tasks and by the question which cluster it is, each with both versions and the command."""
    import ray

    script = (
        "import ray; ray.__version__ = '2.59.0'\n"
        "import nbplat as nb\n"
        "from nbplat.errors import RemoteError\n"
        f"with nb.local(home={str(joins.home)!r}) as here:\n"
        "    join = here.training_join('j.base', stage=['twice@1'])\n"
        "    for begin in (join.to_ray, lambda: join.batches(50, runner='ray'), join.start_ray):\n"
        "        try: begin()\n"
        "        except RemoteError as error: print(error)\n"
        "    assert not ray.is_initialized()\n"
    )
    _, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    environ = {**os.environ, "RAY_ADDRESS": f"127.0.0.1:{port}"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    lines = done.stdout.splitlines()
    told = rf"ray\.version.*Ray {ray.__version__}.*2\.59\.0.*pip install .ray=={ray.__version__}"
    assert [True] * 3 == [re.search(told, line) is not None for line in lines]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "no token"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "s3cret"}, "token authentication, token in RAY_AUTH_TOKEN"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "/no/file"}, "token in /no/file \\(which is not there\\)"),
    ],
)
def test_a_token_is_named_but_not_shown(variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status says that a token is used and where it comes from."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert re.search(words, token_words())
    assert "s3cret" not in token_words()


def _loop(config: dict[str, Any]) -> None:
    """What a user writes: batches of this rank, the token in the checkpoint, and here a worker that dies once."""
    import json
    import os
    import signal
    import tempfile
    from pathlib import Path

    import ray.train

    rank, folder = ray.train.get_context().get_world_rank(), Path(config["folder"])
    kept, token = ray.train.get_checkpoint(), None
    if kept is not None:
        with kept.as_directory() as inside:
            token = json.loads((Path(inside) / f"{rank}.json").read_text())
    batches = config["shard"].batches(8, shuffle="window", seed=4, window=1, equal="trim", resume=token)
    for batch in batches:
        with (folder / f"{rank}.jsonl").open("a") as seen:
            seen.write(json.dumps([batches.state()["batch"], batch["id"].to_pylist()]) + "\n")
        number = batches.state()["batch"]
        if rank == 1 and number == 8 and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number % 5 == 0:
            with tempfile.TemporaryDirectory() as inside:
                (Path(inside) / f"{rank}.json").write_text(json.dumps(batches.state()))
                ray.train.report({"batch": number}, checkpoint=ray.train.Checkpoint.from_directory(inside))


def test_a_trainer_whose_worker_dies_goes_on_where_it_was(opened: OpenJoin, tmp_path: Path) -> None:
    """Two ranks of Ray Train; one is killed with -9 between checkpoints: what follows the token is identical."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    (tmp_path / "seen").mkdir()
    trainer = DataParallelTrainer(
        _loop,
        train_loop_config={"shard": opened.shard(), "folder": str(tmp_path / "seen")},
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 0.5}),
        run_config=RunConfig(
            name="join", storage_path=str(tmp_path / "runs"), failure_config=FailureConfig(max_failures=1)
        ),
    )
    trainer.fit()
    for rank in range(2):
        whole = opened.batches(8, shuffle="window", seed=4, window=1, equal="trim", rank=rank, world=2)
        expected = dict(enumerate((batch["id"].to_pylist() for batch in whole), 1))
        lines = [json.loads(line) for line in (tmp_path / "seen" / f"{rank}.jsonl").read_text().splitlines()]
        assert expected == dict(lines)
        assert all(expected[number] == ids for number, ids in lines)
        # The second life begins behind a checkpoint (or anew, if none was whole by then), and gives the rest.
        numbers = [number for number, _ in lines]
        begins = max(at for at, number in enumerate(numbers) if at == 0 or number <= numbers[at - 1])
        assert 0 < begins
        assert 1 == numbers[begins] % 5
        assert list(range(numbers[begins], len(expected) + 1)) == numbers[begins:]


def _cramped(opened: OpenJoin, size: int) -> OpenJoin:
    """The same join, whose units are said to take so many bytes each."""
    units = tuple(replace(unit, decoded_bytes=size) for unit in opened.plan.units)
    return OpenJoin(
        replace(opened.plan, units=units),
        opened._source,
        tensors=lambda arrays: {},
        trees=lambda *_: None,
        pool=lambda plan, env: RayPool(SETTINGS),
    )


def test_a_unit_that_does_not_fit_into_a_worker_is_refused(opened: OpenJoin) -> None:
    """A task of a dataset and one of a pass share their node with as many as it has CPUs; one less and it is taken."""
    share = RayPool(SETTINGS).memory_bytes
    assert 0 < share < machine_bytes()
    told = r"training\.memory.*one row group.*a worker's share of the smallest Ray node is.*fewer CPUs"
    for begin in (_cramped(opened, share + 1).to_ray, lambda: _cramped(opened, share + 1).batches(50, runner="ray")):
        with pytest.raises(SetupError, match=told):
            begin()
    with pytest.raises(SetupError, match=r"training\.memory.*window of 3 units.*window=2"):
        _cramped(opened, share // 2).to_ray(shuffle="window", window=3)
    rows = [row for batch in opened.batches(50) for row in batch["id"].to_pylist()]
    fits = _cramped(opened, share).to_ray().iter_batches(batch_size=50, batch_format="pyarrow")
    assert rows == [row for batch in fits for row in batch["id"].to_pylist()]


def _begin(config: dict[str, Any]) -> None:
    """A rank that would read more than its share of the machine."""
    import json
    from pathlib import Path

    import ray.train

    from nbplat.remote.failure import KernelError

    rank = ray.train.get_context().get_world_rank()
    try:
        config["shard"].batches(8)
        told = "begun"
    except KernelError as error:
        told = str(error)
    (Path(config["folder"]) / f"{rank}.json").write_text(json.dumps(told))


def test_ranks_of_a_trainer_share_the_memory_of_their_node(opened: OpenJoin, tmp_path: Path) -> None:
    """What one rank could hold alone is refused in each of two, before it reads, with what mends it."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    cramped = _cramped(opened, machine_bytes() * 6 // 10)
    trainer = DataParallelTrainer(
        _begin,
        train_loop_config={"shard": cramped.shard(), "folder": str(tmp_path)},
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 0.5}),
        run_config=RunConfig(name="cramped", storage_path=str(tmp_path / "runs")),
    )
    trainer.fit()
    for rank in range(2):
        told = json.loads((tmp_path / f"{rank}.json").read_text())
        assert re.search(r"training\.memory.*the share of a rank, one of 2 on this machine, is.*fewer ranks", told)
    assert 240 == sum(batch.num_rows for batch in cramped.shard(0, 1).batches(8))


def _boost(config: dict[str, Any]) -> None:
    """What a user writes: a matrix of this rank's rows, trained together with the other rank."""
    import json
    from pathlib import Path

    import ray.train
    import xgboost

    rows = xgboost.QuantileDMatrix(config["shard"].data_iter("x", ["twice", "emb"], 32), max_bin=64)
    model = xgboost.train({"max_depth": 4, "nthread": 1, "max_bin": 64}, rows, 20)
    rank = ray.train.get_context().get_world_rank()
    told = {"rows": rows.num_row(), "columns": rows.num_col(), "trees": model.get_dump()}
    (Path(config["folder"]) / f"{rank}.json").write_text(json.dumps(told))
    if rank == 0:
        model.save_model(Path(config["folder"]) / "model.ubj")
    ray.train.report({"rows": rows.num_row()})


def test_xgboost_learns_in_the_workers_of_ray_train(opened: OpenJoin, tmp_path: Path) -> None:
    """Two ranks, each its own rows of the join, agree on one model, which has learned that the staged column is 2 x."""
    import numpy as np
    import xgboost
    from ray.train import RunConfig, ScalingConfig
    from ray.train.xgboost import XGBoostTrainer

    trainer = XGBoostTrainer(
        _boost,
        train_loop_config={"shard": opened.shard(), "folder": str(tmp_path)},
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 0.5}),
        run_config=RunConfig(name="trees", storage_path=str(tmp_path / "runs")),
    )
    trainer.fit()
    one, two = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert (240, 3, 3) == (one["rows"] + two["rows"], one["columns"], two["columns"])
    assert one["trees"] == two["trees"]
    (whole,) = opened.batches(240, format="numpy")
    model = xgboost.Booster(model_file=tmp_path / "model.ubj")
    guessed = model.inplace_predict(np.column_stack([whole["twice"], whole["emb"]]))
    assert np.abs(guessed - whole["x"]).mean() < 3


def test_a_column_that_a_shard_does_not_have_is_named(opened: OpenJoin) -> None:
    """XGBoost hands on what the iterator says, with the columns that there are."""
    import xgboost

    with pytest.raises(KernelError, match=r"training\.column.*'twise'.*twice"):
        xgboost.QuantileDMatrix(opened.shard(0, 1).data_iter("x", ["twise"]))


def test_a_ray_that_is_started_here_ends_with_its_process(tmp_path: Path) -> None:
    """It starts at the first question, says what it is, and leaves neither a process nor a folder."""
    script = (
        "from nbplat.adapters.ray.cluster import RaySettings\n"
        "from nbplat.adapters.ray.pool import RayPool\n"
        "pool = RayPool(RaySettings('', 1, 1 << 30, lambda: '', kept=True))\n"
        "import sys; assert 'ray' not in sys.modules\n"
        "print(pool.start())\n"
        "import ray; print(ray.get_runtime_context().get_temp_dir())\n"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False, env=environ
    )
    assert 0 == done.returncode, done.stderr
    line, folder = done.stdout.splitlines()[-2:]
    assert re.fullmatch(r"Ray [\d.]+ on this machine: 1 CPUs, token authentication, token in RAY_AUTH_TOKEN", line)
    assert not Path(folder).exists()
    wait_until(lambda: not _running_in(folder), limit_s=60)


def _running_in(folder: str) -> list[str]:
    """Processes that were started with the folder in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if folder.encode() in path.read_bytes():
                found.append(path.parent.name)
    return found
