"""What the training join asks of the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from nbplat.terms import SnapshotPin, StagedColumns, StagedFile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

__all__ = ["BaseFile", "BaseTable", "Model", "ModelKit", "StagedRuns", "TrainingSource"]


@dataclass(frozen=True, slots=True)
class BaseFile:
    """One data file of the base table.

    Attributes:
        path: As its manifest spells it.
        rows: Physical rows; more than the live ones when `deletes` is above 0.
        deletes: Delete files that apply to it.
        partition: ``label_ts_month=2011-03/example_id_bucket=2``; empty in a table without partitions.
        period: The value of the time partition, ``2011-03``; ``all`` where there is none.
    """

    path: str
    rows: int
    deletes: int
    partition: str
    period: str


@dataclass(frozen=True, slots=True)
class BaseTable:
    """The base table at one snapshot, from metadata only.

    Attributes:
        columns: Name and Iceberg type of each top-level column, in schema order.
        files: All data files, in any order; empty for an empty table.
    """

    pin: SnapshotPin
    columns: tuple[tuple[str, str], ...]
    files: tuple[BaseFile, ...]


class TrainingSource(Protocol):
    """Reads base and staged files. Called from one prefetching thread at a time."""

    def describe(self, table: str) -> BaseTable:
        """The table's current snapshot. Raises NotFound."""

    def read_base(self, pin: SnapshotPin, path: str, columns: Sequence[str]) -> pa.Table:
        """Live rows of one base file in file order, exactly `columns` in that order.

        Raises Conflict when the snapshot or the file is gone.
        """

    def live_positions(self, pin: SnapshotPin, path: str) -> npt.NDArray[np.int64]:
        """Physical positions of one base file's live rows, in file order, as `read_base` gives the rows.

        Raises Conflict when the snapshot or the file is gone.
        """

    def read_staged(self, pin: SnapshotPin, file: StagedFile, columns: Sequence[str]) -> pa.Table:
        """All rows of a staged file in file order, by column name. Raises DataError when it is gone or lacks one."""


class StagedRuns(Protocol):
    """The ledger of backfill runs, as far as a reader of staged columns needs it."""

    def staged_columns(self, run_id: str) -> StagedColumns:
        """What a run has staged completely. Raises NotFound (nearest ids), Conflict when it is not staged yet."""


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
