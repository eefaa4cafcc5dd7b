"""Logistic regression that learns batch by batch, or a user's own classifier."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from nbplat.errors import RequestError, SetupError
from nbplat.remote.logistic import Logistic
from nbplat.remote.models import Own, can_learn

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from nbplat.training.ports import Model

__all__ = ["SklearnKit"]


class SklearnKit:
    """Makes models for `nbplat.training`.

    Args:
        model: None takes a signed log(1 + |x|) of every column, StandardScaler and SGDClassifier(loss="log_loss");
            else any object with ``partial_fit(X, y)`` and ``predict_proba`` or ``decision_function``. It is copied
            for each fit and gets the columns unscaled.

    Raises:
        RequestError: the object lacks one of these methods.
        SetupError: scikit-learn is not installed.
    """

    def __init__(self, model: Any = None) -> None:
        try:
            import sklearn.metrics  # noqa: F401  # the AUC needs it with any model
        except ImportError as exc:
            raise SetupError(
                "training.sklearn", "scikit-learn is not installed", fix="pip install 'nbplat[sklearn]'"
            ) from exc
        if model is not None and not can_learn(model):
            raise RequestError(
                "training.model",
                f"{type(model).__name__} cannot learn batch by batch",
                fix="give an object with partial_fit(X, y) and predict_proba(X) or decision_function(X)",
            )
        self._model = model

    def new_model(self, seed: int) -> Model:
        """A fresh model; `seed` is of the default one, a user's own carries its own."""
        return Logistic(seed) if self._model is None else Own(copy.deepcopy(self._model))

    def unwrap(self, model: Model) -> Any:
        """The pipeline (log, scaler, classifier) of the default model, or the copy of the user's own."""
        return model.unwrap() if isinstance(model, Logistic | Own) else model

    def auc(self, labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> float:
        """``sklearn.metrics.roc_auc_score``."""
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(labels, scores))

    def describe(self) -> str:
        """One line for the explain text."""
        if self._model is None:
            return "sign(x)·log(1+|x|), then StandardScaler, then SGDClassifier(log_loss), all by partial_fit"
        return f"unscaled, to a copy of your {type(self._model).__name__}"
