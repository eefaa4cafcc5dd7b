"""The leak panel counted: held against the events' own clocks, not against what the rules promise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.sequence.definition import Definition
from nbplat.sequence.examples import Examples
from nbplat.sequence.preview.figures import age_text, share_text
from nbplat.sequence.preview.leak_record import LeakCheck, LeakPanel
from nbplat.sequence.preview.seen_tokens import SeenTokens
from nbplat.sequence.preview.staged import Staged
from nbplat.terms import counted

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Future", "future_of", "leak_panel"]


class Future(NamedTuple):
    """What of each token the example could not have known; ``bool[tokens]`` each.

    Attributes:
        time: It happened at or after the instant.
        arrival: It was known only at or after the instant.
        own: It is the event that the example's label was made from.
        enrichment: A value that it carries held only from the instant or later.
        after_event: A value that it carries held only from after the event; no leak by itself.
    """

    time: npt.NDArray[np.bool_]
    arrival: npt.NDArray[np.bool_]
    own: npt.NDArray[np.bool_]
    enrichment: npt.NDArray[np.bool_]
    after_event: npt.NDArray[np.bool_]

    @property
    def any(self) -> npt.NDArray[np.bool_]:
        """Anything from the example's present or future."""
        return self.time | self.arrival | self.own | self.enrichment


def future_of(definition: Definition, stage: Staged, examples: Examples, tokens: SeenTokens) -> Future:
    """Hold every token against its example's instant."""
    events = stage.events
    instant, time = stage.as_of_us[tokens.example], events.time_us[tokens.row]
    none = np.zeros(len(tokens.row), bool)
    enrichment, after_event = none.copy(), none.copy()
    for each in tokens.added.values():
        if each.from_us is not None:
            enrichment |= each.found & (each.from_us >= instant)
            after_event |= each.found & (each.from_us > time)
    return Future(
        time=time >= instant,
        arrival=none if events.seen_us is None else events.seen_us[tokens.row] >= instant,
        own=_own(definition, stage, examples, tokens) if names_its_event(definition, examples) else time == instant,
        enrichment=enrichment,
        after_event=after_event,
    )


def names_its_event(definition: Definition, examples: Examples) -> bool:
    """Whether the examples carry the id of the event that their label was made from."""
    return bool(definition.id) and set(definition.id) <= set(examples.rows.column_names)


def _own(definition: Definition, stage: Staged, examples: Examples, tokens: SeenTokens) -> npt.NDArray[np.bool_]:
    same = np.ones(len(tokens.row), bool)
    for name in definition.id:
        ours = stage.events.rows.column(name).take(pa.array(tokens.row))
        theirs = examples.rows.column(name).take(pa.array(stage.places[tokens.example]))
        if ours.type != theirs.type:
            theirs = theirs.cast(ours.type)
        same &= np.asarray(pc.fill_null(pc.equal(ours, theirs), False))
    return same


def leak_panel(
    definition: Definition,
    examples: Examples,
    looks: Sequence[tuple[Staged, SeenTokens, Future]],
    at_boundary: tuple[int, int],
) -> LeakPanel:
    """Add up what was found.

    Args:
        looks: One a bucket.
        at_boundary: Events at the very instant of their example, and how many of them are tokens.
    """
    tokens = sum(len(each.row) for _, each, _ in looks)
    counted = {
        name: sum(int(getattr(future, name).sum()) for _, _, future in looks) for name in (*Future._fields, "any")
    }
    looked = sum(len(stage.places) for stage, _, _ in looks)
    touched = sum(len(np.unique(each.example[future.any])) for _, each, future in looks)
    as_of = definition.as_of
    return LeakPanel(
        strict=as_of.strict,
        at=as_of.at,
        gap_us=as_of.gap_us,
        examples=looked,
        examples_touched=touched,
        tokens=tokens,
        future=counted["any"],
        checks=(
            _rule(definition, counted["time"], tokens),
            _boundary(definition, *at_boundary),
            _arrival(definition, counted["arrival"], tokens),
            _own_event(definition, names_its_event(definition, examples), counted["own"], tokens),
            *_enrichments(definition, counted, tokens),
        ),
    )


