"""YAML text as a tree in which every value knows its line and column.

YAML has many ways to mean something else than it looks: ``no`` is false, ``010`` is 8, ``1:30`` is 90, a tag makes an
object. Nothing of that is decided here: what stands without quotes stays a text until the key that it belongs to says
what it wants. Aliases and merge keys work; tags, a second document and keys that are no plain texts are refused. The
parser's events are read one by one without recursion, so that no nesting and no chain of aliases can exhaust anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbplat.declared.node import MAX_DEPTH, Entry, Fault, Node

if TYPE_CHECKING:
    import yaml

__all__ = ["MAX_TEXT_BYTES", "yaml_node"]

# Far above any definition; the parser needs a second for it.
MAX_TEXT_BYTES = 256 * 1024

# Values that a text may stand for once its aliases are unfolded.
_MAX_WEIGHT = 100_000

_NOTHING = ("", "~", "null", "Null", "NULL")
_STR_TAGS = ("!", "tag:yaml.org,2002:str")
_QUOTE = "mend that line; a value with one of , : # @ [ ] { } in it needs quotes"


def yaml_node(text: str, *, noun: str, start: str) -> Node:
    """Read one YAML document.

    Args:
        noun: What is declared: the first part of the errors' codes.
        start: What to do about an empty text.

    Raises:
        RequestError: not YAML, empty, more than one document, longer than 256 KiB, nested deeper than 32 levels, a tag,
            a key twice, or a key that is no text; with line and column.
    """
    try:
        if len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
            raise Fault("long", f"the definition has {len(text):,} characters", "keep it under 256 KiB", "")
        root = _built(_events(text))
        if root is None:
            raise Fault("empty", "the definition is empty", start, "")
    except Fault as exc:
        raise exc.named(noun) from None
    return root


def _events(text: str) -> Iterator[yaml.Event]:
    import yaml

    try:
        yield from yaml.parse(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        place = _place(mark) if mark else ""
        begun = f" ({exc.context}, begun at {_place(exc.context_mark)})" if exc.context and exc.context_mark else ""
        raise Fault("yaml", f"not YAML: {exc.problem or exc.context}{begun}", _QUOTE, place) from None
    except yaml.reader.ReaderError as exc:
        before = text[: exc.position]
        place = f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"
        fix = "take that character out, or write it as an escape in double quotes"
        raise Fault("yaml", f"not YAML: the character U+{exc.character:04X}", fix, place) from None


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end was not met yet."""

    event: Any
    place: str
    anchor: str | None
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    merged: list[Node] = field(default_factory=list)
    key: Node | None = None
    is_map: bool = False


_MERGE = "<<"


def _built(events: Iterator[yaml.Event]) -> Node | None:
    import yaml

    root: Node | None = None
    documents = 0
    anchors: dict[str, Node | None] = {}
    stack: list[_Open] = []
    for event in events:
        node: Node | None = None
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                fix = "keep one definition; others belong in cells or files of their own"
                raise Fault("documents", "a second document begins (---)", fix, _place(event.start_mark))
        elif isinstance(event, yaml.AliasEvent):
            node = _alias(event, anchors)
        elif isinstance(event, yaml.ScalarEvent):
            node = _scalar(event)
            if event.anchor:
                anchors[event.anchor] = node
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            _check_tag(event, allowed=())
            place = _place(event.start_mark)
            if len(stack) >= MAX_DEPTH:
                raise Fault("depth", f"nested deeper than {MAX_DEPTH} levels", "write it flatter", place)
            if event.anchor:
                anchors[event.anchor] = None
            is_map = isinstance(event, yaml.MappingStartEvent)
            stack.append(_Open(event, place, event.anchor, is_map=is_map))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = stack.pop()
            node = _closed(done)
            if done.anchor:
                anchors[done.anchor] = node
        if node is None:
            continue
        if stack:
            _put(stack[-1], node)
        else:
            root = node
    return None if root is not None and root.kind == "nothing" else root


