"""The definition of a sequence: YAML in, a frozen value out, every mistake with its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nbplat.errors import RequestError, did_you_mean
from nbplat.terms import RunId, TableName, content_hash

if TYPE_CHECKING:
    import yaml

__all__ = ["MAX_LAST", "EventRule", "SequenceSpec", "parse_spec"]

MAX_LAST = 20_000

_KEYS = ("source", "entity", "time", "id", "type", "events", "as_of", "show")
_REQUIRED = ("source", "entity", "time", "events")
_EXAMPLE = "events:\n  purchase: {last: 50}"


@dataclass(frozen=True, slots=True)
class EventRule:
    """How many events of one type a sequence holds: the `last` ones before the as-of instant."""

    event_type: str
    last: int


@dataclass(frozen=True, slots=True)
class SequenceSpec:
    """A definition; two with the same content have the same `version`.

    Attributes:
        name: Not part of the version.
        source: Table of events.
        entity: Column that says whose event it is; the examples have one of the same name.
        time: Column of the event's time.
        events: Types and their numbers, in the order written.
        id: Column that tells events of one instant apart; None takes a hash of the row's declared columns.
        type: Column of the event's type.
        as_of_time: Column of the examples; a sequence ends there.
        strict: True leaves out events at the very instant; False lets them in, which leaks.
        show: Columns whose values are shown and given as features.
        lines: Where each key was written, ``{"entity": "line 2, column 1"}``; empty without a text.
        defaults: What was not written and is taken, ``("type: event_type",)``.
    """

    name: str
    source: str
    entity: str
    time: str
    events: tuple[EventRule, ...]
    id: str | None = None
    type: str = "event_type"
    as_of_time: str = "label_ts"
    strict: bool = True
    show: tuple[str, ...] = ()
    lines: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), compare=False, repr=False)
    defaults: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def declared(self) -> tuple[str, ...]:
        """Every column of the events that the definition names, each once."""
        named = (self.entity, self.type, self.time, *([self.id] if self.id else []), *self.show)
        return tuple(dict.fromkeys(named))

    @property
    def version(self) -> str:
        """SHA-256 of the definition, without its name."""
        return content_hash(self.record())

    def record(self) -> dict[str, Any]:
        """Canonical JSON form; the order of the types and the way it was written do not show."""
        return {
            "source": self.source,
            "entity": self.entity,
            "time": self.time,
            "id": self.id,
            "type": self.type,
            "events": {rule.event_type: {"last": rule.last} for rule in self.events},
            "as_of": {"time": self.as_of_time, "strict": self.strict},
            "show": list(self.show),
        }


def parse_spec(text: str, name: str) -> SequenceSpec:
    """Read the YAML of a cell.

    Args:
        text: Keys ``source``, ``entity``, ``time``, ``events: {type: {last: N}}``, and if wanted ``id``, ``type``,
            ``as_of: {time: …, strict: …}``, ``show: [columns]``.
        name: Lower-case identifier of the sequence.

    Raises:
        RequestError: not YAML, an unknown, missing or doubled key, or a value that is not possible; with its line.
    """
    RunId.check_name(name)
    keys = _mapping(_composed(text), "the definition", _KEYS, {})
    for key in _REQUIRED:
        if key not in keys:
            raise _error("missing", f"the key {key!r} is missing", f"add {_REQUIRED_FIX.get(key, key + ': …')}", None)
    lines = {key: _place(node) for key, node in keys.items()}
    source = _text(keys["source"], "source")
    try:
        TableName.parse(source)
    except RequestError as exc:
        raise RequestError(exc.code, exc.message, fix=exc.fix, where=_place(keys["source"])) from None
    as_of = _mapping(keys["as_of"], "as_of", ("time", "strict"), lines) if "as_of" in keys else {}
    return SequenceSpec(
        name=name,
        source=source,
        entity=_text(keys["entity"], "entity"),
        time=_text(keys["time"], "time"),
        events=tuple(_rules(keys["events"], lines)),
        id=_text(keys["id"], "id") if "id" in keys else None,
        type=_text(keys["type"], "type") if "type" in keys else "event_type",
        as_of_time=_text(as_of["time"], "as_of.time") if "time" in as_of else "label_ts",
        strict=_truth(as_of["strict"], "as_of.strict") if "strict" in as_of else True,
        show=tuple(_texts(keys["show"], lines)) if "show" in keys else (),
        lines=MappingProxyType(lines),
        defaults=tuple(
            shown
            for key, shown in (
                ("id", "id: hash of the declared columns"),
                ("type", "type: event_type"),
                ("as_of.time", "as_of.time: label_ts"),
                ("as_of.strict", "as_of.strict: true"),
                ("show", "show: no columns"),
            )
            if key not in lines
        ),
    )


_REQUIRED_FIX = {
    "source": "source: retail.events",
    "entity": "entity: customer_id",
    "time": "time: event_ts",
    "events": _EXAMPLE.replace("\n", " / "),
}


def _composed(text: str) -> yaml.Node:
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise RequestError("sequence.yaml", f"not YAML: {exc.problem}", fix="mend that line", where=where) from None
    except yaml.YAMLError as exc:
        raise RequestError("sequence.yaml", f"not YAML: {exc}", fix="mend the text") from None
    if node is None:
        raise RequestError(
            "sequence.empty", "the definition is empty", fix="start with source:, entity:, time: and events:"
        )
    return node


def _mapping(node: yaml.Node, what: str, known: tuple[str, ...] | None, lines: dict[str, str]) -> dict[str, yaml.Node]:
    """Keys and value nodes; `lines` gains ``what.key`` for each."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        raise _error("shape", f"{what} is not a mapping of keys to values", f"write it as\n{_EXAMPLE}", node)
    found: dict[str, yaml.Node] = {}
    for key_node, value in node.value:
        key = _text(key_node, f"a key of {what}")
        if known is not None and key not in known:
            raise _error("key", f"{what} has no key {key!r}", did_you_mean(key, known), key_node)
        if key in found:
            raise _error("twice", f"the key {key!r} is written twice", "keep one of the two", key_node)
        found[key] = value
        lines[f"{what}.{key}"] = _place(key_node)
    return found


