"""Two variants of a definition on the same examples: what both keep, and what each costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from nbplat.clock import Clock, SystemClock
from nbplat.errors import RequestError
from nbplat.sequence.bound import Bound
from nbplat.sequence.examples import Examples
from nbplat.sequence.ports import Index
from nbplat.sequence.preview.compare_record import Comparison, Measure
from nbplat.sequence.preview.counted import Sight
from nbplat.sequence.preview.preview_of import see, seen_preview
from nbplat.sequence.preview.record import SequencePreview
from nbplat.sequence.preview.seen_tokens import SeenTokens
from nbplat.sequence.preview.staged import Budget, Staged
from nbplat.sequence.preview.strips import chosen_examples

if TYPE_CHECKING:
    import numpy.typing as npt

    from nbplat.sequence.enrich import Joined
    from nbplat.sequence.vocab import Fitted

__all__ = ["comparison_of"]


def comparison_of(
    bounds: tuple[Bound, Bound],
    index: Index,
    examples: Examples,
    *,
    joined: tuple[Mapping[str, Joined], Mapping[str, Joined]] = (MappingProxyType({}), MappingProxyType({})),
    fitted: tuple[Fitted | None, Fitted | None] = (None, None),
    count: int = 20,
    budget: Budget | None = None,
    everything: bool = False,
    clock: Clock | None = None,
) -> Comparison:
    """Hold two variants against each other; the arguments are those of `preview_of`, a pair where they differ.

    Raises:
        RequestError: ``sequence.compare``: they are not cut from one index.
    """
    left, right = bounds
    if left.index_version != right.index_version:
        raise RequestError(
            "sequence.compare",
            f"{left.label} and {right.label} are not cut from one index: their events differ",
            fix="compare variants of one definition, or two definitions of the same source, clocks, types and dedupe",
        )
    clock = clock or SystemClock()
    budget = Budget(None, None) if everything else budget or Budget()
    marks = [clock.monotonic_s()]
    sights = []
    for bound, tables in zip(bounds, joined, strict=True):
        sights.append(see(bound, index, examples, tables, budget))
        marks.append(clock.monotonic_s())
    chosen = chosen_examples(sights[0].stages, count)
    previews = [
        seen_preview(bound, index, examples, sight, chosen, tables, vocabulary, clock, started)
        for bound, sight, tables, vocabulary, started in zip(bounds, sights, joined, fitted, marks, strict=False)
    ]
    shared, left_only, right_only, equal = _overlap(*sights)
    return Comparison(
        left=previews[0],
        right=previews[1],
        shared=shared,
        left_only=left_only,
        right_only=right_only,
        examples_equal=equal,
        measures=_measures(previews, (marks[1] - marks[0], marks[2] - marks[1])),
    )


def _overlap(left: Sight, right: Sight) -> tuple[int, int, int, int]:
    """Tokens of both, of one, of the other; and examples whose tokens are the same."""
    shared = left_only = right_only = equal = 0
    sides = zip(left.stages, left.tokens, right.stages, right.tokens, strict=True)
    for stage, mine, other, theirs in sides:
        ours, others = _keys(stage, mine), _keys(other, theirs)
        both = np.isin(ours, others, assume_unique=True)
        alone = np.isin(others, ours, assume_unique=True, invert=True)
        shared += int(both.sum())
        left_only += int((~both).sum())
        right_only += int(alone.sum())
        differs = np.zeros(len(stage.places), bool)
        differs[mine.example[~both]] = True
        differs[theirs.example[alone]] = True
        equal += int((~differs).sum())
    return shared, left_only, right_only, equal


def _keys(stage: Staged, tokens: SeenTokens) -> npt.NDArray[np.int64]:
    """A number for each pair of example and event."""
    return tokens.example * len(stage.events.time_us) + tokens.row


def _measures(previews: Sequence[SequencePreview], cut_s: tuple[float, float]) -> tuple[Measure, ...]:
    def both(name: str, unit: str, values: Iterable[float]) -> Measure:
        left, right = values
        return Measure(name, left, right, unit)

    return (
        both("tokens kept", "tokens", (each.leak.tokens for each in previews)),
        both("tokens an example", "per example", (_share(each.leak.tokens, each.looked.examples) for each in previews)),
        both("padding", "%", (each.padding for each in previews)),
        both("padded batch", "bytes", (each.tokens_bytes for each in previews)),
        both("time to cut", "s", cut_s),
        both("tokens from the future", "%", (each.leak.share for each in previews)),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
