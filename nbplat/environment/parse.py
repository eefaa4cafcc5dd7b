"""Text of a declaration -> Definition; docs/environments.md has every key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbplat.declared.yaml_tree import yaml_node
from nbplat.environment.definition import Definition
from nbplat.environment.read import NOUN, check_name, read_definition

__all__ = ["from_keys", "parse_definition"]

_START = "start with dependencies: [python=3.11, numpy]"


def parse_definition(text: str, *, name: str | None = None, folder: Path | str = "") -> Definition:
    """Read an ``environment.yml``.

    Args:
        text: At most 256 KiB.
        name: Of a text without the key ``name``; None: it must have it.
        folder: Folder that its paths start from.

    Raises:
        RequestError: not YAML, an unknown, missing or doubled key, or a value that is not possible; `where` has its
            line and column.
    """
    if name is not None:
        check_name(name)
    return read_definition(yaml_node(text, noun=NOUN, start=_START), name, str(folder))


def from_keys(keys: Mapping[str, Any], *, name: str | None = None, folder: Path | str = "") -> Definition:
    """Make the definition that YAML with the same keys makes; `where` of a fault has the path of the key."""
    from nbplat.declared.python_tree import node_of

    return read_definition(node_of(keys, "", noun=NOUN), name, str(folder))
