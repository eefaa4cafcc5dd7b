"""Reading base files with their staged columns attached by position, in even batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa

from nbplat.errors import DataError, InternalError, NotFound, did_you_mean
from nbplat.training.plan import JoinFile, JoinPlan, rows_differ
from nbplat.training.ports import OpenSequences, SequenceColumns, TrainingSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

__all__ = ["iter_batches", "open_sequences", "read_joined"]

_POSITION = "nb_pos"


def iter_batches(
    plan: JoinPlan,
    source: TrainingSource,
    columns: Sequence[str] | None = None,
    batch_rows: int | None = None,
    *,
    sequences: OpenSequences | None = None,
) -> Iterator[pa.RecordBatch]:
    """Read the join: every live row of the base once, in plan order, staged columns and sequences beside it.

    The next file is read by one thread while the present one is consumed; memory is two joined files and a batch.

    Args:
        columns: Names, of base and staged columns alike, in the order wanted; None takes keys aside every feature,
            the label and the time.
        batch_rows: Rows in a batch; only the last may hold fewer. None takes the spec's.
        sequences: What `open_sequences` opened; needed for columns of sequences.

    Raises:
        NotFound: a column that neither side has.
        DataError: a staged file's rows do not fit its base file's (``training.rows``).
        Conflict: the pinned snapshot or a file of it is gone.
    """
    wanted = tuple(columns or dict.fromkeys((*plan.features, *plan.joined_features, plan.spec.label, plan.spec.time)))
    size = plan.spec.batch_rows if batch_rows is None else batch_rows
    if size < 1:
        raise ValueError(f"batch_rows {size} is below 1")
    rows_in = rows_out = 0
    held: list[pa.Table] = []
    held_rows = 0
    for table in _prefetched(plan, source, wanted, sequences):
        rows_in += table.num_rows
        held.append(table)
        held_rows += table.num_rows
        if held_rows < size:
            continue
        joined = pa.concat_tables(held)
        whole = held_rows - held_rows % size
        for start in range(0, whole, size):
            rows_out += size
            yield _one_batch(joined.slice(start, size))
        held, held_rows = [joined.slice(whole)], held_rows - whole
    if held_rows:
        rows_out += held_rows
        yield _one_batch(pa.concat_tables(held))
    if rows_out != rows_in:
        raise InternalError("training.rows_out", f"{rows_in} rows went in, {rows_out} came out", fix="report this")


def open_sequences(plan: JoinPlan, source: TrainingSource, sequences: SequenceColumns | None) -> OpenSequences | None:
    """Find the sequences of all rows of a plan; None when it joins none. Close what it returns."""
    if not plan.sequences or sequences is None:
        return None
    reads = tuple(dict.fromkeys(name for use in plan.sequences for name in use.reads))
    files = ((file.base.path, source.read_base(plan.base, file.base.path, reads)) for file in plan.files)
    return sequences.open(plan.sequences, files)


def read_joined(
    plan: JoinPlan,
    source: TrainingSource,
    file: JoinFile,
    columns: Sequence[str],
    sequences: OpenSequences | None = None,
) -> pa.Table:
    """One base file with its staged columns and sequences.

    Without deletes row i of the staged file belongs to row i of the base file. With deletes the staged
    file's ``nb_pos`` says which physical row each of its rows is; rows deleted since are left out.
    """
    staged_at = {name: at for at, use in enumerate(plan.staged) if not use.from_base for name in use.names}
    of_sequences = set(plan.sequence_features)
    base_columns = [name for name in columns if name not in staged_at and name not in of_sequences]
    # A column is needed to learn the live row count when only staged ones are asked for.
    base = source.read_base(plan.base, file.base.path, base_columns or [plan.spec.label])
    if not file.base.deletes and base.num_rows != file.base.rows:
        raise DataError(
            "training.base_rows",
            f"the file has {base.num_rows} rows, its manifest says {file.base.rows}",
            fix="the table's metadata and files disagree: repair the table",
            where=file.base.path,
        )
    found: dict[str, pa.ChunkedArray] = {name: base[name] for name in base_columns}
    for at, use in enumerate(plan.staged):
        names = [name for name in use.names if staged_at.get(name) == at and name in columns]
        if not names:
            continue
        staged = file.staged[at]
        if staged is None:
            kinds = dict(use.columns)
            found |= {n: pa.chunked_array([pa.nulls(base.num_rows, arrow_type(kinds[n]))]) for n in names}
            continue
        if file.base.deletes:
            positions = source.live_positions(plan.base, file.base.path)
            table = _at_positions(source.read_staged(plan.base, staged, [*names, _POSITION]), positions)
        else:
            table = source.read_staged(plan.base, staged, names)
        if table.num_rows != base.num_rows:
            raise rows_differ(use.run_id, file.base.path, base.num_rows, table.num_rows)
        kinds = dict(use.columns)
        found |= {n: table[n].cast(arrow_type(kinds[n])) for n in names}
    for sequence in plan.sequences:
        if sequences is None or of_sequences.isdisjoint(columns):
            break
        table = sequences.columns(sequence.ref, file.base.path)
        if table.num_rows != base.num_rows:
            raise InternalError(
                "training.sequence_rows",
                f"{sequence.ref} has {table.num_rows} rows for a base file of {base.num_rows}",
                fix="report this",
                where=file.base.path,
            )
        found |= {name: table[name] for name in sequence.columns}
    return pa.table([found[name] for name in columns], names=list(columns))


def _at_positions(staged: pa.Table, positions: npt.NDArray[np.int64]) -> pa.Table:
    """The staged rows of these physical rows, both in file order; fewer rows when some were never staged."""
    import numpy as np

    at = np.flatnonzero(np.isin(staged[_POSITION].to_numpy(), positions, assume_unique=True))
    return staged.take(pa.array(at))


def _prefetched(
    plan: JoinPlan, source: TrainingSource, columns: tuple[str, ...], sequences: OpenSequences | None
) -> Iterator[pa.Table]:
    with ThreadPoolExecutor(1, thread_name_prefix="nbplat-join") as pool:
        ahead: Future[pa.Table] | None = None
        for position, file in enumerate(plan.files):
            present = ahead or pool.submit(read_joined, plan, source, file, columns, sequences)
            table = present.result()
            following = plan.files[position + 1 : position + 2]
            ahead = pool.submit(read_joined, plan, source, following[0], columns, sequences) if following else None
            yield table


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]


_ARROW: Mapping[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
}


def arrow_type(kind: str) -> pa.DataType:
    """The Arrow type of a numeric Iceberg type; decimals are read as doubles.

    Raises:
        NotFound: a type that is no number.
    """
    if kind.startswith("decimal"):
        return pa.float64()
    if kind not in _ARROW:
        raise NotFound("training.type", f"{kind!r} is no numeric type", fix=did_you_mean(kind, _ARROW))
    return _ARROW[kind]
