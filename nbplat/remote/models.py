"""Models that learn in a child interpreter, for whoever trains: made from a cell's text, fed batch by batch.

A message's head holds ``do`` and what it needs, its payload arrays one after the other:
    model.define: ``source``: text that binds ``model``; empty takes the default one. Answers its ``type``.
    model.new: ``seed``; answers a ``model`` number.
    model.fit: ``model``, ``rows``, ``columns``; payload ``float64[rows, columns]``, then ``int64[rows]`` labels.
    model.score: the same without labels; answers ``float64[rows]``.
    model.take: ``model``; answers the fitted object, pickled.
"""

from __future__ import annotations

import copy
import inspect
import linecache
import pickle
import sys
import traceback
from types import ModuleType
from typing import Any

from .failure import KernelError
from .logistic import Logistic

__all__ = ["Models", "Own", "can_learn"]

_FILE = "<model>"


class Own:
    """A user's own classifier, copied for each fit."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.extra = {"classes": [0, 1]} if "classes" in inspect.signature(model.partial_fit).parameters else {}

    def partial_fit(self, features: Any, labels: Any) -> None:
        """Learn from ``float64[rows, columns]`` and labels 0 or 1."""
        self.model.partial_fit(features, labels, **self.extra)

    def score(self, features: Any) -> Any:
        """``float64[rows]``."""
        import numpy as np

        if hasattr(self.model, "decision_function"):
            return np.asarray(self.model.decision_function(features), dtype=np.float64).ravel()
        return np.asarray(self.model.predict_proba(features), dtype=np.float64)[:, 1]

    def unwrap(self) -> Any:
        """The object itself."""
        return self.model


def can_learn(model: Any) -> bool:
    """Whether an object has ``partial_fit`` and one of ``predict_proba`` and ``decision_function``."""
    return hasattr(model, "partial_fit") and (hasattr(model, "predict_proba") or hasattr(model, "decision_function"))


class Models:
    """The models of one child."""

    def __init__(self) -> None:
        self._pattern: Any = None
        self._models: list[Any] = []

    def do(self, head: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], Any]:
        """Answer a message.

        Raises:
            KernelError: ``training.model``, ``training.raised``.
        """
        verb = head["do"].partition(".")[2]
        try:
            if verb == "define":
                return {"type": self._define(head["source"])}, b""
            if verb == "new":
                made = Logistic(head["seed"]) if self._pattern is None else Own(copy.deepcopy(self._pattern))
                self._models.append(made)
                return {"model": len(self._models) - 1}, b""
            model = self._models[head["model"]]
            if verb == "take":
                return {}, pickle.dumps(model.unwrap())
            return {}, _learn(model, verb, head["rows"], head["columns"], payload)
        except KernelError:
            raise
        except Exception as exc:  # noqa: BLE001 - user code may raise anything
            raise _raised(exc, verb) from None

    def _define(self, source: str) -> str:
        if not source.strip():
            self._pattern = None
            Logistic(0)  # says at once that scikit-learn is not here
            return ""
        # Findable by name, as pickle wants it.
        module = ModuleType("nbplat_model")
        sys.modules[module.__name__] = module
        linecache.cache[_FILE] = (len(source), None, source.splitlines(keepends=True), _FILE)
        exec(compile(source, _FILE, "exec"), module.__dict__)  # noqa: S102 - running the user's cell is what we are for
        if "model" not in module.__dict__:
            raise KernelError(
                "training.model",
                "the cell binds no model",
                fix="assign an estimator with partial_fit to the name model",
                kind="RequestError",
            )
        self._pattern = module.__dict__["model"]
        if not can_learn(self._pattern):
            raise KernelError(
                "training.model",
                f"{type(self._pattern).__name__} cannot learn batch by batch",
                fix="give an object with partial_fit(X, y) and predict_proba(X) or decision_function(X)",
                kind="RequestError",
            )
        return type(self._pattern).__name__


def _learn(model: Any, verb: str, rows: int, columns: int, payload: bytes) -> Any:
    import numpy as np

    features = np.frombuffer(payload, dtype=np.float64, count=rows * columns).reshape(rows, columns)
    if verb == "fit":
        # A copy: what a message came in cannot be written, and a user's model may scale in place.
        model.partial_fit(features.copy(), np.frombuffer(payload, dtype=np.int64, offset=features.nbytes).copy())
        return b""
    scores = np.ascontiguousarray(model.score(features.copy()), dtype=np.float64)
    if scores.shape != (rows,):
        raise KernelError(
            "training.model", f"the model gives scores of shape {scores.shape} for {rows} rows", fix="give one per row"
        )
    return scores


def _raised(exc: Exception, verb: str) -> KernelError:
    lines = [
        f"line {frame.lineno}: {frame.line}"
        for frame in traceback.extract_tb(exc.__traceback__)
        if frame.filename == _FILE
    ]
    traceback.print_exc()
    at = f" at {lines[-1]}" if lines else ""
    doing = {"define": "the cell", "fit": "partial_fit", "score": "scoring", "take": "pickling"}.get(verb, verb)
    fix = "mend it; the log has its output"
    if isinstance(exc, ModuleNotFoundError) and exc.name:
        fix = f"add {exc.name} to the environment, or leave --env out"
    return KernelError("training.raised", f"{doing} raised {type(exc).__name__}: {exc}{at}", fix=fix)
