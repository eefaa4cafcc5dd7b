"""Sequences with their adapters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbplat.compose.ground import Ground
from nbplat.terms import file_location

if TYPE_CHECKING:
    from nbplat.compose.engines import Engines
    from nbplat.sequence.sequences import Sequences

__all__ = ["open_sequences"]

# Chunks of rows and the buckets that they are dealt to need some room.
_INDEX_FLOOR_BYTES = 1 << 20


def open_sequences(ground: Ground, engines: Engines, frames: Mapping[str, Any]) -> Sequences:
    """Sequences over tables, files, and DataFrames of the notebook by `frames`."""
    from nbplat.adapters.duckdb.conditions import DuckDBConditions
    from nbplat.adapters.iceberg.export_tables import IcebergExportTables
    from nbplat.adapters.iceberg.index_tables import IcebergIndexTables
    from nbplat.adapters.iceberg.vocab_tables import IcebergVocabTables
    from nbplat.adapters.torch.tensors import as_tensors
    from nbplat.compose.event_sources import NamedSources
    from nbplat.sequence.sequences import Sequences

    config = ground.config
    return Sequences(
        store=ground.store,
        sources=NamedSources(lambda: ground.catalog, ground.storage, frames, config.home / "frames"),
        tables=IcebergIndexTables(ground.catalog),
        vocabularies=IcebergVocabTables(ground.catalog),
        exports=IcebergExportTables(ground.catalog),
        tensors=as_tensors,
        conditions=DuckDBConditions(),
        farms=engines,
        files=ground.files,
        spill=file_location(config.home / "spill" / "sequence"),
        slots=ground.slots,
        memory_bytes=max(config.memory_bytes, _INDEX_FLOOR_BYTES),
        lease_ms=ground.lease_ms,
        unit_attempts=config.unit_attempts,
        versions=ground.versions(),
    )
