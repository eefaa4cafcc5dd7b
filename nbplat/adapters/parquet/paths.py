"""Where Iceberg's fields lie in a Parquet schema: by path, through the groups that lists and maps are made of.

Rules of the format's LogicalTypes.md, those for lists of old writers included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Element", "field_paths"]


class Element(NamedTuple):
    """What the rules need of a ``SchemaElement``.

    Attributes:
        children: Number of its children; 0 for a primitive.
        repeated: True for the repetition type REPEATED.
        kind: ``list``, ``map``, or empty.
    """

    name: str
    children: int
    repeated: bool
    kind: str


class _Node(NamedTuple):
    position: int
    element: Element
    children: tuple[_Node, ...]


def field_paths(elements: Sequence[Element]) -> dict[tuple[str, ...], int]:
    """Path of each field of these columns -> its position in `elements`.

    Args:
        elements: Whole subtrees of top-level columns, flattened as in a footer, without the root.

    Returns:
        Paths as Iceberg spells them: ``("l", "element")``, ``("m", "key")``, ``("m", "value")``, ``("s", "x")``.
        The groups between a list and its element have no field.

    Raises:
        IndexError: the tree does not add up.
        RecursionError: it is nested beyond reason.
    """
    paths: dict[tuple[str, ...], int] = {}
    position = 0
    while position < len(elements):
        node, position = _node(elements, position)
        _collect(node, (node.element.name,), paths)
    return paths


def _node(elements: Sequence[Element], position: int) -> tuple[_Node, int]:
    element, at = elements[position], position + 1
    children = []
    for _ in range(element.children):
        child, at = _node(elements, at)
        children.append(child)
    return _Node(position, element, tuple(children)), at


def _collect(node: _Node, path: tuple[str, ...], paths: dict[tuple[str, ...], int]) -> None:
    paths[path] = node.position
    kind, children = node.element.kind, node.children
    if kind == "list" and len(children) == 1:
        _collect(_list_element(node.element.name, children[0]), (*path, "element"), paths)
    elif kind == "map" and len(children) == 1 and len(children[0].children) == 2:
        for name, child in zip(("key", "value"), children[0].children, strict=True):
            _collect(child, (*path, name), paths)
    else:
        for child in children:
            _collect(child, (*path, child.element.name), paths)


def _list_element(name: str, repeated: _Node) -> _Node:
    """The element of a list: the repeated node itself where an old writer left the group between them out."""
    if len(repeated.children) != 1 or repeated.element.name in ("array", f"{name}_tuple"):
        return repeated
    [child] = repeated.children
    return repeated if child.element.repeated else child
