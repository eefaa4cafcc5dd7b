"""The options of a feature's function: checked, filled in, and in one form each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nbplat.declared.key_path import join_path
from nbplat.sequence.definition import Feature
from nbplat.sequence.keys import FUNCTIONS, NUMBER_TYPES, Function
from nbplat.sequence.nodes import Node, fault
from nbplat.sequence.read_value import Reading

__all__ = ["fill_options", "option_text", "written_options"]

_FUNCTIONS = {each.name: each for each in FUNCTIONS}
_WHOLE = {"min_count": (1, 10**12), "max_size": (1, 2**31 - 4), "buckets": (1, 2**31 - 3), "count": (2, 10_000)}
_WHOLE |= {"size": (1, 65_536)}
_OR_NONE = ("max_size", "size")


def fill_options(
    reading: Reading,
    path: tuple[str, ...],
    function: Function,
    options: Mapping[str, Any],
    places: Mapping[str, str],
    node: Node,
) -> dict[str, Any]:
    """Every option of the function, checked and in its one form."""
    filled: dict[str, Any] = {}
    for option in function.options:
        here = (*path, option.name)
        if option.name in options:
            try:
                filled[option.name] = _checked(option.name, options[option.name], filled)
            except ValueError as exc:
                message = f"{join_path(*here)}: {option_text(options[option.name])} is not possible"
                raise fault("feature", message, f"give {exc}", places.get(option.name, node.place)) from None
        elif option.required:
            fix = f"write {function.name}({option.name}=…): {option.takes}"
            raise fault("feature", f"{join_path(*path)}: {function.name} needs {option.name}", fix, node.place)
        else:
            filled[option.name] = option.default
            reading.default(here, option_text(option.default))
    if "type" in filled:
        try:
            filled["fill"] = _fill(filled["fill"], filled["type"])
        except ValueError as exc:
            message = f"{join_path(*path)}.fill: {option_text(filled['fill'])} is not possible"
            raise fault("feature", message, f"give {exc}", places.get("fill", node.place)) from None
    return filled


def _checked(name: str, value: Any, filled: Mapping[str, Any]) -> Any:
    if name in _OR_NONE and (value is None or value == "none"):
        return None
    if name in _WHOLE:
        least, most = _WHOLE[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most}{' or none' if name in _OR_NONE else ''}")
        return value
    if name == "unit":
        if value not in ("s", "m", "h", "d"):
            raise ValueError("s, m, h or d")
        return value
    if name == "type":
        if value not in NUMBER_TYPES:
            raise ValueError(", ".join(NUMBER_TYPES))
        return value
    if name == "edges":
        if not isinstance(value, list | tuple) or not value or not all(map(_is_number, value)):
            raise ValueError("a list of ascending numbers, [0, 10, 100]")
        edges = tuple(map(_real, value))
        if any(low >= high for low, high in itertools.pairwise(edges)):
            raise ValueError("them ascending, each once")
        return edges
    if not _is_number(value):
        raise ValueError("a finite number")
    return value


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _real(value: float) -> float:
    """One form of every number: -0.0 is 0.0."""
    return float(value) + 0.0


def _fill(value: float, kind: str) -> float | int:
    if kind.startswith("float"):
        if kind == "float32" and abs(value) > float(np.finfo(np.float32).max):
            raise ValueError("a number that float32 can hold")
        return _real(value)
    limits = np.iinfo(kind)
    if value != int(value) or not int(limits.min) <= int(value) <= int(limits.max):
        raise ValueError(f"a whole number that {kind} can hold")
    return int(value)


def option_text(value: Any) -> str:
    if value is None:
        return "none"
    return "[" + ", ".join(map(option_text, value)) + "]" if isinstance(value, list | tuple) else _number_text(value)


def _number_text(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return str(int(value)) if whole else str(value)


def written_options(feature: Feature) -> dict[str, Any]:
    """The options that are not at their default, in the order of the reference."""
    declared = _FUNCTIONS[feature.function]
    values = dict(feature.options)
    return {o.name: values[o.name] for o in declared.options if o.required or values[o.name] != o.default}
