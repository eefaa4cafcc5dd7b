"""Writing the demo tables: each in one commit, named by its content, so that a second call has nothing to do."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from nbplat.demo.clean import EVENT_COLUMNS, RAW_COLUMNS, SAMPLE, CleaningReport, clean, read_sample
from nbplat.demo.examples import EXAMPLE_COLUMNS, build_examples, invoices_of
from nbplat.demo.generate import GENERATOR_VERSION, generate_months
from nbplat.errors import Conflict
from nbplat.terms import content_hash

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

__all__ = ["CONTENT_PROPERTY", "EVENTS", "TRAIN", "DemoReport", "TableReport", "load_demo"]

EVENTS = "retail.events"
TRAIN = "retail.train"

CONTENT_PROPERTY = "nbplat.demo.content"
REPORT_PROPERTY = "nbplat.demo.cleaning"

# Part of the content's name: a change of cleaning, labels or layout must change it.
LAYOUT_VERSION = 1

_PROPERTIES = {"format-version": "2", "write.parquet.compression-codec": "zstd"}


@dataclass(frozen=True, slots=True)
class TableReport:
    """One demo table.

    Attributes:
        table: ``retail.events``.
        created: False when it was there with the wanted content already.
        rows, files, file_bytes: Of the current snapshot.
        snapshot_id: The current snapshot; None when the table was emptied since.
    """

    table: str
    created: bool
    rows: int
    files: int
    file_bytes: int
    snapshot_id: int | None


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What `load_demo` found or made.

    Attributes:
        source: ``online_retail_sample.parquet`` or ``generated: rows=…, seed=…``.
        content: Hash that names the source and how it is cleaned; the same content is never loaded twice.
        events, train: The two tables.
        cleaning: What cleaning left out, from this load or from the one that made the tables.
        seconds: Wall time of this call.
    """

    source: str
    content: str
    events: TableReport
    train: TableReport
    cleaning: CleaningReport
    seconds: float

    def record(self) -> dict[str, Any]:
        return asdict(self)


