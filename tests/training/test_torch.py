"""Batches as tensors, and a model on them; `make test-torch` makes the environment that these need."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest

from nbplat.training.join import JoinSpec, Stage, plan_join
from nbplat.training.join.open import OpenJoin
from tests.fixtures.lakehouse import Lake

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="torch is not in the lock: the index has builds with CUDA only; make test-torch makes a venv of its own",
)


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
