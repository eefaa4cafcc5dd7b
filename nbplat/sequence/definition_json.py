"""Definitions as JSON: every key in its full form, nothing left to defaults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from nbplat.errors import RequestError
from nbplat.sequence.definition import (
    AsOf,
    Definition,
    Enrichment,
    EventRule,
    Feature,
    Nearest,
    Size,
    Zone,
)
from nbplat.sequence.parse import from_keys
from nbplat.sequence.write import to_keys

__all__ = ["FORMAT", "from_json", "from_record", "to_json", "to_record"]

FORMAT = 1


def to_record(definition: Definition) -> dict[str, Any]:
    """`Definition.record` with the name and the number of the format."""
    return {"format": FORMAT, "name": definition.name, **definition.record()}


def to_json(definition: Definition) -> str:
    """`to_record` as text, indented."""
    return json.dumps(to_record(definition), ensure_ascii=False, indent=2, allow_nan=False)


def from_json(text: str) -> Definition:
    """Read what `to_json` wrote.

    Raises:
        RequestError: not JSON, or as `from_record`.
    """
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as exc:
        fix = "give what to_json wrote, or write it as YAML"
        raise RequestError("sequence.json", f"not JSON: {exc}", fix=fix) from None
    return from_record(record)


def from_record(record: Mapping[str, Any]) -> Definition:
    """Read what `to_record` wrote; the definition is equal, without `lines` and `defaults`.

    Raises:
        RequestError: another format, a key that is missing or too much, or a value that no definition has.
    """
    if not isinstance(record, Mapping) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, Mapping) else None
        fix = "read it with the version of nbplat that wrote it" if found else "give what to_record wrote"
        raise RequestError("sequence.format", f"no definition of format {FORMAT}: format {found!r}", fix=fix)
    try:
        made = _built(record)
        # Reading its keys again checks every value as if a person had written it.
        same = made == from_keys(made.name, **to_keys(made)) and to_record(made) == dict(record)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise _unfit(f"{type(exc).__name__} {exc}") from None
    if not same:
        raise _unfit("it reads as another definition")
    return made


def _unfit(why: str) -> RequestError:
    return RequestError("sequence.record", f"the record is no definition: {why}", fix="write it again with to_record")


def _built(record: Mapping[str, Any]) -> Definition:
    zone, size, enrich = record["zone"], record["size"], record["enrich"]
    return Definition(
        name=record["name"],
        source=record["source"],
        entity=tuple(record["entity"]),
        time=record["time"],
        events=tuple(_rule(name, each) for name, each in record["events"].items()),
        arrival=record["arrival"],
        early=record["early"],
        id=tuple(record["id"]),
        dedupe=record["dedupe"],
        type=record["type"],
        time_unit=record["time_unit"],
        zone=None if zone is None else Zone(**zone),
        enrich_index=tuple(_enrichment(name, each) for name, each in enrich["index"].items()),
        enrich_read=tuple(_enrichment(name, each) for name, each in enrich["read"].items()),
        layout=record["layout"],
        size=Size(**{**size, "lengths": MappingProxyType(dict(size["lengths"]))}),
        features=tuple(_feature(name, each) for name, each in record["features"].items()),
        show=tuple(record["show"]),
        as_of=AsOf(**record["as_of"]),
        variants=MappingProxyType({name: MappingProxyType(dict(p)) for name, p in record["variants"].items()}),
    )


def _rule(name: str, record: Mapping[str, Any]) -> EventRule:
    select = record["select"]
    return EventRule(name, **{**record, "select": None if select is None else Nearest(**select)})


def _enrichment(name: str, record: Mapping[str, Any]) -> Enrichment:
    pairs = tuple((ours, theirs) for ours, theirs in record["on"])
    return Enrichment(name, **{**record, "on": pairs})


def _feature(name: str, record: Mapping[str, Any]) -> Feature:
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items() if k not in ("function", "column")}
    return Feature(name, record["function"], record["column"], tuple(sorted(options.items())))
