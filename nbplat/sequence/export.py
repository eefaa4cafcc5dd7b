"""Sequences as an ordinary table: a row an example, written in one commit, so that anything can read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import pyarrow as pa

from nbplat.errors import DataError, RequestError
from nbplat.remote.sequence.stored_rows import index_type
from nbplat.sequence.batches import Batches
from nbplat.sequence.examples import Examples
from nbplat.sequence.reading import Reading
from nbplat.terms import Files, Progress, SnapshotPin, TableName, content_hash

__all__ = ["FORMS", "Export", "ExportTables", "check_export", "export_mark", "export_sequences"]

FORMS = ("lists", "padded")
_ROWS = 1 << 13


class ExportTables(Protocol):
    """Writes exported tables."""

    def check(self, name: str, owner: str, *, replace: bool) -> None:
        """Refuse a table that may not be written, before anything is computed.

        Args:
            owner: What the table is an export of.
            replace: Take any table of the name.

        Raises:
            Conflict: ``export.exists``, the table is no export of `owner`, and `replace` is false.
        """

    def write(
        self,
        name: str,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
        *,
        owner: str,
        summary: Mapping[str, str],
        replace: bool,
        mark: str = "",
    ) -> SnapshotPin:
        """Make the table with these rows, or put them in the place of all it holds, in one commit.

        Until then nobody sees any of it; when anything fails, the table is as it was.

        Args:
            schema: Of the batches; the table has the same columns afterwards.
            summary: Goes into the snapshot's summary.
            mark: Stands in the names of the files; see `export_mark`.

        Raises:
            Conflict: as `check`; ``export.moved``, somebody else has written to the table meanwhile.
        """

    def made_by(self, name: str, job: str) -> Export | None:
        """What a job has written into the table before, in a try that died behind its commit.

        Args:
            job: Under ``nbplat.job`` in the summary.
        """

    def unnamed(self, name: str, mark: str, files: Files) -> tuple[str, ...]:
        """Locations of data files with this mark that no snapshot names: of tries that died before their commit."""


@dataclass(frozen=True, slots=True)
class Export:
    """What was written.

    Attributes:
        pin: The table's new snapshot.
        rows: One an example.
        columns: Name and Arrow type of each.
        features: The feature version (see `Fitted.version`).
    """

    pin: SnapshotPin
    rows: int
    columns: tuple[tuple[str, str], ...]
    features: str

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {**asdict(self), "pin": self.pin.record(), "columns": [list(each) for each in self.columns]}


def export_mark(job: str) -> str:
    """What stands in the names of the files of all tries of a job, and of no other: the first half of a UUID."""
    digits = content_hash({"export": job})
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}"


def check_export(name: str, tables: ExportTables, to: str, form: str, *, replace: bool) -> str:
    """Refuse what cannot be written, before anything is computed; returns what the table is an export of.

    Raises:
        RequestError: no table name, an unknown form.
        Conflict: see `ExportTables.check`.
    """
    TableName.parse(to)
    if form not in FORMS:
        raise RequestError("export.form", f"form {form!r} is not possible", fix=f"give {' or '.join(FORMS)}")
    owner = f"sequence {name}"
    tables.check(to, owner, replace=replace)
    return owner


def export_sequences(
    reading: Reading,
    examples: Examples,
    tables: ExportTables,
    to: str,
    *,
    form: str = "lists",
    replace: bool = False,
    provenance: Mapping[str, str] | None = None,
    mark: str = "",
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Export:
    """Write one row an example, in their order: the columns of the examples, then the sequences.

    Args:
        to: ``namespace.table``, which is made, or replaced when it is an export of the same definition.
        form: ``lists``: a list a feature and shown column. ``padded``: lists of the declared length with the pad value,
            a list of truth values ``mask``, and ``length``.
        replace: Take the place of any table of the name.
        provenance: More for the snapshot's summary.
        mark: See `ExportTables.write`.
        progress: Told of rows.

    Raises:
        RequestError: no table name, an unknown form.
        Conflict: see `ExportTables`.
        DataError: there are no examples.
    """
    owner = check_export(reading.definition.name, tables, to, form, replace=replace)
    if not len(examples):
        raise DataError("sequence.no_examples", "there are no examples", fix="name examples that have rows")
    padded = form == "padded"
    options = {"format": "numpy", "pad_to": "length"} if padded else {"format": "arrow"}
    with reading.batches(examples, rows=_ROWS, **options) as batches:
        stream = _told(_stored(batches, padded=padded), len(examples), progress)
        first = next(stream)
        pin = tables.write(
            to,
            first.schema,
            _again(first, stream),
            owner=owner,
            summary={**_provenance(reading, examples, form), **(provenance or {})},
            replace=replace,
            mark=mark,
        )
    columns = tuple((field.name, str(field.type)) for field in first.schema)
    return Export(pin, len(examples), columns, reading.fitted.version)


def _stored(batches: Batches, *, padded: bool) -> Iterator[pa.RecordBatch]:
    """Batches in types that a table can hold."""
    for batch in batches:
        whole = _as_lists(batch, batches.carried) if padded else batch
        fields = [pa.field(field.name, index_type(field.type)) for field in whole.schema]
        yield whole.cast(pa.schema(fields))


def _as_lists(arrays: Mapping[str, Any], carried: Mapping[str, pa.ChunkedArray]) -> pa.RecordBatch:
    columns: dict[str, pa.Array] = {}
    for name, array in arrays.items():
        found = pa.array(array.reshape(-1))
        for size in array.shape[:0:-1]:
            found = pa.FixedSizeListArray.from_arrays(found, size)
        # numpy has no zones.
        columns[name] = found.cast(carried[name].type) if array.dtype.kind == "M" and name in carried else found
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _again(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest


def _told(
    batches: Iterator[pa.RecordBatch], total: int, progress: Callable[[Progress], None]
) -> Iterator[pa.RecordBatch]:
    done = 0
    for batch in batches:
        done += batch.num_rows
        yield batch
        progress(Progress(done, total, "rows"))


def _provenance(reading: Reading, examples: Examples, form: str) -> dict[str, str]:
    """What the rows were made of, so that anybody can tell from the table alone."""
    index = reading.index
    found = {
        "nbplat.export": form,
        "nbplat.sequence": reading.definition.name,
        "nbplat.definition": reading.fitted.definition,
        "nbplat.features": reading.fitted.version,
        "nbplat.source": index.source.name,
        "nbplat.source-identity": index.source.identity,
        "nbplat.examples": examples.pin.name,
        "nbplat.examples-identity": examples.pin.identity,
    }
    if index.pin is not None:
        found |= {"nbplat.index": index.pin.table, "nbplat.index-snapshot-id": str(index.pin.snapshot_id)}
    return found
