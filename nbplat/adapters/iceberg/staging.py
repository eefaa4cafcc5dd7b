"""Staging tables: ordinary Iceberg tables beside the base's namespace, partitioned like the base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.adapters.iceberg.live import live_files
from nbplat.adapters.iceberg.swap import live_data_files
from nbplat.errors import NotFound
from nbplat.terms import RunId, SnapshotPin, StagedFile, TableName, local_path

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

__all__ = ["column_metrics", "create_staging", "drop_staging", "staging_name"]


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

    Returns:
        The table's name and its snapshot id.
    """
    import pyarrow.parquet as pq
    from pyiceberg.io.pyarrow import pyarrow_to_schema
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat

    name = staging_name(pin.table, run_id)
    catalog.create_namespace_if_not_exists(name.namespace)
    schema = pyarrow_to_schema(pq.read_schema(local_path(files[0].path)))
    properties = {
        "nbplat.run": run_id,
        "nbplat.base": pin.table,
        "write.parquet.compression-codec": "zstd",
        "format-version": "2",
    }
    table = catalog.create_table_if_not_exists(
        str(name), schema, partition_spec=_like(base.spec(), base.schema(), schema), properties=properties
    )
    if (snapshot := table.current_snapshot()) is not None:
        return str(name), snapshot.snapshot_id
    base_snapshot = base.metadata.snapshot_by_id(pin.snapshot_id or 0)
    if base_snapshot is None:
        raise NotFound("snapshot.unknown", f"{pin.table} has no snapshot {pin.snapshot_id}", fix="plan the run again")
    old = live_data_files(base, base_snapshot, {file.base_path for file in files})
    with table.transaction() as transaction:
        update = transaction.update_snapshot(snapshot_properties=dict(provenance))
        with update.fast_append() as append:
            for file in files:
                record = DataFile.from_args(
                    content=DataFileContent.DATA,
                    file_path=file.path,
                    file_format=FileFormat.PARQUET,
                    partition=old[file.base_path].partition,
                    file_size_in_bytes=file.file_bytes,
                    sort_order_id=None,
                    equality_ids=None,
                    key_metadata=None,
                    **_statistics(file.path, schema, {}),
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
        local_path(path).unlink(missing_ok=True)


def column_metrics(staged_path: str, field_ids: Mapping[str, int], properties: Mapping[str, str]) -> dict[str, Any]:
    """Manifest metrics of the new columns, keyed by their field ids in the base table.

    Returns:
        ``column_sizes``, ``value_counts``, ``null_value_counts``, ``nan_value_counts``,
        ``lower_bounds``, ``upper_bounds``: field id -> value.
    """
    import pyarrow.parquet as pq
    from pyiceberg.io.pyarrow import pyarrow_to_schema

    schema = pyarrow_to_schema(pq.read_schema(local_path(staged_path)))
    statistics = _statistics(staged_path, schema, properties)
    rename = {schema.find_field(path).field_id: field_id for path, field_id in field_ids.items()}
    return {
        kind: {rename[staged_id]: value for staged_id, value in values.items() if staged_id in rename}
        for kind, values in statistics.items()
        if isinstance(values, dict)
    }


def _statistics(path: str, schema: Schema, properties: Mapping[str, str]) -> dict[str, Any]:
    import pyarrow.parquet as pq
    from pyiceberg.io.pyarrow import (
        compute_statistics_plan,
        data_file_statistics_from_parquet_metadata,
        parquet_path_to_id_mapping,
    )

    return data_file_statistics_from_parquet_metadata(
        parquet_metadata=pq.read_metadata(local_path(path)),
        stats_columns=compute_statistics_plan(schema, dict(properties)),
        parquet_column_mapping=parquet_path_to_id_mapping(schema),
    ).to_serialized_dict()


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
