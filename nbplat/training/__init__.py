"""The training join: a model reads base and staged columns together, before anything is promoted."""

from nbplat.training.attach import iter_batches, open_sequences
from nbplat.training.evaluate import Estimate
from nbplat.training.explain import explain_plan, explain_result
from nbplat.training.plan import Coverage, JoinFile, JoinPlan, StagedUse, plan_training
from nbplat.training.ports import (
    BaseFile,
    BaseTable,
    Model,
    ModelKit,
    OpenSequences,
    SequenceColumns,
    SequenceUse,
    StagedRuns,
    TrainingSource,
)
from nbplat.training.run import SequenceShare, TrainingResult, run_training
from nbplat.training.spec import TrainingSpec

__all__ = [
    "BaseFile",
    "BaseTable",
    "Coverage",
    "Estimate",
    "JoinFile",
    "JoinPlan",
    "Model",
    "ModelKit",
    "OpenSequences",
    "SequenceColumns",
    "SequenceShare",
    "SequenceUse",
    "StagedRuns",
    "StagedUse",
    "TrainingResult",
    "TrainingSource",
    "TrainingSpec",
    "explain_plan",
    "explain_result",
    "iter_batches",
    "open_sequences",
    "plan_training",
    "run_training",
]
