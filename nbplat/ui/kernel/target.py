"""Where a notebook's plain cells run: here, or in its session; a transformer of IPython's, one a shell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nbplat.errors import did_you_mean

if TYPE_CHECKING:
    from nbplat.ui.kernel.route import Place

__all__ = ["Target", "install", "target_of", "uninstall"]

_SPARK_CELL = re.compile(r"(?:\s*#[^\n]*\n|\s*\n)*%%spark\b(?![^\n]*\s-[lc]\s)[^\n]*\n")
_MAGIC = re.compile(r"(%{1,2})([^\W\d]\w*)(?=\s|\Z)")


class Target:
    """Rewrites cells on their way into IPython, as its ``input_transformers_cleanup`` do.

    Attributes:
        remote: Whether plain cells run in the notebook's session.
        keep_here: Whether they run here all the same, for a moment.
    """

    # IPython asks it when it looks whether a cell is complete, which the text a person typed decides.
    has_side_effects = True

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self.remote = False
        self.keep_here = False

    @property
    def active(self) -> bool:
        return self.remote and not self.keep_here

    def __call__(self, lines: list[str]) -> list[str]:
        if lines and (unknown := self._unknown(lines[0])):
            return [f"raise __import__('IPython.core.error', fromlist=['UsageError']).UsageError({unknown!r})\n"]
        if (line := self._bodyless(lines)) is not None:
            return [line]
        if not self.active:
            return self._plain(lines)
        from nbplat.ui.kernel.route import rewrite

        return rewrite("".join(lines)).splitlines(keepends=True)

    def place_at(self, code: str, cursor: int) -> Place:
        """Where the code at a character of a cell runs."""
        if not self.active:
            return "here"
        from nbplat.ui.kernel.route import place_at

        return place_at(code, cursor)

    def session_part(self, code: str, cursor: int) -> tuple[str, int] | None:
        """The text that a session knows about, with the cursor in it: plain code, or the body of ``%%spark``.

        None where the cursor is at code of this process.
        """
        if self.place_at(code, cursor) == "session":
            return code, cursor
        head = _SPARK_CELL.match(code)
        if head is None or cursor < head.end():
            return None
        return code[head.end() :], cursor - head.end()

    @contextmanager
    def here(self) -> Iterator[None]:
        """Run what comes here, whatever it is."""
        before, self.keep_here = self.keep_here, True
        try:
            yield
        finally:
            self.keep_here = before

    def _plain(self, lines: list[str]) -> list[str]:
        # A notebook written for sessions runs in any kernel; await works in the body, which a magic cannot give it.
        if lines and re.match(r"%%local\b", lines[0]) and not self.keep_here:
            return lines[1:]
        return lines

    def _bodyless(self, lines: list[str]) -> str | None:
        """A cell that is `%%info` and nothing more, as the line `%info`: IPython refuses a cell without a body."""
        full = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
        match = _MAGIC.match(full[0]) if len(full) == 1 else None
        if match is None or match[1] != "%%":
            return None
        from nbplat.ui.nouns.sparkmagic import SPARKMAGIC

        return full[0][1:] if any(noun.name == match[2] for noun in SPARKMAGIC) else None

    def _unknown(self, line: str) -> str:
        """What is wrong with a magic that does not exist and looks like one that does; else empty."""
        match = _MAGIC.match(line)
        if match is None:
            return ""
        kind = "cell" if len(match[1]) == 2 else "line"
        known = self._shell.magics_manager.magics[kind]
        if match[2] in known:
            return ""
        if match[2] in self._shell.magics_manager.lazy_magics:
            return ""
        near = did_you_mean(match[2], known, limit=1)
        if not near.startswith("did you mean"):
            return ""
        return f"there is no magic {match[1]}{match[2]}. Did you mean {match[1]}{near.removeprefix('did you mean ')}"


def install(shell: Any) -> Target:
    """The target of a shell; made at the first call."""
    found = target_of(shell)
    if found is None:
        found = Target(shell)
        shell.input_transformers_cleanup.append(found)
    return found


def uninstall(shell: Any) -> None:
    """Cells run here again, and nothing of ours looks at them."""
    found = target_of(shell)
    if found is not None:
        shell.input_transformers_cleanup.remove(found)


def target_of(shell: Any) -> Target | None:
    """The target of a shell; None when nbplat is not loaded there."""
    return next((each for each in shell.input_transformers_cleanup if isinstance(each, Target)), None)
