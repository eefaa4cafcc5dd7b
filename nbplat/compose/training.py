"""Training joins with their adapters: what reads, what trains, what a batch becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbplat.compose.ground import Ground

if TYPE_CHECKING:
    from nbplat.adapters.ray.pool import RayPool
    from nbplat.compose.engines import Engines
    from nbplat.sequence.sequences import Sequences
    from nbplat.terms import EnvironmentRef
    from nbplat.training.join import JoinPlan, JoinSource
    from nbplat.training.join.open import OpenJoin
    from nbplat.training.join.sequence_use import SequenceSource
    from nbplat.training.ports import ModelKit

__all__ = ["join_source", "model_kit", "open_join", "sequence_columns"]


def join_source(ground: Ground) -> JoinSource:
    """Tables as training joins plan and read them, over the catalog as it is now."""
    from nbplat.adapters.iceberg.join_source import IcebergJoinSource

    return IcebergJoinSource(ground.catalog)


def open_join(
    ground: Ground,
    plan: JoinPlan,
    sequences: SequenceSource | None,
    engines: Callable[[], Engines],
    environment: Callable[[str], EnvironmentRef],
) -> OpenJoin:
    """Read a planned join in this process, or on Ray when that is asked for.

    Args:
        sequences: Where the sequences of plans are kept; None for a plan without any.
        engines: Know the cluster.
        environment: Finds a built environment by what a person calls it.
    """
    from nbplat.adapters.torch.tensors import as_tensors
    from nbplat.adapters.xgboost.data_iter import data_iter
    from nbplat.training.join.open import OpenJoin

    def pool(asked: JoinPlan, env: str) -> RayPool:
        reads = next((f.path for unit in asked.units for f in unit.files), "")
        return engines().ray_pool(reads, environment(env).record() if env else None)

    return OpenJoin(
        plan,
        join_source(ground),
        tensors=as_tensors,
        trees=data_iter,
        clock=ground.clock,
        threads=ground.slots,
        memory_bytes=ground.config.memory_bytes,
        sequences=sequences,
        pool=pool,
        runtime_env=lambda env: engines().ray_environment(environment(env).record(), "train"),
    )


def sequence_columns(ground: Ground, sequences: Sequences) -> SequenceSource:
    """Kept sequences as columns of training joins."""
    from nbplat.compose.sequence_columns import KeptSequences

    return KeptSequences(sequences, ground.config.home / "frames")


def model_kit(model: Any = None) -> ModelKit:
    """scikit-learn's default model, or a user's own object, with the measures."""
    from nbplat.adapters.sklearn.model import SklearnKit

    return SklearnKit(model)
