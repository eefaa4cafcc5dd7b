"""Batches as tensors, a model on them, here and in Ray Train; `make test-torch` makes the environment they need."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbplat.training.join import JoinSpec, Stage, plan_join
from nbplat.training.join.open import OpenJoin
from tests.fixtures.lakehouse import Lake

pytestmark = [
    pytest.mark.ray,
    # What Ray Data says of its own options when it copies them.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.skipif(
        importlib.util.find_spec("torch") is None,
        reason="torch is not in the lock: the index has builds with CUDA only; make test-torch makes a venv of its own",
    ),
]


@pytest.fixture(scope="module")
def opened(joins: Lake) -> Iterator[OpenJoin]:
    """The base with a run attached by position and a table merged by key."""
    spec = JoinSpec("j.base", on=("id",), stage=(Stage("twice@1"), Stage.parse("j.score:score")))
    with joins.platform.open_join(plan_join(spec, joins.platform.join_source, joins.backfills)) as opened:
        yield opened


@pytest.mark.parametrize("pin", [False, True])
def test_tensors_hold_what_the_arrays_hold(opened: OpenJoin, pin: bool) -> None:
    """Numbers, matrices of fixed lists, times as microseconds, texts as lists; pinned where there is CUDA."""
    import torch

    options: dict[str, Any] = {"shuffle": "window", "seed": 3}
    plain = list(opened.batches(50, format="numpy", **options))
    tensors = list(opened.batches(50, format="torch", pin=pin, **options))
    for arrays, batch in zip(plain, tensors, strict=True):
        assert arrays["score"].tolist() == batch["score"].tolist()
        assert arrays["emb"].tolist() == batch["emb"].tolist()
        assert ((len(arrays["id"]), 2), torch.float32) == (tuple(batch["emb"].shape), batch["emb"].dtype)
        assert (pin and torch.cuda.is_available()) == batch["emb"].is_pinned()
        assert isinstance(batch["user"], list)


def test_a_model_learns_from_the_batches(opened: OpenJoin) -> None:
    """A linear model finds that the staged column is twice a base column, and resumes from a token as it went on."""
    import torch

    def trained(stop: int | None = None) -> Any:
        torch.manual_seed(0)
        model = torch.nn.Linear(1, 1)
        descent = torch.optim.Adam(model.parameters(), lr=0.5)
        token = None
        for epoch in range(60):
            batches = opened.batches(64, format="torch", shuffle="window", seed=1, epoch=epoch, resume=token)
            token = None
            for number, batch in enumerate(batches):
                x, y = batch["x"].float()[:, None] / 100, batch["twice"].float()[:, None] / 100
                loss = ((model(x) - y) ** 2).mean()
                descent.zero_grad()
                loss.backward()
                descent.step()
                if epoch == 5 and number == stop:
                    rest = opened.batches(64, format="torch", resume=batches.state())
                    for batch in rest:
                        x, y = batch["x"].float()[:, None] / 100, batch["twice"].float()[:, None] / 100
                        loss = ((model(x) - y) ** 2).mean()
                        descent.zero_grad()
                        loss.backward()
                        descent.step()
                    break
        return model.weight.item()

    whole = trained()
    assert pytest.approx(2, abs=0.05) == whole
    assert whole == trained(stop=1)


@pytest.mark.parametrize("equal", ["trim", "pad"])
def test_ranks_get_equally_many_tensors(opened: OpenJoin, equal: str) -> None:
    """Two ranks have equally many batches, so no all-reduce waits for ever: trimmed whole ones, padded every row."""
    ranks = [list(opened.batches(16, format="torch", rank=rank, world=2, equal=equal)) for rank in range(2)]
    assert len(ranks[0]) == len(ranks[1]) > 0
    seen = {int(number) for rank in ranks for batch in rank for number in batch["id"]}
    if equal == "trim":
        assert {16} == {len(batch["x"]) for rank in ranks for batch in rank}
        assert 16 * 2 * len(ranks[0]) == len(seen)
    else:
        assert set(range(240)) == seen


def test_lists_of_one_length_reach_torch_without_a_copy_of_arrow(opened: OpenJoin) -> None:
    """The matrix is a view of the batch's buffer; the tensor is its one copy, since a tensor may be written to."""
    import numpy as np

    arrays = next(iter(opened.batches(50, format="numpy")))
    tensors = next(iter(opened.batches(50, format="torch")))
    assert arrays["emb"].base is not None
    assert tensors["emb"].is_contiguous()
    tensors["emb"][0, 0] = -1.0
    again = next(iter(opened.batches(50, format="torch")))
    assert np.array_equal(arrays["emb"], again["emb"].numpy())


def _descend(config: dict[str, Any]) -> None:
    """What a user writes: this rank's batches as tensors, a model that all ranks share, its weight at the end."""
    import json
    from pathlib import Path

    import ray.train
    import ray.train.torch
    import torch

    torch.manual_seed(0)
    model = ray.train.torch.prepare_model(torch.nn.Linear(1, 1))
    descent = torch.optim.Adam(model.parameters(), lr=0.5)
    seen = 0
    for epoch in range(60):
        for batch in config["shard"].batches(
            32, format="torch", shuffle="window", seed=1, epoch=epoch, equal="trim", pin=True
        ):
            seen += len(batch["x"])
            # A staged table's column and the base's lists of one length, of the same rows.
            assert torch.equal(batch["score"], batch["id"].double() * 1.5)
            assert torch.equal(batch["emb"], torch.stack([batch["id"].float(), torch.ones(len(batch["x"]))], dim=1))
            assert batch["emb"].is_pinned() == torch.cuda.is_available()
            loss = ((model(batch["x"].float()[:, None] / 100) - batch["twice"].float()[:, None] / 100) ** 2).mean()
            descent.zero_grad()
            loss.backward()
            descent.step()
    rank = ray.train.get_context().get_world_rank()
    (weight,) = [each.item() for name, each in model.named_parameters() if name.endswith("weight")]
    (Path(config["folder"]) / f"{rank}.json").write_text(json.dumps({"weight": weight, "rows": seen}))
    ray.train.report({"weight": weight})


@pytest.mark.timeout(900)  # each rank imports torch, which took minutes on two busy cores
def test_a_torch_trainer_joins_in_its_workers(opened: OpenJoin, ray_cluster: None, tmp_path: Path) -> None:
    """Two ranks read their own batches of the join, average their gradients, and end with one model, which learned.

    Staged columns of both kinds and lists of one length are there as tensors, pinned where there is CUDA.
    """
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    trainer = TorchTrainer(
        _descend,
        train_loop_config={"shard": opened.shard(), "folder": str(tmp_path)},
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 0.5}),
        run_config=RunConfig(name="descent", storage_path=str(tmp_path / "runs")),
    )
    trainer.fit()
    one, two = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert one == two
    assert pytest.approx(2, abs=0.05) == one["weight"]
    assert 60 * 32 <= one["rows"] <= 60 * 120
