"""Which delete files apply to which data file: the scope rules of the Iceberg spec ("Scan Planning")."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from nbplat.adapters.iceberg.manifests import content_range, referenced_data_file

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestEntry
    from pyiceberg.table import Table

__all__ = ["DeleteFile", "DeleteKind", "Deletes"]

_PATH_FIELD_ID = 2147483546  # file_path in a position delete file


class DeleteKind(Enum):
    """How a delete file names the rows it removes."""

    POSITION = "position deletes"
    VECTOR = "deletion vector"
    EQUALITY = "equality deletes"


@dataclass(frozen=True, slots=True, eq=False)
class DeleteFile:
    """A delete file, from its manifest.

    Attributes:
        sequence_number: Data sequence number; what is older is in its scope.
        referenced: The one data file it is about; None when it may be about several.
        range_bytes: Offset and length of the vector in its Puffin file; None for Parquet delete files.
    """

    file: DataFile
    kind: DeleteKind
    sequence_number: int
    referenced: str | None
    range_bytes: tuple[int, int] | None


@dataclass(slots=True)
class _Scope:
    """Delete files of one scope."""

    position: list[DeleteFile] = field(default_factory=list)
    equality: list[DeleteFile] = field(default_factory=list)


class Deletes:
    """Finds the delete files that apply to a data file (Iceberg spec, "Scan Planning").

    - Position deletes: the data is not newer, and spec and partition are equal; where the delete file
      names one data file (by reference, or by equal bounds of its paths), exactly that one.
    - A deletion vector: the data file it names, not newer; position deletes then do not apply.
    - Equality deletes: the data is older, and spec and partition are equal, or the delete file's spec is
      unpartitioned: then it is about the whole table.
    """

    def __init__(self, table: Table) -> None:
        self._unpartitioned = {
            spec_id: all(str(each.transform) == "void" for each in spec.fields)
            for spec_id, spec in table.specs().items()
        }
        self._vectors: dict[str, list[DeleteFile]] = defaultdict(list)
        self._by_path: dict[str, list[DeleteFile]] = defaultdict(list)
        self._by_partition: dict[tuple[Any, ...], _Scope] = defaultdict(_Scope)
        self._everywhere: list[DeleteFile] = []
        self._empty = True

    def add(self, entry: ManifestEntry) -> None:
        """Take in a delete file."""
        self._empty = False
        delete = _delete_file(entry)
        if delete.kind is DeleteKind.VECTOR:
            self._vectors[delete.referenced or ""].append(delete)
        elif delete.kind is DeleteKind.POSITION and delete.referenced is not None:
            self._by_path[delete.referenced].append(delete)
        elif delete.kind is DeleteKind.POSITION:
            self._by_partition[_partition(delete.file)].position.append(delete)
        elif self._unpartitioned[delete.file.spec_id]:
            self._everywhere.append(delete)
        else:
            self._by_partition[_partition(delete.file)].equality.append(delete)

    def applying(self, file: DataFile, number: int) -> tuple[DeleteFile, ...]:
        """The delete files that apply to a data file of this data sequence number; vectors and positions first."""
        if self._empty:
            return ()
        path = file.file_path
        scope = self._by_partition.get(_partition(file))
        equality = [*self._everywhere, *(scope.equality if scope else ())]
        positions = [d for d in self._vectors.get(path, ()) if d.sequence_number >= number]
        if not positions:
            in_partition = (d for d in (scope.position if scope else ()) if _can_name(d.file, path))
            named = (*self._by_path.get(path, ()), *in_partition)
            positions = [d for d in named if d.sequence_number >= number]
        return (*positions, *(d for d in equality if d.sequence_number > number))


def _delete_file(entry: ManifestEntry) -> DeleteFile:
    from pyiceberg.manifest import DataFileContent, FileFormat

    file = entry.data_file
    if file.content == DataFileContent.EQUALITY_DELETES:
        return DeleteFile(file, DeleteKind.EQUALITY, entry.sequence_number or 0, None, None)
    kind = DeleteKind.VECTOR if file.file_format == FileFormat.PUFFIN else DeleteKind.POSITION
    referenced = referenced_data_file(file) or _only_path(file)
    return DeleteFile(file, kind, entry.sequence_number or 0, referenced, content_range(file))


def _partition(file: DataFile) -> tuple[Any, ...]:
    values: Sequence[Any] = [file.partition[n] for n in range(len(file.partition))]
    return (file.spec_id, *values)


def _path_bounds(file: DataFile) -> tuple[bytes, bytes] | None:
    lower, upper = (file.lower_bounds or {}).get(_PATH_FIELD_ID), (file.upper_bounds or {}).get(_PATH_FIELD_ID)
    return (lower, upper) if lower and upper else None


def _only_path(file: DataFile) -> str | None:
    """Equal bounds are one path: a cut upper bound is raised, so it never equals the lower one."""
    bounds = _path_bounds(file)
    return bounds[0].decode() if bounds and bounds[0] == bounds[1] else None


def _can_name(delete: DataFile, path: str) -> bool:
    bounds = _path_bounds(delete)
    return bounds is None or bounds[0] <= path.encode() <= bounds[1]
