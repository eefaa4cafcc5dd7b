"""The join itself: spec -> plan (pinned files, hashed) -> units read anywhere -> batches in a seeded order."""

from nbplat.training.join.coverage import Cover, SeenCover, coverage
from nbplat.training.join.explain import explain_join
from nbplat.training.join.plan import JoinPlan
from nbplat.training.join.planning import plan_join
from nbplat.training.join.ports import JoinRuns, JoinSource
from nbplat.training.join.spec import JoinSpec, Stage

__all__ = [
    "Cover",
    "JoinPlan",
    "JoinRuns",
    "JoinSource",
    "JoinSpec",
    "SeenCover",
    "Stage",
    "coverage",
    "explain_join",
    "plan_join",
]
