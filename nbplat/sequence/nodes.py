"""The tree of a definition of sequences, from YAML or from Python keys; see `nbplat.declared`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from nbplat.declared import python_tree, yaml_tree
from nbplat.declared.node import Entry, Fault, Node
from nbplat.errors import RequestError
from nbplat.sequence.durations import duration_text

__all__ = ["Entry", "Node", "fault", "node_of", "yaml_node"]

_NOUN = "sequence"


def fault(code: str, message: str, fix: str, place: str) -> RequestError:
    """An error about one place of a declaration; the code gets the prefix ``sequence.``."""
    return Fault(code, message, fix, place).named(_NOUN)


def yaml_node(text: str) -> Node:
    """See `nbplat.declared.yaml_tree.yaml_node`."""
    return yaml_tree.yaml_node(text, noun=_NOUN, start="start with source:, entity:, time: and events:")


def node_of(value: Any, path: str, *, places: Mapping[str, str] | None = None) -> Node:
    """See `nbplat.declared.python_tree.node_of`; a duration may be a `datetime.timedelta`."""
    return python_tree.node_of(value, path, noun=_NOUN, places=places, texts=_duration)


def _duration(value: Any) -> str | None:
    if not isinstance(value, dt.timedelta):
        return None
    if value < dt.timedelta(0):
        raise ValueError(f"{value} is negative; a duration is positive")
    return duration_text(value // dt.timedelta(microseconds=1))
