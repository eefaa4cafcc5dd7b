"""The default classifier: logistic regression that learns batch by batch, by scikit-learn where it runs."""

from __future__ import annotations

from typing import Any

__all__ = ["Logistic", "signed_log"]


def signed_log(values: Any) -> Any:
    """``sign(x)·log(1+|x|)``: money and counts have long tails, which would drown the gradient's other steps."""
    import numpy as np

    return np.asarray(np.copysign(np.log1p(np.abs(values)), values))


class Logistic:
    """Signed log, StandardScaler, SGDClassifier(loss="log_loss"); each learns from the batch."""

    def __init__(self, seed: int) -> None:
        from sklearn.linear_model import SGDClassifier
        from sklearn.preprocessing import StandardScaler

        self.scaler = StandardScaler()
        self.classifier = SGDClassifier(
            loss="log_loss", alpha=1e-3, learning_rate="adaptive", eta0=0.01, average=True, random_state=seed
        )

    def partial_fit(self, features: Any, labels: Any) -> None:
        """Learn from ``float64[rows, columns]`` and labels 0 or 1."""
        logs = signed_log(features)
        self.scaler.partial_fit(logs)
        self.classifier.partial_fit(self.scaler.transform(logs), labels, classes=[0, 1])

    def score(self, features: Any) -> Any:
        """``float64[rows]``."""
        return self.classifier.decision_function(self.scaler.transform(signed_log(features)))

    def unwrap(self) -> Any:
        """The three as one pipeline."""
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer

        return make_pipeline(FunctionTransformer(signed_log), self.scaler, self.classifier)
