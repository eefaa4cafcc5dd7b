"""What is to be trained on what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbplat.errors import RequestError
from nbplat.terms import RunId
from nbplat.training.join.order import Order
from nbplat.training.join.spec import JoinSpec

__all__ = ["TrainingSpec"]


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """A comparison of one model without and with joined columns.

    Attributes:
        name: Lower-case identifier.
        join: What is read: base table, staged runs and tables, sequences, dates. Its ``columns`` are chosen by
            `features`, so it names none.
        label: Column that holds 0 or 1 (or a boolean), no nulls.
        time: Column that orders examples in time, no nulls.
        features: Plain columns to learn from; None takes every numeric column but keys, label and time.
        keys: Columns that identify a row and are never learned from; None takes ``id`` and every column that ends
            in ``_id``.
        split: Share of the examples, oldest first, that is trained on; between 0 and 1.
        batch_rows: Rows in a batch; the last one of a pass may hold fewer.
        epochs: Passes over the training rows.
        seed: Of the order of batches, the model and the bootstrap.
        shuffle, window: The order of batches, see `join.order.Order`.
        world: Ranks that the batches are dealt to; the model sees one of each in turn, as ranks in step do.
        environment: Record of what the model runs in (``name``, ``key`` …, or ``path``); None: this process.
    """

    name: str
    join: JoinSpec
    label: str = "label"
    time: str = "label_ts"
    features: tuple[str, ...] | None = None
    keys: tuple[str, ...] | None = None
    split: float = 0.7
    batch_rows: int = 256
    epochs: int = 20
    seed: int = 7
    shuffle: str = "none"
    window: int = 4
    world: int = 1
    environment: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        RunId.check_name(self.name)
        for ok, option, value, fix in (
            (0 < self.split < 1, "split", self.split, "give a share between 0 and 1, e.g. 0.7"),
            (self.batch_rows >= 1, "batch-rows", self.batch_rows, "give 1 or more"),
            (self.epochs >= 1, "epochs", self.epochs, "give 1 or more"),
            (self.world >= 1, "world", self.world, "give 1 or more"),
            (self.features is None or len(self.features) > 0, "features", "nothing", "name a column, or leave it out"),
            (self.label != self.time, "label", self.label, "label and time are two columns"),
            (self.join.columns is None, "columns", self.join.columns, "name the columns to learn from: features"),
        ):
            if not ok:
                raise RequestError("training.option", f"--{option} {value} is not possible", fix=fix)
        _ = self.order
        names = self.features or ()
        if len(set(names)) != len(names):
            raise RequestError("training.twice", f"--features {', '.join(names)} names one twice", fix="name each once")

    @property
    def table(self) -> str:
        """The base table."""
        return self.join.base

    @property
    def order(self) -> Order:
        """How an epoch goes over the rows."""
        return Order(self.shuffle, self.seed, self.window)

    def record(self) -> dict[str, Any]:
        """JSON form; lists stand for tuples."""
        record: dict[str, Any] = {
            "name": self.name,
            "join": self.join.record(),
            "label": self.label,
            "time": self.time,
            "features": None if self.features is None else list(self.features),
            "keys": None if self.keys is None else list(self.keys),
            "split": self.split,
            "batch_rows": self.batch_rows,
            "epochs": self.epochs,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "window": self.window,
            "world": self.world,
        }
        if self.environment is not None:
            record["environment"] = dict(self.environment)
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> TrainingSpec:
        """Read what `record` wrote."""
        read: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in record.items()}
        return cls(**{**read, "join": JoinSpec.from_record(record["join"])})

    @property
    def runs_in(self) -> str:
        """Where the model runs, in words; empty for this process."""
        found = self.environment
        if found is None:
            return ""
        return f"environment {found['name']} ({found['key'][:12]})" if "key" in found else str(found["path"])
