"""Staging tables: ordinary Iceberg tables beside the base's namespace, partitioned like the base."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nbplat.adapters.iceberg.file_metrics import FileMetrics, parquet_schema
from nbplat.adapters.iceberg.live import live_files
from nbplat.adapters.iceberg.swap import live_data_files
from nbplat.errors import NotFound
from nbplat.terms import RunId, SnapshotPin, StagedFile, TableName

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

__all__ = ["create_staging", "drop_staging", "staging_name"]


def staging_name(base: str, run_id: str) -> TableName:
    """``retail.train`` and ``spend_90d@1`` -> ``retail__bf.train__spend_90d__1``."""
    table, run = TableName.parse(base), RunId.parse(run_id)
    return TableName(f"{table.namespace.replace('.', '__')}__bf", f"{table.name}__{run.name}__{run.number}")


def create_staging(
    catalog: Catalog,
    base: Table,
    pin: SnapshotPin,
    run_id: str,
    files: Sequence[StagedFile],
    provenance: Mapping[str, str],
) -> tuple[str, int]:
    """Make the staging table and append every file in one snapshot; what an earlier try did stays.

    It is partitioned like the base; not at all when the base's files lie under several partition specs.

    Returns:
        The table's name and its snapshot id.
    """
    from pyiceberg.io.pyarrow import pyarrow_to_schema
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
    from pyiceberg.typedef import Record

    name = staging_name(pin.table, run_id)
    catalog.create_namespace_if_not_exists(name.namespace)
    old = _planned_files(base, pin, files)
    alike = all(record.spec_id == base.spec().spec_id for record in old.values())
    arrow = parquet_schema(base, files[0].path)
    schema = pyarrow_to_schema(arrow)
    spec = _like(base.spec(), base.schema(), schema) if alike else UNPARTITIONED_PARTITION_SPEC
    properties = {
        "nbplat.run": run_id,
        "nbplat.base": pin.table,
        "write.parquet.compression-codec": "zstd",
        "format-version": "2",
    }
    table = catalog.create_table_if_not_exists(str(name), schema, partition_spec=spec, properties=properties)
    if (snapshot := table.current_snapshot()) is not None:
        return str(name), snapshot.snapshot_id
    metrics = FileMetrics(table, arrow)
    with table.transaction() as transaction:
        update = transaction.update_snapshot(snapshot_properties=dict(provenance))
        with update.fast_append() as append:
            for file in files:
                record = DataFile.from_args(
                    content=DataFileContent.DATA,
                    file_path=file.path,
                    file_format=FileFormat.PARQUET,
                    partition=old[file.base_path].partition if table.spec().fields else Record(),
                    record_count=file.rows,
                    file_size_in_bytes=file.file_bytes,
                    sort_order_id=None,
                    equality_ids=None,
                    key_metadata=None,
                    **metrics.of(file.path),
                )
                record.spec_id = table.spec().spec_id
                append.append_data_file(record)
    snapshot = table.refresh().current_snapshot()
    assert snapshot is not None  # noqa: S101 - the append above made it
    return str(name), snapshot.snapshot_id


def drop_staging(catalog: Catalog, name: str) -> None:
    """Drop a staging table and delete its data files; nothing happens when it is gone."""
    from pyiceberg.exceptions import NoSuchTableError

    try:
        table = catalog.load_table(name)
    except NoSuchTableError:
        return
    paths = [live.path for live in live_files(table, table.current_snapshot())]
    catalog.drop_table(name)
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            table.io.delete(path)


def _planned_files(base: Table, pin: SnapshotPin, files: Sequence[StagedFile]) -> dict[str, DataFile]:
    snapshot = base.metadata.snapshot_by_id(pin.snapshot_id or 0)
    if snapshot is None:
        raise NotFound(
            "snapshot.expired",
            f"snapshot {pin.snapshot_id} of {pin.table} was expired while the run was staged",
            fix="run the cell again on the present snapshot; keep snapshots longer or tag them while runs need them",
        )
    return live_data_files(base, snapshot, {file.base_path for file in files})


def _like(spec: PartitionSpec, base: Schema, staging: Schema) -> PartitionSpec:
    """The base's partition spec on the staging table's field ids."""
    from pyiceberg.partitioning import PartitionField, PartitionSpec

    return PartitionSpec(
        *(
            PartitionField(
                source_id=staging.find_field(base.find_column_name(field.source_id) or "").field_id,
                field_id=field.field_id,
                transform=field.transform,
                name=field.name,
            )
            for field in spec.fields
        )
    )
