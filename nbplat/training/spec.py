"""What is to be trained on what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nbplat.errors import RequestError
from nbplat.terms import RunId, TableName

__all__ = ["UNCOVERED", "TrainingSpec"]

UNCOVERED = ("refuse", "null")


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """A comparison of one model without and with staged columns.

    Attributes:
        name: Lower-case identifier.
        table: The base table, ``retail.train``.
        stage: Runs whose columns are joined, ``("spend_90d@1",)``; empty joins none.
        sequences: Kept sequences whose padded features are joined as columns, ``("home", "home.short")``; without any
            and without a run it trains on the plain columns only.
        label: Column that holds 0 or 1 (or a boolean), no nulls.
        time: Column that orders examples in time, no nulls.
        features: Plain columns to learn from; None takes every numeric column but keys, label and time.
        keys: Columns that identify a row and are never learned from; None takes ``id`` and every column that ends
            in ``_id``.
        split: Share of the examples, oldest first, that is trained on; between 0 and 1.
        batch_rows: Rows in a batch; the last one of a pass may hold fewer.
        epochs: Passes over the training rows.
        seed: Of the model and of the bootstrap.
        environment: Record of what the model runs in (``name``, ``key`` …, or ``path``); None: this process.
        uncovered: What to do with base files that a run has no staged file for: ``refuse``, or ``null`` to join nulls.
    """

    name: str
    table: str
    stage: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ()
    label: str = "label"
    time: str = "label_ts"
    features: tuple[str, ...] | None = None
    keys: tuple[str, ...] | None = None
    split: float = 0.7
    batch_rows: int = 256
    epochs: int = 20
    seed: int = 7
    uncovered: str = "refuse"
    environment: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        RunId.check_name(self.name)
        TableName.parse(self.table)
        for ok, option, value, fix in (
            (0 < self.split < 1, "split", self.split, "give a share between 0 and 1, e.g. 0.7"),
            (self.batch_rows >= 1, "batch-rows", self.batch_rows, "give 1 or more"),
            (self.epochs >= 1, "epochs", self.epochs, "give 1 or more"),
            (self.seed >= 0, "seed", self.seed, "give 0 or more"),
            (self.uncovered in UNCOVERED, "uncovered", self.uncovered, f"give {' or '.join(UNCOVERED)}"),
            (self.features is None or len(self.features) > 0, "features", "nothing", "name a column, or leave it out"),
            (self.label != self.time, "label", self.label, "label and time are two columns"),
        ):
            if not ok:
                raise RequestError("training.option", f"--{option} {value} is not possible", fix=fix)
        for what, names in (
            ("stage", self.stage),
            ("sequence", self.sequences),
            ("features", self.features or ()),
        ):
            if len(set(names)) != len(names):
                raise RequestError(
                    "training.twice", f"--{what} {', '.join(names)} names one twice", fix="name each once"
                )

    def record(self) -> dict[str, Any]:
        """JSON form; lists stand for tuples."""
        record = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        if self.environment is None:
            del record["environment"]
        return record

    @property
    def runs_in(self) -> str:
        """Where the model runs, in words; empty for this process."""
        found = self.environment
        if found is None:
            return ""
        return f"environment {found['name']} ({found['key'][:12]})" if "key" in found else str(found["path"])
