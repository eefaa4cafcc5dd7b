"""Reads the site's profiles from the tables of its configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from nbplat.errors import RequestError, did_you_mean
from nbplat.session.access import EVERYBODY
from nbplat.session.livy_request import refused_conf
from nbplat.session.profile_rules import list_keys, read_rule
from nbplat.session.profiles import KEYS, LIFE, Profile, Profiles

__all__ = ["read_profiles"]


def read_profiles(data: Mapping[str, Any], default: str, *, builtin: Mapping[str, Mapping[str, Any]]) -> Profiles:
    """Read what the site declared; a profile of a built-in's name stands in its place.

    Args:
        data: By name: ``about``, ``users``, ``only``, ``allow``, ``conf``, ``ttl``, ``idle_timeout``,
            ``environment`` and the options of ``session start``.

    Raises:
        RequestError: ``profile.declaration``, naming profile and key; ``profile.unknown`` for the default.
    """
    found = {name: _read(name, table) for name, table in {**builtin, **data}.items()}
    if default not in found:
        raise RequestError(
            "profile.unknown",
            f"session.profile names {default!r}, which is none",
            fix=did_you_mean(default, found),
            where="session.profile",
        )
    return Profiles(found, default)


def _read(name: str, table: Any) -> Profile:
    if not isinstance(table, Mapping):
        raise _wrong(name, "", "a profile is a table")
    known = {"about", "users", "only", "allow", "conf", *KEYS}
    for key in table:
        if key not in known:
            raise _wrong(name, key, did_you_mean(key, known))
    conf: dict[str, str] = {}
    life: dict[str, str] = {}
    for key, value in table.items():
        if key in LIFE:
            life[LIFE[key]] = _value(name, key, value)
        elif key in KEYS:
            conf[KEYS[key]] = _value(name, key, value)
    for key, value in _table(name, table, "conf").items():
        if refused_conf(key):
            raise _wrong(name, f"conf.{key}", "where sessions run is spark.master's word")
        conf[key] = _value(name, f"conf.{key}", value)
    users = table.get("users", [EVERYBODY])
    if not isinstance(users, list) or not all(isinstance(one, str) for one in users):
        raise _wrong(name, "users", "give a list of names, @GROUP or '*'")
    if not isinstance(table.get("only", False), bool):
        raise _wrong(name, "only", "true or false")
    made = Profile(
        name,
        str(table.get("about", "")),
        conf,
        life,
        {},
        only=table.get("only", False),
        users=frozenset(users),
    )
    return _with_rules(made, _table(name, table, "allow"))


def _with_rules(profile: Profile, table: Mapping[str, Any]) -> Profile:
    rules = {}
    for written, data in table.items():
        key = KEYS.get(written, written)
        if key not in KEYS.values() and not key.startswith("spark."):
            near = did_you_mean(written, KEYS)
            raise _wrong(profile.name, f"allow.{written}", f"{near} or a Spark setting" if near else "")
        try:
            rules[key] = read_rule(key, data)
        except ValueError as exc:
            raise _wrong(profile.name, f"allow.{written}", str(exc)) from None
        # What a profile sets must fit what it allows.
        own = {**profile.conf, **profile.life}.get(key)
        if own is not None and (fault := rules[key].fault(own)):
            raise _wrong(profile.name, f"allow.{written}", f"its own value {own} {fault}")
    return replace(profile, allow=rules)


def _table(name: str, table: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = table.get(key, {})
    if not isinstance(found, Mapping):
        raise _wrong(name, key, "it is a table")
    return dict(_dotted(found) if key == "conf" else _dotted(found, leaf=_is_rule))


def _is_rule(value: Mapping[str, Any]) -> bool:
    return not value or set(value) <= {"least", "most", "choices"}


def _dotted(table: Mapping[str, Any], prefix: str = "", leaf: Any = None) -> Iterator[tuple[str, Any]]:
    """A table whose keys were written without quotes (``spark.sql.x = 1``) is nested: make it flat again."""
    for key, value in table.items():
        if isinstance(value, Mapping) and not (leaf is not None and leaf(value)):
            yield from _dotted(value, f"{prefix}{key}.", leaf)
        else:
            yield prefix + key, value


def _value(name: str, key: str, value: Any) -> str:
    if isinstance(value, list) and KEYS.get(key, key.removeprefix("conf.")) in list_keys:
        return ",".join(str(one) for one in value)
    if isinstance(value, Mapping | list):
        raise _wrong(name, key, "give one value")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wrong(name: str, key: str, fix: str) -> RequestError:
    where = f"profiles.{name}" + (f".{key}" if key else "")
    return RequestError(
        "profile.declaration", f"{where} is not understood", fix=fix or "see docs/sessions.md", where=where
    )
