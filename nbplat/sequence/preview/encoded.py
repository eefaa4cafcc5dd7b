"""Features of the tokens that are looked at, as the batch holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nbplat.remote.sequence.events import Events
from nbplat.sequence.definition import Definition
from nbplat.sequence.featurize import Encoder
from nbplat.sequence.preview.seen_tokens import Added
from nbplat.sequence.preview.staged import Staged

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["encode", "token_bytes"]


def encode(
    encoder: Encoder,
    definition: Definition,
    stage: Staged,
    example: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
    added: Mapping[str, Added],
) -> npt.NDArray[Any]:
    """One feature of some tokens, ``[tokens]`` or ``[tokens, D]``.

    Args:
        example: Place among the stage's examples.
        row: Row of the `Events`.
        added: Enrichments of these tokens.
    """
    column = encoder.feature.column
    if column in added and column not in stage.events.rows.column_names:
        found = encoder.encode(added[column].values)
    else:
        found = encoder.of_events(_some(stage.events, row, column), definition)
    return encoder.age(stage.as_of_us[example], found) if encoder.is_age else found


def _some(events: Events, row: npt.NDArray[np.int64], column: str) -> Events:
    """These events, in that order, with the one column: an event that several examples see comes several times."""
    rows = events.rows.select([column] if column in events.rows.column_names else []).take(pa.array(row))
    return events._replace(rows=rows, type=events.type[row], time_us=events.time_us[row])


def token_bytes(encoder: Encoder) -> int:
    """Bytes of one cell."""
    return int(np.dtype(encoder.dtype).itemsize) * (encoder.size or 1)
