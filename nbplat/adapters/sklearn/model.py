"""Logistic regression that learns batch by batch, or a user's own classifier."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

from nbplat.errors import RequestError, SetupError

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
        if model is not None and not (
            hasattr(model, "partial_fit") and (hasattr(model, "predict_proba") or hasattr(model, "decision_function"))
        ):
            raise RequestError(
                "training.model",
                f"{type(model).__name__} cannot learn batch by batch",
                fix="give an object with partial_fit(X, y) and predict_proba(X) or decision_function(X)",
            )
        self._model = model

    def new_model(self, seed: int) -> Model:
        """A fresh model; `seed` is of the default one, a user's own carries its own."""
        return _Logistic(seed) if self._model is None else _Own(copy.deepcopy(self._model))

    def unwrap(self, model: Model) -> Any:
        """The pipeline (log, scaler, classifier) of the default model, or the copy of the user's own."""
        return model.unwrap() if isinstance(model, _Logistic | _Own) else model

    def auc(self, labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> float:
        """``sklearn.metrics.roc_auc_score``."""
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(labels, scores))

    def describe(self) -> str:
        """One line for the explain text."""
        if self._model is None:
            return "sign(x)·log(1+|x|), then StandardScaler, then SGDClassifier(log_loss), all by partial_fit"
        return f"unscaled, to a copy of your {type(self._model).__name__}"


def signed_log(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """``sign(x)·log(1+|x|)``: money and counts have long tails, which would drown the gradient's other steps."""
    import numpy as np

    return np.asarray(np.copysign(np.log1p(np.abs(values)), values))


class _Logistic:
    def __init__(self, seed: int) -> None:
        from sklearn.linear_model import SGDClassifier
        from sklearn.preprocessing import StandardScaler

        self.scaler = StandardScaler()
        self.classifier = SGDClassifier(
            loss="log_loss", alpha=1e-3, learning_rate="adaptive", eta0=0.01, average=True, random_state=seed
        )

    def partial_fit(self, features: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> None:
        logs = signed_log(features)
        self.scaler.partial_fit(logs)
        self.classifier.partial_fit(self.scaler.transform(logs), labels, classes=[0, 1])

    def score(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        scores: npt.NDArray[np.float64] = self.classifier.decision_function(self.scaler.transform(signed_log(features)))
        return scores

    def unwrap(self) -> Any:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer

        return make_pipeline(FunctionTransformer(signed_log), self.scaler, self.classifier)


class _Own:
    def __init__(self, model: Any) -> None:
        self.model = model
        self.extra = {"classes": [0, 1]} if "classes" in inspect.signature(model.partial_fit).parameters else {}

    def partial_fit(self, features: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> None:
        self.model.partial_fit(features, labels, **self.extra)

    def score(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        import numpy as np

        if hasattr(self.model, "decision_function"):
            return np.asarray(self.model.decision_function(features), dtype=np.float64).ravel()
        return np.asarray(self.model.predict_proba(features), dtype=np.float64)[:, 1]

    def unwrap(self) -> Any:
        return self.model
