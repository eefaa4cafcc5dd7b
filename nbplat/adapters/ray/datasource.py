"""A planned join as a source of Ray Data: one read task a window, each of files that are known beforehand."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from nbplat.remote.training.ray_unit import Piece, piece_rows

__all__ = ["joined_source"]


def joined_source(pieces: Sequence[Piece]) -> Any:
    """A `ray.data.Datasource` whose blocks are the pieces' rows, in their order."""
    from ray.data import Datasource, ReadTask
    from ray.data.block import BlockMetadata

    class JoinedRows(Datasource):
        """Reads and joins the files of a plan."""

        def get_name(self) -> str:
            """What Ray's statistics call it."""
            return "TrainingJoin"

        def estimate_inmemory_data_size(self) -> int:
            """Decoded bytes of all pieces, by the plan."""
            return sum(_size(piece) for piece in pieces)

        def get_read_tasks(self, parallelism: int, *args: Any, **options: Any) -> list[Any]:
            """One a piece, however many Ray would like."""
            return [_task(piece) for piece in pieces]

    def _task(piece: Piece) -> Any:
        metadata = BlockMetadata(
            num_rows=piece.rows, size_bytes=_size(piece), exec_stats=None, input_files=_files(piece)
        )
        return ReadTask(functools.partial(piece_rows, piece), metadata)

    return JoinedRows()  # type: ignore[no-untyped-call]


def _size(piece: Piece) -> int:
    return sum(unit.decoded_bytes for unit in piece.units)


def _files(piece: Piece) -> tuple[str, ...]:
    return tuple(file["path"] for unit in piece.units for file in unit.files)