def _rule(definition: Definition, count: int, tokens: int) -> LeakCheck:
    as_of = definition.as_of
    gap = f", {age_text(as_of.gap_us)} before it" if as_of.gap_us else ""
    if as_of.at == "end":
        text = "as_of.at is end: every example gets its user's final history"
    elif as_of.strict:
        text = f"only events strictly before the instant are let in{gap}"
    else:
        text = f"as_of.strict is false: events at the very instant are let in{gap}"
    found = f"; {count:,} tokens are at or after it" if count else ""
    # With a gap even what is not strict ends before the instant.
    safe = as_of.at != "end" and (as_of.strict or as_of.gap_us > 0)
    return LeakCheck("rule", "leak" if count else "ok" if safe else "risk", count, tokens, text + found)


def _boundary(definition: Definition, ties: int, let_in: int) -> LeakCheck:
    if not ties:
        return LeakCheck("boundary", "ok", 0, 0, "no event is at the very instant of its example")
    said = f"{let_in:,} of them let in" if let_in else "all of them left out"
    return LeakCheck(
        "boundary", "leak" if let_in else "ok", let_in, ties, f"{counted(ties, 'event')} at the very instant, {said}"
    )


def _arrival(definition: Definition, count: int, tokens: int) -> LeakCheck:
    if definition.arrival is None:
        text = "no arrival column is declared: events that were written late cannot be told (arrival: column)"
        return LeakCheck("arrival", "unchecked", 0, 0, text)
    if not count:
        return LeakCheck(
            "arrival", "ok", 0, tokens, f"every token was known before the instant, by {definition.arrival}"
        )
    text = f"{count:,} tokens were known only at the instant or later, by {definition.arrival}"
    return LeakCheck("arrival", "leak", count, tokens, text)


def _own_event(definition: Definition, named: bool, count: int, tokens: int) -> LeakCheck:
    how = f"by {', '.join(definition.id)}" if named else "by its time: the examples do not carry its id"
    if count:
        text = f"{count:,} tokens are the event that the example's label was made from ({how})"
        return LeakCheck("own_event", "leak", count, tokens, text)
    return LeakCheck("own_event", "ok", 0, tokens, f"no example's own event is among its tokens ({how})")


def _enrichments(definition: Definition, counted: dict[str, int], tokens: int) -> Iterator[LeakCheck]:
    every = (*definition.enrich_index, *definition.enrich_read)
    if not every:
        yield LeakCheck("enrichment_after_event", "ok", 0, 0, "no enrichment is declared")
        yield LeakCheck("enrichment_after_example", "ok", 0, 0, "no enrichment is declared")
        return
    timeless = [each.name for each in every if each.time is None]
    latest = [each.name for each in every if each.at == "latest" and each.time is not None]
    meant = [each.name for each in every if each.at == "request_time"]
    after, future = counted["after_event"], counted["enrichment"]
    said = [f"{after:,} tokens carry a value from after the event ({share_text(after, tokens)})"]
    said += [f"{', '.join(meant)} is read @ request_time, so that is meant"] if after and meant else []
    said += [f"{', '.join(latest)} is read @ latest"] if after and latest else []
    # A value from between the event and the instant is no leak; only `latest` makes it a chance of one.
    verdict = "risk" if after and latest else "ok"
    yield LeakCheck(
        "enrichment_after_event",
        verdict,
        after,
        tokens,
        "; ".join(said) if after else "no value from after the event",
    )
    if future:
        text = f"{future:,} tokens carry a value that held only from the instant or later"
        yield LeakCheck("enrichment_after_example", "leak", future, tokens, text)
    elif timeless:
        text = f"from when {', '.join(timeless)} held cannot be told: name a time column (`… by valid_from`)"
        yield LeakCheck("enrichment_after_example", "risk", 0, tokens, text)
    elif latest:
        text = (
            f"none found, but {', '.join(latest)} @ latest lets later values in as they come: @ event_time rules it out"
        )
        yield LeakCheck("enrichment_after_example", "risk", 0, tokens, text)
    else:
        yield LeakCheck("enrichment_after_example", "ok", 0, tokens, "no value from after the example")
