"""Models that learn in another interpreter: a declared environment, or one by its path."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbplat.errors import DataError, from_record
from nbplat.remote.child import Child
from nbplat.remote.failure import KernelError
from nbplat.training.evaluate import auc

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from nbplat.training.ports import Model

__all__ = ["ChildKit", "FittedThere", "ModelPlace"]


@dataclass(frozen=True, slots=True)
class FittedThere:
    """A fitted model, as it was pickled where it learned.

    Attributes:
        where: The environment, in words.
        data: The pickled object; empty when it cannot be pickled, which `why` tells.
    """

    where: str
    data: bytes = field(repr=False)
    why: str = ""

    def load(self) -> Any:
        """The object, in this process; it needs the packages that made it, in versions that read it.

        Raises:
            DataError: ``training.pickle``: it could not be pickled where it learned.
        """
        if self.why:
            raise DataError("training.pickle", self.why, fix="train in this process, without --env, to have it")
        return pickle.loads(self.data)  # noqa: S301 - what the user's own model became


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """An interpreter in which a cell's model can learn.

    Attributes:
        settings: ``interpreter``, ``folder``, ``limit_s`` and ``environment``; see `ChildBodies.settings`.
        source: Text that binds ``model``; empty takes the default one.
        notes: What a person should know of the environment.
    """

    settings: dict[str, Any]
    source: str
    notes: tuple[str, ...] = ()

    @property
    def environment(self) -> dict[str, Any]:
        """What a training spec says of it."""
        built = self.settings["environment"]
        if built is None:
            return {"path": self.settings["interpreter"]}
        return {key: value for key, value in built.items() if key != "prefix"}

    def open(self) -> ChildKit:
        """Start the interpreter and make the model in it; to be closed."""
        built = self.settings["environment"]
        where = f"environment {built['name']} ({built['key'][:12]})" if built else self.settings["interpreter"]
        return ChildKit(self.settings, self.source, where)


class ChildKit:
    """Implements `nbplat.training.ports.ModelKit`; to be closed.

    Args:
        record: ``interpreter``, ``folder`` and ``limit_s``; see `ChildBodies.settings`.
        source: Text that binds ``model``; empty takes scikit-learn's default one.
        where: The environment, in words.

    Raises:
        SetupError: the interpreter does not start, or lacks numpy or pyarrow.
        RequestError, DataError: ``training.model``, ``training.raised``: what is wrong with the source.
    """

    def __init__(self, record: dict[str, Any], source: str, where: str) -> None:
        self._where = where
        self._limit_s = record["limit_s"]
        try:
            self._child = Child(record["interpreter"], record["folder"])
        except KernelError as error:
            raise from_record(error.record()) from None
        try:
            self._type = str(self._call({"do": "model.define", "source": source})[0]["type"])
        except BaseException:
            self.close()
            raise

    def new_model(self, seed: int) -> Model:
        """See the port; `seed` is of the default model, a user's own carries its own."""
        return _There(self, self._call({"do": "model.new", "seed": seed})[0]["model"])

    def unwrap(self, model: Model) -> Any:
        """The fitted object as a `FittedThere`."""
        assert isinstance(model, _There)  # noqa: S101 - this kit made it
        try:
            return FittedThere(self._where, self._call({"do": "model.take", "model": model.number})[1])
        except DataError as error:
            # The figures stand; only the object cannot be had here.
            return FittedThere(self._where, b"", error.message)

    def auc(self, labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> float:
        """See the port."""
        return auc(labels, scores)

    def describe(self) -> str:
        """One line for the explain text."""
        if not self._type:
            return f"sign(x)·log(1+|x|), then StandardScaler, then SGDClassifier(log_loss), in {self._where}"
        return f"unscaled, to copies of your {self._type} in {self._where}"

    def close(self) -> None:
        """End the child."""
        self._child.close()

    def learn(self, verb: str, number: int, features: npt.NDArray[np.float64], labels: Any = None) -> bytes:
        """Send a batch to a model; returns what it answers."""
        import numpy as np

        rows, columns = features.shape
        payload = np.ascontiguousarray(features, dtype=np.float64).tobytes()
        if labels is not None:
            payload += np.ascontiguousarray(labels, dtype=np.int64).tobytes()
        head = {"do": f"model.{verb}", "model": number, "rows": rows, "columns": columns}
        return self._call(head, payload)[1]

    def _call(self, head: dict[str, Any], payload: bytes = b"") -> tuple[dict[str, Any], bytes]:
        try:
            return self._child.call(head, payload, self._limit_s)
        except KernelError as error:
            record = error.record()
            record["code"] = record["code"].replace("body.", "training.")
            record["message"] = record["message"].replace("the Python body", f"the model in {self._where}")
            raise from_record(record) from None


class _There:
    """One model in the child."""

    def __init__(self, kit: ChildKit, number: int) -> None:
        self._kit = kit
        self.number = number

    def partial_fit(self, features: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> None:
        self._kit.learn("fit", self.number, features, labels)

    def score(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        import numpy as np

        return np.frombuffer(self._kit.learn("score", self.number, features), dtype=np.float64)
