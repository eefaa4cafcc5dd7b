"""What a backfill asks of the world: tables, an engine, files. `nbplat.compose` plugs adapters in."""

from nbplat.backfill.ports.engines import Engine, Engines, PythonBodies, Runner
from nbplat.backfill.ports.files import Addition, FileLayout, Splicer, StagedWriter
from nbplat.backfill.ports.keeping import AuditLog, Sweeper
from nbplat.backfill.ports.publishing import (
    BranchHead,
    FileChange,
    Publication,
    Publisher,
    SchemaChange,
    TableFile,
    TableView,
)
from nbplat.backfill.ports.tables import (
    FileRead,
    FrameTables,
    LiveData,
    LiveTable,
    Tables,
)

__all__ = [
    "Addition",
    "AuditLog",
    "BranchHead",
    "Engine",
    "Engines",
    "FileChange",
    "FileLayout",
    "FileRead",
    "FrameTables",
    "LiveData",
    "LiveTable",
    "Publication",
    "Publisher",
    "PythonBodies",
    "Runner",
    "SchemaChange",
    "Splicer",
    "StagedWriter",
    "Sweeper",
    "TableFile",
    "TableView",
    "Tables",
]
