"""Which of the retrieved events a rule keeps: ``nearest(embedding, 50, to=query)``."""

from __future__ import annotations

from nbplat.declared.key_path import join_path
from nbplat.errors import did_you_mean
from nbplat.sequence.definition import Nearest
from nbplat.sequence.feature_options import option_text
from nbplat.sequence.nodes import Node, fault
from nbplat.sequence.read_value import Reading
from nbplat.sequence.small_text import Call, Word, quote, read_call

__all__ = ["read_select", "select_text"]

_SELECT = "nearest(column, count) or nearest(column, count, to=column)"


def read_select(reading: Reading, path: tuple[str, ...], node: Node, last: int) -> Nearest:
    """Read ``select`` of a rule that keeps at most `last` events."""
    call = reading.small(node, path, _SELECT, read_call, code="select")
    fix = f"write {_SELECT}"
    if call.function != "nearest":
        near = did_you_mean(call.function, ("nearest",))
        raise fault("select", f"{join_path(*path)}: there is no selection {call.function!r}", near, node.at(0))
    for name, word in call.named.items():
        if name != "to" or word.kind not in ("name", "quoted"):
            message = f"{join_path(*path)}: nearest has no option {name}={option_text(word.value)}"
            raise fault("select", message, fix, node.at(word.offset))
    column, count = _nearest_parts(call, path, node, fix)
    if not 1 <= count.value <= last:
        message = f"{join_path(*path)}: {count.value} of at most {last} events is not possible"
        raise fault("select", message, f"give a number from 1 to {last}", node.at(count.offset))
    if "to" not in call.named:
        reading.default((*path, "to"), f"{column.value} of the examples")
    return Nearest(column.value, count.value, call.named["to"].value if "to" in call.named else column.value)


def _nearest_parts(call: Call, path: tuple[str, ...], node: Node, fix: str) -> tuple[Word, Word]:
    kinds = [word.kind for word in call.values]
    if len(kinds) != 2 or kinds[0] not in ("name", "quoted") or not isinstance(call.values[1].value, int):
        raise fault("select", f"{join_path(*path)}: nearest takes a column and a number", fix, node.at(0))
    return call.values[0], call.values[1]


def select_text(nearest: Nearest) -> str:
    """The shortest text that `read_select` reads as this."""
    to = "" if nearest.to == nearest.column else f", to={quote(nearest.to)}"
    return f"nearest({quote(nearest.column)}, {nearest.count}{to})"
