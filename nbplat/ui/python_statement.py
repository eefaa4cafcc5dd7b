"""A statement from Python: what it shows while it runs, and what it gave."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbplat.ui.render.result import Result
from nbplat.ui.session_desk import SessionDesk

__all__ = ["Ran", "Statement", "draw_bundle", "nowhere", "to_screen"]


@dataclass(frozen=True)
class Ran:
    """What a statement gave.

    Attributes:
        number: The statement's.
        data: The last value by MIME type; empty when there is none.
        stdout, stderr: What it printed.
        displays: What it displayed, by MIME type, in order.
    """

    number: int
    data: Mapping[str, Any]
    stdout: str
    stderr: str
    displays: tuple[Mapping[str, Any], ...]

    @property
    def text(self) -> str:
        """The last value as text; empty when there is none."""
        return str(self.data.get("text/plain", ""))

    def _ipython_display_(self) -> None:
        if self.data:
            draw_bundle(self.data)

    def __repr__(self) -> str:
        return self.text or f"<statement {self.number} without a value>"


class Statement:
    """One statement of a session, running or ended.

    Attributes:
        session: Id of its session.
        number: Its number there.
    """

    def __init__(self, desk: SessionDesk, record: Mapping[str, Any], title: str) -> None:
        self._desk = desk
        self._title = title
        self.session = int(record["session"])
        self.number = int(record["id"])

    @property
    def state(self) -> str:
        """``waiting``, ``running``, ``available``, ``cancelling``, ``cancelled``."""
        return str(self._record()["state"])

    def wait(self, *, quiet: bool = False) -> Ran:
        """Show what it printed and prints, and wait for its end; see `Session.run`."""
        pieces: list[tuple[str, Any]] = []

        def write(name: str, content: Any) -> None:
            pieces.append((name, content))
            if not quiet:
                to_screen(name, content)

        done = self._desk.follow({"session": self.session, "id": self.number}, self._title, show=nowhere, write=write)
        return Ran(
            self.number,
            done["output"]["data"],
            _text_of(pieces, "stdout"),
            _text_of(pieces, "stderr"),
            tuple(content for name, content in pieces if name == "display"),
        )

    def cancel(self) -> None:
        """Interrupt it; `wait` returns when its code has ended."""
        self._desk.cancel(self.session, self.number)

    def _record(self) -> dict[str, Any]:
        return self._desk.statement(self.session, self.number)

    def __repr__(self) -> str:
        return f"<statement {self._title}>"


def nowhere(_: Result) -> None:
    """Show nothing."""


def to_screen(name: str, content: Any) -> None:
    """Show what a statement prints or displays: in a notebook as a cell does, elsewhere as text."""
    if name == "display":
        if _in_notebook():
            draw_bundle(content)
            return
        name, content = "stdout", f"{content.get('text/plain', '')}\n"
    stream = sys.stderr if name == "stderr" else sys.stdout
    stream.write(content)
    stream.flush()


def draw_bundle(bundle: Mapping[str, Any]) -> None:
    """Display data by MIME type as they are."""
    from IPython import display

    draw: Any = display.display  # IPython gives it no types
    draw(dict(bundle), raw=True)


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    return shell is not None and shell.get_ipython() is not None


def _text_of(pieces: Sequence[tuple[str, Any]], name: str) -> str:
    return "".join(content for each, content in pieces if each == name)
