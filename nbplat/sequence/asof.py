"""What each example may see: a half-open range of the index per type, never past its as-of instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.sequence.retrieve import SequenceIndex
from nbplat.sequence.spec import SequenceSpec
from nbplat.terms import SequenceRange

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["AsOfRanges", "leaked_tokens", "ranges_as_of"]


@dataclass(frozen=True, slots=True)
class AsOfRanges:
    """Ranges of every example, and what lies beside them.

    Attributes:
        ranges: One per type, in the order of the definition.
        known: ``bool[examples]``: the example's entity occurs among the events.
        before: ``int64[types, examples]``: events before the instant, also those beyond `last`.
        after: ``int64[types, examples]``: events that the instant hides.
    """

    ranges: tuple[SequenceRange, ...]
    known: npt.NDArray[np.bool_]
    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]


def ranges_as_of(
    index: SequenceIndex, spec: SequenceSpec, entity: pa.ChunkedArray, as_of_us: npt.NDArray[np.int64]
) -> AsOfRanges:
    """Find each example's ranges by binary search; one example in, one range per type out.

    Args:
        entity: The examples' entities; null or unknown ones get empty ranges.
        as_of_us: Their instants, comparable with ``index.time_us``.
    """
    entities = index.entities
    if entity.type != entities.type and pa.types.is_integer(entity.type):
        entity, entities = entity.cast(pa.int64()), entities.cast(pa.int64())
    code = np.asarray(pc.fill_null(pc.index_in(entity, value_set=entities), -1)).astype(np.int64)
    # (group, time) packed into one sortable integer by the rank of the time.
    moments = np.unique(index.time_us)
    width = len(moments) + 1
    packed = index.group * width + np.searchsorted(moments, index.time_us)
    seen = np.searchsorted(moments, as_of_us, side="left" if spec.strict else "right")
    known = code >= 0
    ranges, before, after = [], [], []
    for place, rule in enumerate(spec.events):
        group = code * len(index.types) + place
        start = np.searchsorted(packed, group * width)
        hi = np.searchsorted(packed, group * width + seen)
        end = np.searchsorted(packed, (group + 1) * width)
        start, hi, end = (np.where(known, edge, 0).astype(np.int64) for edge in (start, hi, end))
        ranges.append(SequenceRange(rule.event_type, np.maximum(start, hi - rule.last), hi))
        before.append(hi - start)
        after.append(end - hi)
    shape = (len(spec.events), len(as_of_us))
    return AsOfRanges(tuple(ranges), known, np.reshape(before, shape), np.reshape(after, shape))


def leaked_tokens(index: SequenceIndex, found: AsOfRanges, as_of_us: npt.NDArray[np.int64]) -> int:
    """Tokens at or after their example's instant, counted from the events' own times; 0 is the only good number."""
    leaked = 0
    for part in found.ranges:
        filled = np.flatnonzero(part.hi > part.lo)
        # Times ascend within a range, so only ranges with a late last token need a look at all tokens.
        late = filled[index.time_us[part.hi[filled] - 1] >= as_of_us[filled]]
        leaked += sum(int((index.time_us[part.lo[i] : part.hi[i]] >= as_of_us[i]).sum()) for i in late)
    return leaked
