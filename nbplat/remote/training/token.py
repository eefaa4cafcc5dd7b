"""Where an iteration stands, as a value that a checkpoint keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nbplat.remote.failure import KernelError

from .order import Order, Window, deal

__all__ = ["Part", "Token", "parts_left"]


class Token(NamedTuple):
    """What has been handed out before it is not handed out again.

    Attributes:
        plan_id: Of the plan that is read.
        shuffle, seed, window_units: As in `order.Order`.
        epoch: From 0.
        rank, world: Whose batches these are, and of how many.
        part: How many of the rank's parts (see `parts_left`) are behind it.
        row: First row, in the order of the rows, of the present part that was not handed out.
        batch: Batches handed out in this epoch by this rank.
        earlier: Tokens of all ranks that this iteration began with, when it took over from another world size.
    """

    plan_id: str
    shuffle: str
    seed: int
    window_units: int
    epoch: int
    rank: int
    world: int
    part: int
    row: int
    batch: int
    earlier: tuple[Mapping[str, Any], ...] = ()

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {**self._asdict(), "earlier": [dict(each) for each in self.earlier]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Token:
        """Read what `record` wrote.

        Raises:
            KernelError: ``training.token``: it is none.
        """
        try:
            return cls(**{**record, "earlier": tuple(record["earlier"])})
        except (TypeError, KeyError) as exc:
            raise _bad(f"this is no resume token: {exc}", "give what state() of an iteration returned") from None


class Part(NamedTuple):
    """A window, or what is left of one.

    Attributes:
        skip: Rows, in the window's order, that an earlier iteration has handed out.
    """

    window: Window
    skip: int


def parts_left(
    plan: Any, order: Order, windows: Sequence[Window], rank: int, world: int, earlier: Sequence[Token]
) -> list[Part]:
    """What a rank goes over in an epoch, from its start.

    Args:
        earlier: Tokens of all ranks of another world size, whose rest is dealt anew; empty for a whole epoch.

    Raises:
        KernelError: ``training.token``: they are not the tokens of one iteration.
    """
    if not earlier:
        return [Part(window, 0) for window in deal(windows, world)[rank]]
    skips: dict[int, int] = {}
    for number, token in enumerate(sorted(earlier, key=lambda each: each.rank)):
        if token.rank != number or token.world != len(earlier):
            raise _bad(
                f"{len(earlier)} tokens were given of a world of {token.world}",
                "give the token of every rank of the run that is taken over, each once",
            )
        before = tuple(Token.from_record(each) for each in token.earlier)
        for at, part in enumerate(parts_left(plan, order, windows, token.rank, token.world, before)):
            if at >= token.part:
                skips[part.window.number] = max(token.row, part.skip) if at == token.part else part.skip
    left = [window for window in windows if window.number in skips]
    return [Part(window, skips[window.number]) for window in deal(left, world)[rank]]


def _bad(message: str, fix: str) -> KernelError:
    return KernelError("training.token", message, fix=fix, kind="RequestError")
