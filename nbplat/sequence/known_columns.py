"""Columns that are asked of a source."""

from __future__ import annotations

from collections.abc import Sequence

from nbplat.errors import NotFound, did_you_mean

__all__ = ["check_known"]


def check_known(columns: Sequence[str], known: Sequence[str], source: str) -> None:
    """Refuse a column that the source does not have.

    Raises:
        NotFound: ``column.unknown``, with the nearest name.
    """
    missing = next((name for name in columns if name not in known), None)
    if missing is not None:
        raise NotFound("column.unknown", f"{source} has no column {missing!r}", fix=did_you_mean(missing, known))
