"""How much memory rows take once they are decoded, from types and manifest sizes."""

from __future__ import annotations

from collections.abc import Iterable

from nbplat.training.join.ports import TableFile

__all__ = ["decoded_bytes"]

_FIXED = {
    "boolean": 1,
    "int": 4,
    "float": 4,
    "date": 4,
    "long": 8,
    "double": 8,
    "time": 8,
    "timestamp": 8,
    "timestamptz": 8,
    "uuid": 16,
}
# Texts and lists: what zstd makes of them in the tables we measured; without a size in the manifest, a short text.
_EXPANDS, _UNKNOWN = 3, 32


def decoded_bytes(file: TableFile | None, rows: int, columns: Iterable[tuple[str, str]]) -> int:
    """Estimate of what `rows` rows of these columns take as Arrow data.

    Args:
        file: Whose manifest knows the sizes of columns without a fixed width; None when there is none.
        columns: Name in the file and Iceberg type.
    """
    total = 0
    for name, kind in columns:
        if kind.startswith("decimal"):
            total += 16 * rows
        elif kind in _FIXED:
            total += _FIXED[kind] * rows
        elif file is not None and file.rows and name in file.sizes:
            total += file.sizes[name] * _EXPANDS * rows // file.rows
        else:
            total += _UNKNOWN * rows
    return total
