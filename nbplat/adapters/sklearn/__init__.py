"""scikit-learn: the default model of the training join, and any object with its batch interface."""

from nbplat.adapters.sklearn.model import SklearnKit

__all__ = ["SklearnKit"]