def _put(into: _Open, node: Node) -> None:
    """Add a finished value to the list or mapping it stands in; in a mapping keys and values take turns."""
    if not into.is_map:
        into.items.append(node)
        return
    if into.key is None:
        _name(node)
        into.key = node
        return
    key, into.key = into.key, None
    name, place = _name(key), key.place
    if key.kind == "plain" and name == _MERGE:
        into.merged += list(node.value) if node.kind == "list" else [node]
        return
    if name in into.entries:
        first = into.entries[name].place
        raise Fault(
            "twice", f"the key {name!r} is written twice", f"keep one of the two, the other is at {first}", place
        )
    into.entries[name] = Entry(place, node)


def _closed(done: _Open) -> Node:
    if not done.is_map:
        return _weighed("list", tuple(done.items), done.items, done.place)
    for merged in done.merged:
        if merged.kind != "map":
            raise Fault("merge", "<< wants a mapping", "write <<: *name of an anchored mapping", merged.place)
        for name, entry in merged.value.items():
            done.entries.setdefault(name, entry)
    if done.event.flow_style:
        _refuse_split(done)
    return _weighed("map", dict(done.entries), [entry.node for entry in done.entries.values()], done.place)


def _weighed(kind: str, value: Any, inside: list[Node], place: str) -> Node:
    weight = 1 + sum(each.weight for each in inside)
    if weight > _MAX_WEIGHT:
        raise Fault("depth", f"aliases unfold to more than {_MAX_WEIGHT:,} values", "write it without them", place)
    return Node(kind, value, place, weight=weight)


def _refuse_split(done: _Open) -> None:
    """In braces a comma ends a value: ``{select: nearest(emb, 50)}`` is two keys. Nobody means that."""
    entries = list(done.entries.items())
    for number, (name, entry) in enumerate(entries):
        text = entry.node.value if entry.node.kind == "plain" else ""
        after = entries[number + 1] if number + 1 < len(entries) else None
        if text.isdigit() and after and after[0].isdigit() and after[1].node.kind == "nothing":
            whole = f"{text}{after[0]}"
            raise Fault("comma", f"{name}: {text},{after[0]} is two values", f"write {name}: {whole}", entry.node.place)
        if text.count("(") <= text.count(")"):
            continue
        whole = text
        for later, (_, node) in entries[number + 1 :]:
            whole += f", {later}" + ("" if node.kind == "nothing" else f": {node.shown}")
            if whole.count("(") <= whole.count(")"):
                break
        fix = f"inside braces a comma ends a value; quote it: {name}: '{whole}'"
        raise Fault("comma", f"{name}: {text} has no closing parenthesis", fix, entry.node.place)


def _name(node: Node) -> str:
    if node.kind in ("plain", "text") and node.value.strip():
        return str(node.value)
    if node.kind == "nothing":
        raise Fault("key", "a key is empty or null", "write a name; quote it if it is one", node.place)
    raise Fault("key", "a key is no text", "write a name; quote it if it holds one of , : # [ ] { }", node.place)


def _alias(event: Any, anchors: dict[str, Node | None]) -> Node:
    node = anchors.get(event.anchor)
    if node is None:
        inside = event.anchor in anchors
        message = (
            f"*{event.anchor} stands inside what it names" if inside else f"nothing is anchored as &{event.anchor}"
        )
        raise Fault("alias", message, "name an anchor that ends before", _place(event.start_mark))
    return node


def _scalar(event: Any) -> Node:
    _check_tag(event, allowed=_STR_TAGS)
    start, end = event.start_mark, event.end_mark
    quoted = event.style in ("'", '"')
    # Quotes, line breaks and escapes move characters; only a text that stands there as it is can be pointed into.
    same = start.line == end.line and end.column - start.column == len(event.value) + 2 * quoted
    inside = (start.line + 1, start.column + 1 + quoted) if same else None
    if event.style is None and event.tag is None:
        kind = "nothing" if event.value in _NOTHING else "plain"
        return Node(kind, event.value if kind == "plain" else None, _place(start), inside)
    return Node("text", event.value, _place(start), inside)


def _check_tag(event: Any, *, allowed: tuple[str, ...]) -> None:
    if event.tag is None or event.tag in allowed:
        return
    tag = event.tag.replace("tag:yaml.org,2002:", "!!")
    raise Fault("tag", f"the tag {tag} is not understood", "take it out", _place(event.start_mark))


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"
