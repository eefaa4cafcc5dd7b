"""What the training join asks of the world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from nbplat.terms import SnapshotPin, StagedColumns, StagedFile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

__all__ = [
    "BaseFile",
    "BaseTable",
    "Model",
    "ModelKit",
    "OpenSequences",
    "SequenceColumns",
    "SequenceUse",
    "StagedRuns",
    "TrainingSource",
]


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


@dataclass(frozen=True, slots=True)
class SequenceUse:
    """A user sequence whose padded features are joined as columns.

    Attributes:
        ref: As asked for: ``home``, ``home@2``, ``home.short``.
        version: Of the definition.
        columns: Names of the float columns: ``home__amount_0`` is the first token's amount, null where the sequence is
            shorter; ``home__length`` counts tokens.
        reads: Columns of the base that say whose sequence, and as of when.
        shape: Tokens and features, in words: ``20 tokens of 3 features``.
        facts: What was read of, and by which rule, for the plan.
    """

    ref: str
    version: str
    columns: tuple[str, ...]
    reads: tuple[str, ...]
    shape: str
    facts: Mapping[str, Any] = field(default_factory=dict)


class OpenSequences(Protocol):
    """The sequences of all rows of a plan; made once, read in any order."""

    def columns(self, ref: str, path: str) -> pa.Table:
        """The columns of one sequence for the live rows of a base file, in file order; float32, null where padded."""

    def close(self) -> None:
        """Let go of what is held."""


class SequenceColumns(Protocol):
    """Kept definitions of sequences, as far as training joins them."""

    def describe(self, ref: str, columns: Mapping[str, str]) -> SequenceUse:
        """What a sequence would add to a base table of these columns (name -> Iceberg type).

        Raises:
            NotFound: there is no such definition or variant.
            RequestError: the base lacks a column that it needs, or it has no features.
        """

    def open(self, uses: Sequence[SequenceUse], files: Iterator[tuple[str, pa.Table]]) -> OpenSequences:
        """Find the sequences of all rows.

        Args:
            files: Path and live rows of each base file, in file order, with all columns that any use reads.
        """


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
