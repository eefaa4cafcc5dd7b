"""Shared nouns, one record a file: what crosses from one domain to another."""

from nbplat.terms.canonical import canonical_json, content_hash
from nbplat.terms.environment_ref import EnvironmentRef
from nbplat.terms.files import Files, Span, StoredFile
from nbplat.terms.location import file_location, local_path, root_of
from nbplat.terms.progress import Progress
from nbplat.terms.run_id import RunId
from nbplat.terms.snapshot_pin import HOLD_PREFIX, SnapshotPin
from nbplat.terms.staged_columns import StagedColumns
from nbplat.terms.staged_file import StagedFile
from nbplat.terms.table_name import TableName
from nbplat.terms.window import Window
from nbplat.terms.with_noun import counted

__all__ = [
    "HOLD_PREFIX",
    "EnvironmentRef",
    "Files",
    "Progress",
    "RunId",
    "SnapshotPin",
    "Span",
    "StagedColumns",
    "StagedFile",
    "StoredFile",
    "TableName",
    "Window",
    "canonical_json",
    "content_hash",
    "counted",
    "file_location",
    "local_path",
    "root_of",
]
