"""Backfills with their adapters, the folders of their staged files, and the sweep of what nothing needs."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from nbplat.compose.ground import Ground
from nbplat.config import Config
from nbplat.errors import NotFound
from nbplat.terms import content_hash, file_location

if TYPE_CHECKING:
    from nbplat.adapters.interpreter.bodies import ChildBodies
    from nbplat.backfill.expire_run import Expirer
    from nbplat.backfill.frames import Frames
    from nbplat.backfill.run import Backfills
    from nbplat.compose.engines import Engines

__all__ = ["duckdb_settings", "open_backfills", "open_expirer", "open_frames"]

# DuckDB cannot bind, let alone spill, in less; the plan's groups follow the configured limit all the same.
_ENGINE_FLOOR_BYTES = 64 << 20


def duckdb_settings(config: Config) -> dict[str, Any]:
    """What is computed on this machine may use."""
    return {
        "threads": config.threads,
        "memory_bytes": max(config.memory_bytes, _ENGINE_FLOOR_BYTES),
        "spill_folder": str(config.home / "spill"),
    }


def open_backfills(ground: Ground, engines: Engines, bodies: ChildBodies) -> Backfills:
    """Backfill runs over the catalog as it is now."""
    from nbplat.adapters.iceberg.audit_log import IcebergAuditLog
    from nbplat.adapters.iceberg.publisher import IcebergPublisher
    from nbplat.adapters.iceberg.tables import IcebergTables
    from nbplat.adapters.local.farm import LocalFarm
    from nbplat.adapters.parquet.splicer import ParquetSplicer
    from nbplat.adapters.parquet.staged import StagedParquet
    from nbplat.backfill.cost import prices_of
    from nbplat.backfill.pieces import Pieces
    from nbplat.backfill.run import Backfills

    config = ground.config
    return Backfills(
        store=ground.store,
        tables=IcebergTables(ground.catalog),
        engine=engines.local,
        runners={"local": Pieces(LocalFarm(ground.slots))},
        engines=engines,
        bodies=bodies,
        writer=StagedParquet(ground.files, lambda table: _staged_root(ground, table)),
        splicer=ParquetSplicer(ground.files),
        publisher=IcebergPublisher(ground.catalog),
        audit_log=IcebergAuditLog(ground.catalog),
        clock=ground.clock,
        scratch=config.home / "runs",
        settings=duckdb_settings(config),
        memory_bytes=config.memory_bytes,
        lease_ms=ground.lease_ms,
        unit_attempts=config.unit_attempts,
        versions=ground.versions(),
        prices=prices_of(config),
        audit_checks=config.audit,
    )


def open_frames(ground: Ground) -> Frames:
    """Stored DataFrames."""
    from nbplat.adapters.iceberg.frames import IcebergFrames
    from nbplat.backfill.frames import Frames

    return Frames(ground.store, IcebergFrames(ground.catalog), ground.config.frame_bytes)


def open_expirer(ground: Ground, backfills: Backfills, frames: Frames) -> Expirer:
    """Sweeps staging tables and files that nothing needs."""
    from nbplat.adapters.iceberg.sweeper import IcebergSweeper
    from nbplat.backfill.expire_run import Expirer

    return Expirer(
        store=ground.store,
        sweeper=IcebergSweeper(ground.catalog),
        files=ground.files,
        frames=frames,
        clock=ground.clock,
        staging_folders=lambda tables: _staged_roots(ground, tables),
        find=backfills.find,
    )


def _staging_folder(config: Config) -> str:
    return file_location(config.home / "warehouse" / "staged")


def _staged_root(ground: Ground, table: str) -> str:
    """Folder of the staged files of a table's runs; on an object store one of this ledger's own.

    Others stage there as well, under the same run ids, and must neither overwrite nor expire our files.
    """
    from nbplat.adapters.iceberg.catalog import staged_root

    config = ground.config
    shared = staged_root(ground.catalog, table)
    url = config.store_url.rpartition("@")[2] or f"{platform.node()}:{config.home}"
    return f"{shared}/{content_hash({'ledger': url})[:12]}" if shared else _staging_folder(config)


def _staged_roots(ground: Ground, tables: Collection[str]) -> set[str]:
    """Every folder of staged files of these tables; one that was dropped cannot be asked any more."""
    roots = {_staging_folder(ground.config)}
    for table in tables:
        with contextlib.suppress(NotFound):
            roots.add(_staged_root(ground, table))
    return roots