def load_demo(
    catalog: Catalog,
    *,
    rows: int | None = None,
    seed: int = 7,
    replace: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> DemoReport:
    """Make `retail.events` and `retail.train`, unless they are there with the same content.

    Each table appears complete in one commit; a call that was killed between the two is completed by the next one.

    Args:
        rows: None loads the shipped sample; a number generates that many raw rows.
        seed: Of the generator; without effect for the sample.
        replace: Drop tables of other content first, with their files.
        say: Gets one line per step.

    Raises:
        Conflict: a table of that name holds something else, and `replace` is not set.
        RequestError: `rows` or `seed` is out of range.
    """
    started = time.monotonic()
    source, content, months = _source(rows, seed)
    found = _find(catalog)
    foreign = [name for name, table in found.items() if table.properties.get(CONTENT_PROPERTY) != content]
    if foreign and not replace:
        raise Conflict(
            "demo.exists",
            f"{' and '.join(foreign)} exist{'s' if len(foreign) == 1 else ''} with other content than {source}",
            fix="`nbplat demo init --replace` drops both demo tables and loads them anew",
            where=", ".join(foreign),
        )
    if foreign:
        # The later table first: whatever is killed here, what is left is never taken for complete.
        for name in (TRAIN, EVENTS):
            if found.pop(name, None) is not None:
                say(f"dropping {name}")
                catalog.purge_table(name)
    missing = [name for name in (EVENTS, TRAIN) if name not in found]
    if missing:
        say(f"loading {source}")
        found |= _build(catalog, content, months, missing, say)
    else:
        say(f"{EVENTS} and {TRAIN} are there already, from {source}: nothing to do")
    return DemoReport(
        source=source,
        content=content,
        events=_report(EVENTS, found[EVENTS], EVENTS in missing),
        train=_report(TRAIN, found[TRAIN], TRAIN in missing),
        cleaning=CleaningReport(**json.loads(found[EVENTS].properties[REPORT_PROPERTY])),
        seconds=time.monotonic() - started,
    )


def _source(rows: int | None, seed: int) -> tuple[str, str, Iterator[pa.Table]]:
    if rows is None:
        digest = hashlib.sha256(SAMPLE.read_bytes()).hexdigest()
        return SAMPLE.name, content_hash({"sample": digest, "layout": LAYOUT_VERSION}), iter([read_sample()])
    named = {"generator": GENERATOR_VERSION, "rows": rows, "seed": seed, "layout": LAYOUT_VERSION}
    months = generate_months(rows, seed=seed)
    # The first month is drawn now: a number out of range is refused before anything is dropped.
    first = next(months, RAW_COLUMNS.empty_table())
    return f"generated: rows={rows}, seed={seed}", content_hash(named), itertools.chain([first], months)


def _find(catalog: Catalog) -> dict[str, Table]:
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    found = {}
    for name in (EVENTS, TRAIN):
        with suppress(NoSuchTableError, NoSuchNamespaceError):
            found[name] = catalog.load_table(name)
    return found


def _build(
    catalog: Catalog, content: str, months: Iterator[pa.Table], missing: list[str], say: Callable[[str], None]
) -> dict[str, Table]:
    catalog.create_namespace_if_not_exists(EVENTS.split(".")[0])
    invoices: list[pa.Table] = []
    report = CleaningReport()
    end_us = 0

    def cleaned() -> Iterator[pa.Table]:
        nonlocal report, end_us
        for raw in months:
            events, counts = clean(raw)
            report += counts
            if events.num_rows:
                end_us = max(end_us, pc.max(events["event_ts"]).value)
                invoices.append(invoices_of(events))
            yield events

    made: dict[str, Table] = {}
    if EVENTS in missing:
        made[EVENTS] = _write(catalog, EVENTS, content, cleaned(), lambda: report)
    else:
        for _ in cleaned():
            pass
    say(f"{EVENTS}: {report.rows_kept:,} of {report.rows_in:,} rows kept")
    if TRAIN in missing:
        examples = build_examples(pa.concat_tables(invoices), end_us) if invoices else EXAMPLE_COLUMNS.empty_table()
        made[TRAIN] = _write(catalog, TRAIN, content, iter([examples]), lambda: report)
        say(f"{TRAIN}: {examples.num_rows:,} examples")
    return made


def _write(
    catalog: Catalog, name: str, content: str, parts: Iterable[pa.Table], report: Callable[[], CleaningReport]
) -> Table:
    """Create the table with all of `parts` and its content's name in one commit."""
    from pyiceberg.exceptions import TableAlreadyExistsError
    from pyiceberg.io.pyarrow import _dataframe_to_data_files

    transaction = catalog.create_table_transaction(name, **_layout(name))
    metadata = transaction.table_metadata
    # Only the staged table knows its file access: a REST catalog may lend credentials for this very table.
    io = transaction._table.io  # noqa: SLF001
    numbers = itertools.count()
    with transaction.update_snapshot(snapshot_properties={"nbplat.demo": content}).fast_append() as snapshot:
        for part in parts:
            # One file a partition (a part holds whole partitions), its rows in the order they come in: sorted.
            for file in _dataframe_to_data_files(metadata, part, io, counter=numbers):
                snapshot.append_data_file(file)
    transaction.set_properties(
        {CONTENT_PROPERTY: content, REPORT_PROPERTY: json.dumps(report().record(), sort_keys=True)}
    )
    with suppress(TableAlreadyExistsError):  # judged below: another call may have loaded the same content meanwhile
        transaction.commit_transaction()
    table = catalog.load_table(name)
    if table.properties.get(CONTENT_PROPERTY) != content:
        raise Conflict(
            "demo.exists", f"{name} was made by someone else meanwhile", fix="call again, with --replace if need be"
        )
    return table


def _layout(name: str) -> dict[str, Any]:
    """Schema, partitions, order and properties of a demo table, as `Catalog.create_table` takes them."""
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table.sorting import SortField, SortOrder
    from pyiceberg.transforms import BucketTransform, IdentityTransform, MonthTransform
    from pyiceberg.types import DoubleType, IntegerType, LongType, NestedField, StringType, TimestamptzType

    types = {
        pa.string(): StringType(),
        pa.int32(): IntegerType(),
        pa.int64(): LongType(),
        pa.float64(): DoubleType(),
        pa.timestamp("us", tz="UTC"): TimestamptzType(),
    }
    columns, time_column, key = (
        (EVENT_COLUMNS, "event_ts", "event_id") if name == EVENTS else (EXAMPLE_COLUMNS, "label_ts", "example_id")
    )
    ids = {field.name: number for number, field in enumerate(columns, 1)}
    partitions = [PartitionField(ids[time_column], 1000, MonthTransform(), f"{time_column}_month")]
    if name == TRAIN:
        partitions.append(PartitionField(ids[key], 1001, BucketTransform(4), f"{key}_bucket"))
    return {
        "schema": Schema(*(NestedField(ids[f.name], f.name, types[f.type], required=False) for f in columns)),
        "partition_spec": PartitionSpec(*partitions),
        "sort_order": SortOrder(*(SortField(ids[column], IdentityTransform()) for column in (time_column, key))),
        "properties": _PROPERTIES,
    }


def _report(name: str, table: Table, created: bool) -> TableReport:
    snapshot = table.current_snapshot()
    summary = snapshot.summary if snapshot else None
    return TableReport(
        table=name,
        created=created,
        rows=int((summary["total-records"] if summary else None) or 0),
        files=int((summary["total-data-files"] if summary else None) or 0),
        file_bytes=int((summary["total-files-size"] if summary else None) or 0),
        snapshot_id=snapshot.snapshot_id if snapshot else None,
    )
