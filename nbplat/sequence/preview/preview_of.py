"""See a definition on real rows: a bounded share of an index, exact over what was looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from nbplat.clock import Clock, SystemClock
from nbplat.sequence.bound import Bound
from nbplat.sequence.definition import Definition
from nbplat.sequence.examples import Examples
from nbplat.sequence.featurize import encoders
from nbplat.sequence.groups import groups_of
from nbplat.sequence.ports import Index
from nbplat.sequence.preview.counted import (
    Sight,
    count_pairs,
    count_truncated,
    headline_of,
    hits_of,
    pin_text,
    staleness_of,
    types_of,
    vocab_of,
)
from nbplat.sequence.preview.encoded import token_bytes
from nbplat.sequence.preview.funnel import Cells, build_steps, reading_steps
from nbplat.sequence.preview.leak import future_of, leak_panel
from nbplat.sequence.preview.learned import learned_here
from nbplat.sequence.preview.model import model_views
from nbplat.sequence.preview.record import SequencePreview
from nbplat.sequence.preview.seen_tokens import seen_tokens
from nbplat.sequence.preview.staged import Budget, read, staged
from nbplat.sequence.preview.strips import Chosen, chosen_examples, strip_of

if TYPE_CHECKING:
    from nbplat.sequence.enrich import Joined
    from nbplat.sequence.vocab import Fitted

__all__ = ["preview_of", "see", "seen_preview", "shown_columns"]

_SHOWN = 4
_DRAWN = 240


def preview_of(
    bound: Bound,
    index: Index,
    examples: Examples,
    *,
    joined: Mapping[str, Joined] = MappingProxyType({}),
    fitted: Fitted | None = None,
    count: int = 20,
    budget: Budget | None = None,
    everything: bool = False,
    clock: Clock | None = None,
) -> SequencePreview:
    """Preview one definition, or one variant of it.

    Args:
        bound: The definition (or variant) held against the schemas.
        index: Stored or in memory; it may hold types and conditions that this variant does not use.
        examples: All of them; which of them are looked at is said in the preview's `looked`.
        joined: Tables of the enrichments at reading, by name; one for each.
        fitted: What the features learned; None: vocabularies are learned from the buckets that are looked at.
        count: Strips.
        budget: How much is read at most.
        everything: Look at all buckets and all examples.

    Raises:
        DataError: values that a feature cannot hold.
    """
    clock = clock or SystemClock()
    started = clock.monotonic_s()
    sight = see(bound, index, examples, joined, Budget(None, None) if everything else budget or Budget())
    chosen = chosen_examples(sight.stages, count)
    return seen_preview(bound, index, examples, sight, chosen, joined, fitted, clock, started)


def see(bound: Bound, index: Index, examples: Examples, joined: Mapping[str, Joined], budget: Budget) -> Sight:
    """Read buckets and take their examples through all stages."""
    definition = bound.definition
    found, looked = read(index, examples, needed_columns(bound, index), budget)
    stages = tuple(staged(definition, index, examples, each, joined) for each in found)
    tokens = tuple(seen_tokens(definition, stage, joined) for stage in stages)
    future = tuple(future_of(definition, stage, examples, mine) for stage, mine in zip(stages, tokens, strict=True))
    return Sight(looked, stages, tokens, future)


def shown_columns(definition: Definition, index: Index) -> tuple[str, ...]:
    """What a strip shows of each event: the columns of ``show``, then those of the features, then the id."""
    clocks = {definition.time, definition.type, definition.arrival, *definition.entity}
    added = {each.name for each in (*definition.enrich_index, *definition.enrich_read)}
    wanted = (*definition.show, *(each.column for each in definition.features), *definition.id)
    there = set(index.schema.names) - clocks - added
    return tuple(name for name in dict.fromkeys(wanted) if name in there)[:_SHOWN]


def needed_columns(bound: Bound, index: Index) -> tuple[str, ...]:
    """Columns of the index that the preview reads."""
    from nbplat.remote.sequence.enriching import FROM

    definition = bound.definition
    wanted = [
        *shown_columns(definition, index),
        *definition.id,
        *(name for name in bound.feature_columns if name not in (definition.time, definition.type)),
        *(name for each in definition.enrich_index for name in (each.name, each.name + FROM)),
        *(pair[0] for each in definition.enrich_read for pair in each.on),
        *(rule.select.column for rule in definition.events if rule.select is not None),
    ]
    there = set(index.schema.names)
    return tuple(name for name in dict.fromkeys(wanted) if name in there)


def seen_preview(
    bound: Bound,
    index: Index,
    examples: Examples,
    sight: Sight,
    chosen: Sequence[Chosen],
    joined: Mapping[str, Joined],
    fitted: Fitted | None,
    clock: Clock,
    started: float,
) -> SequencePreview:
    """Count what was seen, and draw the chosen examples."""
    definition = bound.definition
    part = "" if fitted is not None or sight.looked.whole else ", of what was looked at"
    fitted = fitted or learned_here(bound, index, sight.stages, joined)
    made = encoders(definition, fitted)
    counts, boundary = count_pairs(definition, sight)
    hits = hits_of(definition, sight.tokens)
    cells = Cells(
        sight.looked.examples,
        tuple(group.most for group in groups_of(definition)),
        sum(len(each.row) for each in sight.tokens),
    )
    shown = shown_columns(definition, index)
    strips = tuple(
        strip_of(definition, examples, sight.stages[each.stage], each, shown, joined, _DRAWN) for each in chosen
    )
    looks = list(zip(sight.stages, sight.tokens, sight.future, strict=True))
    return SequencePreview(
        name=bound.declared.name,
        version=bound.version,
        variant=bound.variant or "",
        definition=definition.record(),
        examples=pin_text(examples.pin),
        headline=headline_of(definition, index),
        looked=sight.looked,
        steps=(
            *build_steps(index.report),
            *reading_steps(definition, counts, count_truncated(sight.stages), cells, hits),
        ),
        types=types_of(definition, index, sight.stages),
        staleness=staleness_of(sight),
        hits=hits,
        vocab=vocab_of(definition, sight, made, fitted, part),
        leak=leak_panel(definition, examples, looks, boundary),
        shown=shown,
        strips=strips,
        models=model_views(definition, sight.stages, chosen, [strip.entity for strip in strips], made, joined),
        padding=cells.padding,
        tokens_bytes=cells.cells * sum(token_bytes(each) for each in made),
        defaults=definition.defaults,
        warnings=_warnings(bound, index, sight, joined),
        seconds=clock.monotonic_s() - started,
    )


def _warnings(bound: Bound, index: Index, sight: Sight, joined: Mapping[str, Joined]) -> tuple[str, ...]:
    said = [*bound.warnings, *index.report.warnings]
    for each in joined.values():
        said += each.table.warnings
    as_of = bound.definition.as_of
    if as_of.at == "end" and not any(stage.as_of_us.any() for stage in sight.stages):
        said.append(f"the examples have no {as_of.time}: held against 1970, every token counts as from the future")
    if not sight.looked.of_examples:
        said.append("there are no examples: nothing was looked at")
    elif not any((stage.entity >= 0).any() for stage in sight.stages):
        said.append(f"no example's {' and '.join(bound.definition.entity)} occurs among the events")
    return tuple(dict.fromkeys(said))
