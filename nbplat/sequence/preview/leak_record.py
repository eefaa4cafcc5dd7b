"""The leak panel: each way in which a token can come from the example's own present or future, counted."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LeakCheck", "LeakPanel"]

_RANK = ("ok", "unchecked", "risk", "leak")


@dataclass(frozen=True, slots=True)
class LeakCheck:
    """One line of the panel.

    Attributes:
        name: ``rule``, ``boundary``, ``arrival``, ``own_event``, ``enrichment_after_event``,
            ``enrichment_after_example``.
        verdict: ``ok``; ``leak``: it was found; ``risk``: the definition allows it, and it was not found here;
            ``unchecked``: it cannot be told, and `text` says what would have to be declared.
        count: Tokens (for ``boundary`` events) that it was found in.
        of: How many were looked at.
        text: What it says, a sentence.
    """

    name: str
    verdict: str
    count: int
    of: int
    text: str


@dataclass(frozen=True, slots=True)
class LeakPanel:
    """What the definition lets in that the example could not have known.

    Attributes:
        strict: Whether only events before the cutoff are let in.
        at: ``example`` or ``end``.
        gap_us: The cutoff is so much before the instant.
        examples: Examples that the counts stand for.
        examples_touched: Of them, those with a token from the future.
        tokens: Their tokens.
        future: Tokens with anything from the example's present or future: the event, its arrival, an enrichment.
        checks: One a way to leak, always all of them.
    """

    strict: bool
    at: str
    gap_us: int
    examples: int
    examples_touched: int
    tokens: int
    future: int
    checks: tuple[LeakCheck, ...]

    @property
    def share(self) -> float:
        """Share of tokens from the future, from 0 to 1."""
        return self.future / self.tokens if self.tokens else 0.0

    @property
    def verdict(self) -> str:
        """``leak`` when a token comes from the future, else the worst of ``risk`` and ``ok``."""
        if self.future:
            return "leak"
        worst = max((check.verdict for check in self.checks), key=_RANK.index, default="ok")
        return "risk" if worst in ("risk", "leak") else "ok"