def _rules(node: yaml.Node, lines: dict[str, str]) -> Iterator[EventRule]:
    types = _mapping(node, "events", None, lines)
    if not types:
        raise _error("events", "events names no type", f"write it as\n{_EXAMPLE}", node)
    for event_type, rule in types.items():
        import yaml

        if not isinstance(rule, yaml.MappingNode):
            raise _error("events", f"{event_type!r} has no number", f"write {event_type}: {{last: 50}}", rule)
        last = _mapping(rule, f"events.{event_type}", ("last",), lines).get("last")
        if last is None:
            raise _error("events", f"{event_type!r} has no number", f"write {event_type}: {{last: 50}}", rule)
        number = last.value if last.tag == "tag:yaml.org,2002:int" else ""
        if not str(number).isdigit() or not 1 <= int(number) <= MAX_LAST:
            raise _error("last", f"last: {_show(last)} is not possible", f"give a number from 1 to {MAX_LAST}", last)
        yield EventRule(event_type, int(number))


def _texts(node: yaml.Node, lines: dict[str, str]) -> Iterator[str]:
    import yaml

    if not isinstance(node, yaml.SequenceNode):
        raise _error("shape", "show is not a list", "write show: [stock_code, amount]", node)
    seen: set[str] = set()
    for item in node.value:
        text = _text(item, "an entry of show")
        if text in seen:
            raise _error("twice", f"show names {text!r} twice", "keep one of the two", item)
        seen.add(text)
        lines[f"show.{text}"] = _place(item)
        yield text


def _text(node: yaml.Node, what: str) -> str:
    import yaml

    if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null" or not node.value.strip():
        raise _error("value", f"{what} is not a name", "write one name, quoted if need be", node)
    return str(node.value)


def _truth(node: yaml.Node, what: str) -> bool:
    if node.tag != "tag:yaml.org,2002:bool":
        raise _error("value", f"{what}: {_show(node)} is neither true nor false", "write true or false", node)
    return str(node.value).lower() in ("true", "yes", "on")


def _show(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node.value, str) else "…"


def _place(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"


def _error(code: str, message: str, fix: str, node: yaml.Node | None) -> RequestError:
    return RequestError(f"sequence.{code}", message, fix=fix, where=_place(node) if node is not None else "")
