"""The two ways to declare a sequence, YAML and Python keys; both make the same definition or the same error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nbplat.sequence.definition import Definition
from nbplat.sequence.nodes import Node, node_of, yaml_node
from nbplat.sequence.read import check_name, read_definition
from nbplat.sequence.variants import read_variants

__all__ = ["from_keys", "parse_definition"]


def parse_definition(text: str, name: str | None = None, *, otherwise: str | None = None) -> Definition:
    """Read the YAML of a cell or file; docs/sequence-definition.md has every key.

    Args:
        text: At most 256 KiB.
        name: Lower-case identifier; None: the text has the key ``name``.
        otherwise: The name of a text without that key.

    Raises:
        RequestError: not YAML, an unknown, missing or doubled key, or a value that is not possible; `where` has its
            line and column.
    """
    if name is not None:
        check_name(name)
    root = yaml_node(text)
    if otherwise is not None and name is None and not (root.kind == "map" and "name" in root.value):
        name = otherwise
    return _read(root, name)


def from_keys(name: str, /, **keys: Any) -> Definition:
    """Make the definition that YAML with the same keys makes.

    Args:
        name: Lower-case identifier.
        keys: As in YAML: texts, numbers, booleans, lists and dicts; a duration may be a `datetime.timedelta`.

    Raises:
        RequestError: as `parse_definition`; `where` has the path of the key, ``events.click.last``.
    """
    check_name(name)
    return _read(node_of(keys, ""), name)


def _read(root: Node, name: str | None) -> Definition:
    definition = read_definition(root, name)
    if "variants" not in root.value:
        return replace(definition, defaults=(*definition.defaults, "variants: none"))
    return read_variants(definition, root.value["variants"].node)
