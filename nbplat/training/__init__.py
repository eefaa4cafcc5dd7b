"""The training join: a model reads base and staged columns together, before anything is promoted."""

from nbplat.training.evaluate import Estimate
from nbplat.training.explain import explain_plan, explain_result
from nbplat.training.join import iter_batches
from nbplat.training.plan import Coverage, JoinFile, JoinPlan, StagedUse, plan_training
from nbplat.training.ports import BaseFile, BaseTable, Model, ModelKit, StagedRuns, TrainingSource
from nbplat.training.run import TrainingResult, run_training
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
    "StagedRuns",
    "StagedUse",
    "TrainingResult",
    "TrainingSource",
    "TrainingSpec",
    "explain_plan",
    "explain_result",
    "iter_batches",
    "plan_training",
    "run_training",
]
