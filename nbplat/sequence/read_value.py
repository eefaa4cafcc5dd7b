"""What a value of a definition may be; see `nbplat.declared.reading`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from nbplat.declared import reading
from nbplat.declared.key_path import join_path
from nbplat.declared.node import Entry, Node
from nbplat.errors import did_you_mean
from nbplat.sequence.durations import DURATION_FORM, duration_us
from nbplat.sequence.keys import KEYS, Key, key, keys_under
from nbplat.sequence.nodes import fault
from nbplat.sequence.small_text import SmallTextError

__all__ = ["Reading"]

_T = TypeVar("_T")


class Reading(reading.Reading):
    """One pass over a tree of values."""

    noun = "sequence"

    def known(self, declared: str) -> tuple[str, ...]:
        return keys_under(declared)

    def nearest(self, name: str, known: tuple[str, ...]) -> str:
        elsewhere = [each.path for each in KEYS if _last(each) == name and "*" not in each.path]
        return f"it belongs at {' or '.join(elsewhere)}" if elsewhere else did_you_mean(name, known)

    def default(self, path: Sequence[str], value: str | None = None, *, declared: str | None = None) -> None:
        """Note that a key was not written.

        Args:
            value: What is taken, for people; None: as `KEYS` says under `declared`, or else under the path itself.
        """
        joined = join_path(*path)
        self.defaults[joined] = str(key(declared or joined).default) if value is None else value

    def word(self, keys: Mapping[str, Entry], name: str, *above: str) -> str | None:
        """A word of the closed set that `KEYS` has for a key; None, and the default noted, when it is not written."""
        path = (*above, name)
        if name in keys:
            return self.choice(keys[name].node, path, key(join_path(*path)).choices)
        self.default(path)
        return None

    def duration(self, node: Node, path: Sequence[str], *, least_us: int = 0) -> int:
        """Microseconds of a duration."""
        if node.kind in ("plain", "text"):
            try:
                found = duration_us(node.value)
            except ValueError as exc:
                raise fault(path[-1], f"{join_path(*path)}: {exc}", f"write {DURATION_FORM}", node.place) from None
            if found >= least_us:
                return found
        raise fault(path[-1], f"{join_path(*path)}: {node.shown} is not possible", f"write {DURATION_FORM}", node.place)

    def small(self, node: Node, path: Sequence[str], what: str, read: Callable[[str], _T], *, code: str) -> _T:
        """A text with a grammar of its own, read by a function that raises `SmallTextError`."""
        text = self.text(node, path, what, lines=True)
        try:
            return read(text)
        except SmallTextError as exc:
            message = f"{join_path(*path)}: in {text!r} {exc}"
            raise fault(code, message, f"write {what}", node.at(exc.offset)) from None


def _last(each: Key) -> str:
    return each.path.rpartition(".")[2]
