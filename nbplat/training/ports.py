"""What a comparison of models asks of the world; tables and runs it asks for as `nbplat.training.join` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Model", "ModelKit"]


class Model(Protocol):
    """A binary classifier that learns batch by batch."""

    def partial_fit(self, features: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> None:
        """Learn from ``float64[rows, columns]``, finite, and labels 0 or 1."""

    def score(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """``float64[rows]``; higher means label 1 is likelier."""


class ModelKit(Protocol):
    """Makes models of one kind and measures them."""

    def new_model(self, seed: int) -> Model:
        """A fresh model that knows nothing yet."""

    def unwrap(self, model: Model) -> Any:
        """The library's own object behind a model, for the user."""

    def auc(self, labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> float:
        """Area under the ROC curve; both labels occur."""

    def describe(self) -> str:
        """What is done to the features and which model learns, one line."""
