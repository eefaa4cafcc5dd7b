"""Features as they are written: ``vocab(item_id, min_count=5)``, ``float32``."""

from __future__ import annotations

from typing import Any

from nbplat.declared.key_path import join_path
from nbplat.errors import did_you_mean
from nbplat.sequence.definition import Feature
from nbplat.sequence.feature_options import fill_options, option_text, written_options
from nbplat.sequence.keys import FUNCTIONS, NUMBER_TYPES
from nbplat.sequence.nodes import Entry, Node, fault
from nbplat.sequence.read_value import Reading
from nbplat.sequence.small_text import SmallTextError, quote, read_call

__all__ = ["feature_text", "read_feature"]

_FUNCTIONS = {each.name: each for each in FUNCTIONS}
_FORM = "a function such as vocab, vocab(min_count=5), vocab(other_column) or float32"


def read_feature(reading: Reading, name: str, node: Node) -> Feature:
    """Read one entry of ``features``: a text, or a mapping of ``function``, ``column`` and the function's options."""
    path = ("features", name)
    if node.kind == "nothing":
        fix = f"write {_FORM}; inside braces a comma ends a value, so quote one that has commas"
        raise fault("value", f"features.{name} has no function", fix, node.place)
    function, column, options, places = (
        _of_mapping(reading, path, node) if node.kind == "map" else _of_text(reading, path, node)
    )
    if function in NUMBER_TYPES:
        if "type" in options:
            message = f"{join_path(*path)}: {function} has no option 'type'"
            raise fault("feature", message, f"write number(type={options['type']})", places["type"])
        function, options, places = "number", {**options, "type": function}, {**places, "type": node.place}
    declared = _FUNCTIONS.get(function)
    if declared is None:
        known = (*_FUNCTIONS, *NUMBER_TYPES)
        message = f"{join_path(*path)}: there is no function {function!r}"
        raise fault("feature", message, did_you_mean(function, known), places.get("function", node.place))
    takes = [each.name for each in declared.options]
    for option in options:
        if option not in takes:
            message = f"{join_path(*path)}: {function} has no option {option!r}"
            fix = did_you_mean(option, takes) or f"write {function} without it"
            raise fault("feature", message, fix, places.get(option, node.place))
    if column is None:
        reading.default((*path, "column"), name)
    filled = fill_options(reading, path, declared, options, places, node)
    return Feature(name, function, name if column is None else column, tuple(sorted(filled.items())))


_Parts = tuple[str, str | None, dict[str, Any], dict[str, str]]


def _of_text(reading: Reading, path: tuple[str, ...], node: Node) -> _Parts:
    call = reading.small(node, path, _FORM, read_call, code="feature")
    column = None
    if call.values:
        first = call.values[0]
        if first.kind not in ("name", "quoted") or len(call.values) > 1:
            wrong = call.values[min(1, len(call.values) - 1)] if first.kind in ("name", "quoted") else first
            message = f"{join_path(*path)}: {wrong.value!r} has no name, and only a column may stand so"
            raise fault("feature", message, f"write {_FORM}", node.at(wrong.offset))
        column = str(first.value)
    places = {name: node.at(word.offset) for name, word in call.named.items()}
    return call.function, column, {name: word.value for name, word in call.named.items()}, places


def _of_mapping(reading: Reading, path: tuple[str, ...], node: Node) -> _Parts:
    entries = reading.names(node, path, "the feature")
    if "function" not in entries:
        raise fault("missing", f"{join_path(*path)} has no function", f"add function: or write {_FORM}", node.place)
    function = reading.text(entries["function"].node, (*path, "function"), "the name of a function")
    column = reading.text(entries["column"].node, (*path, "column"), "a column") if "column" in entries else None
    options = {k: _value(e) for k, e in entries.items() if k not in ("function", "column")}
    return function, column, options, {k: e.node.place for k, e in entries.items()}


def _value(entry: Entry) -> Any:
    """An option's value; what is unquoted in YAML reads as in the text form."""
    node = entry.node
    if node.kind == "plain":
        try:
            call = read_call(f"f({node.value})")
        except SmallTextError:
            return node.value
        return call.values[0].value if len(call.values) == 1 else node.value
    return [_value(Entry("", each)) for each in node.value] if node.kind == "list" else node.value


def feature_text(feature: Feature) -> str:
    """The shortest text that `read_feature` reads as this."""
    options = written_options(feature)
    function = feature.function
    if function == "number":
        function = str(options.pop("type", "float32"))
    inside = [quote(feature.column)] if feature.column != feature.name else []
    inside += [f"{name}={option_text(value)}" for name, value in options.items()]
    return f"{function}({', '.join(inside)})" if inside else function
