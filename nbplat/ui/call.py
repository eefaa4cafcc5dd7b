from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal

from nbplat.ui.render.result import Result

__all__ = ["Call", "Where"]

Where = Literal["cell", "line", "cli"]


def _unseen(_: Result) -> None:
    pass


def _unwritten(_name: str, _content: Any) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a verb, the same from a cell, a line, the CLI.

    Attributes:
        noun: ``backfill``.
        verb: ``run``.
        options: Every declared option of the verb, by its name.
        body: The cell's text with its templates rendered (a Python body as it was written); None when there is none.
        namespace: The notebook's variables; empty on the CLI. Handlers read it; ``--out`` is bound by the caller.
        show: Replaces what is shown of the progress: in a notebook the same output again, in a terminal the same line.
            May be called as often as one likes; it is drawn at most twice a second.
        write: Takes what a remote cell prints (``stdout``, ``stderr`` and text) or displays (``display`` and a bundle
            by MIME type), which is not progress: it stays.
        where: Which surface it came from.
    """

    noun: str
    verb: str
    options: SimpleNamespace
    body: str | None = None
    namespace: Mapping[str, Any] = field(default_factory=dict)
    show: Callable[[Result], None] = _unseen
    write: Callable[[str, Any], None] = _unwritten
    where: Where = "cli"
