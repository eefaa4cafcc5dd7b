"""The training join: a model reads base and staged columns together, before anything is promoted."""

from nbplat.training.evaluate import Estimate
from nbplat.training.explain import explain_plan, explain_result
from nbplat.training.plan import TrainingPlan, plan_training
from nbplat.training.ports import Model, ModelKit
from nbplat.training.result import Period, SequenceShare, TrainingResult
from nbplat.training.run import run_training
from nbplat.training.spec import TrainingSpec

__all__ = [
    "Estimate",
    "Model",
    "ModelKit",
    "Period",
    "SequenceShare",
    "TrainingPlan",
    "TrainingResult",
    "TrainingSpec",
    "explain_plan",
    "explain_result",
    "plan_training",
    "run_training",
]
