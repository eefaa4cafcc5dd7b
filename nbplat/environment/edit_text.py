"""Lists in a YAML text, edited by the places of their items; whatever stands between them is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

__all__ = ["EditedText", "NotEditable", "scalar"]

Path = tuple[str | int, ...]


class NotEditable(ValueError):
    """The text is written in a way that cannot be edited by place."""


class EditedText:
    """A YAML text and edits of its lists.

    Args:
        text: One document whose root is a mapping; it has been read before and is known to be sound.

    Attributes:
        text: As it is now.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"

    def items(self, path: Path) -> list[str | None]:
        """The texts of a list, None for an item that is no text; empty when there is no such list."""
        found = self._find(path)
        return [] if found is None else [_text(each) for each in _listed(found)]

    def index_of(self, path: Path, key: str) -> int | None:
        """Which item of a list is a mapping with that key; None: none is."""
        found = self._find(path)
        items = [] if found is None else found.value
        return next((at for at, each in enumerate(items) if _is_map(each) and _entry(each, key) is not None), None)

    def keys(self, path: Path) -> list[str]:
        """The keys of a mapping, in order."""
        return [str(key.value) for key, _ in self._node(path).value]

    def has(self, path: Path) -> bool:
        """Whether something stands there."""
        return self._find(path) is not None

    def is_flow(self, path: Path) -> bool:
        """Whether a list or mapping stands in brackets."""
        return bool(self._node(path).flow_style)

    # -- edits -------------------------------------------------------------------------------------

    def add_key(self, path: Path, lines: list[str], before: str | None = None) -> None:
        """Add a key to a mapping.

        Args:
            path: Of the mapping; the empty one is the root.
            lines: Of the key and its value, without the mapping's own indent.
            before: The key that it stands above; None: at the end.
        """
        into = self._node(path)
        if into.flow_style:
            self._add_to_flow(into, into.value[-1][1] if into.value else None, lines)
            return
        indent = " " * into.start_mark.column
        whole = self._newline.join(indent + line for line in lines)
        above = None if before is None else _key(into, before)
        if above is not None:
            self._put_line(self._line_start(above.start_mark.index), whole)
        else:
            self._put_line(self._line_end(_content_end(into.value[-1][1])), whole)

    def drop_key(self, path: Path, name: str) -> None:
        """Take a key and its value out of a mapping."""
        into = self._node(path)
        key, value = _key(into, name), _entry(into, name)
        if into.flow_style or key is None:
            raise NotEditable
        self._cut(self._line_start(key.start_mark.index), self._line_end(_content_end(value)))

    def add_item(self, path: Path, text: str, *, before: int | None = None) -> None:
        """Add a text to a list that is there.

        Args:
            before: The item that it stands above; None: at the end.
        """
        self._add(path, [f"- {scalar(text)}"], scalar(text, flow=True), before)

    def add_mapping(self, path: Path, key: str, text: str) -> None:
        """Add a mapping of one key with a list of one text to the end of a list."""
        lines = [f"- {key}:", f"    - {scalar(text)}"]
        self._add(path, lines, f"{{{key}: [{scalar(text, flow=True)}]}}", None)

    def put_item(self, path: Path, at: int, text: str) -> None:
        """Write another text in the place of an item."""
        into = self._node(path)
        item = into.value[at]
        if _text(item) is None or item.style in ("|", ">"):
            raise NotEditable
        self._cut(item.start_mark.index, item.end_mark.index, scalar(text, flow=bool(into.flow_style)))

    def drop_item(self, path: Path, at: int) -> None:
        """Take an item out, with the comment behind it."""
        into = self._node(path)
        item = into.value[at]
        begin, end = item.start_mark.index, _content_end(item)
        if not into.flow_style:
            start = self._line_start(begin)
            if self.text[start:begin].strip() != "-":
                raise NotEditable
            self._cut(start, self._line_end(end))
            return
        if at + 1 < len(into.value):
            end = self.text.index(",", end) + 1
            end += len(self.text[end:]) - len(self.text[end:].lstrip(" "))
        elif self.text[:begin].rstrip().endswith(","):
            begin = len(self.text[:begin].rstrip()) - 1
        self._cut(begin, end)
        start = self._line_start(begin)
        if not self.text[start : self._line_end(begin)].strip():
            self._cut(start, self._line_end(begin))

    # -- places ------------------------------------------------------------------------------------

    def _add(self, path: Path, lines: list[str], flow: str, before: int | None) -> None:
        into = self._node(path)
        items = _listed(into)
        if into.flow_style:
            at = len(items) if before is None else before
            if at == 0 and items:
                self._cut(items[0].start_mark.index, items[0].start_mark.index, f"{flow}, ")
            else:
                self._add_to_flow(into, items[at - 1] if items else None, [flow])
            return
        indent = " " * into.start_mark.column
        whole = self._newline.join(indent + line for line in lines)
        if before is not None and before == 0:
            self._put_line(self._line_start(items[0].start_mark.index), whole)
        else:
            after = items[-1 if before is None else before - 1]
            self._put_line(self._line_end(_content_end(after)), whole)

    def _add_to_flow(self, into: Any, after: Any, lines: list[str]) -> None:
        if len(lines) != 1:
            raise NotEditable
        if after is None:
            self._cut(into.start_mark.index + 1, into.start_mark.index + 1, lines[0])
        else:
            self._cut(_content_end(after), _content_end(after), f", {lines[0]}")

    def _put_line(self, at: int, line: str) -> None:
        if at and self.text[at - 1] != "\n":
            self._cut(at, at, self._newline + line)
        else:
            self._cut(at, at, line + self._newline)

    def _line_start(self, at: int) -> int:
        return self.text.rfind("\n", 0, at) + 1

    def _line_end(self, at: int) -> int:
        """Behind the line break of the line; of a text that ends in a line break, that is the next line's start."""
        if at and self.text[at - 1] == "\n":
            return at
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end + 1

    def _cut(self, begin: int, end: int, text: str = "") -> None:
        self.text = self.text[:begin] + text + self.text[end:]

    def _node(self, path: Path) -> Any:
        found = self._find(path)
        if found is None:
            raise NotEditable
        return found

    def _find(self, path: Path) -> Any:
        """The node at a path, None when there is none; places are those of the text as it is now."""
        import yaml

        try:
            node: Any = yaml.compose(self.text, Loader=yaml.SafeLoader)
        except yaml.YAMLError:
            raise NotEditable from None
        for step in path:
            node = node.value[step] if isinstance(step, int) else _entry(node, step)
            if node is None:
                return None
        return node


def _entry(node: yaml.MappingNode, name: str) -> Any:
    return next((value for key, value in node.value if key.value == name), None)


def _key(node: yaml.MappingNode, name: str) -> Any:
    return next((key for key, _ in node.value if key.value == name), None)


def _is_map(node: Any) -> bool:
    return str(node.id) == "mapping"


def _listed(node: Any) -> list[Any]:
    if node.id != "sequence":
        raise NotEditable
    return list(node.value)


def _text(node: Any) -> str | None:
    return str(node.value) if node.id == "scalar" else None


def _content_end(node: Any) -> int:
    """Behind the last character of a value, without the comments and blank lines below it."""
    if node.id == "scalar" or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _content_end(last[1] if isinstance(last, tuple) else last)


def scalar(text: str, *, flow: bool = False) -> str:
    """The text, in quotes where it would read as something else without."""
    import yaml

    try:
        whole: Any = yaml.compose(f"[{text}]" if flow else f"- {text}", Loader=yaml.SafeLoader)
        [item] = whole.value
        plain = item.id == "scalar" and item.style is None and item.value == text
    except (yaml.YAMLError, ValueError):
        plain = False
    return text if plain else "'" + text.replace("'", "''") + "'"
