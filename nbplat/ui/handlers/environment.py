"""`nbplat env list|show|diff`: what is declared, locked and built."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nbplat.clock import iso
from nbplat.environment.definition_file import LOCK_SUFFIX
from nbplat.environment.lock_file import read_lock
from nbplat.environment.lock_record import Lock, environment_key
from nbplat.errors import NbplatError, NotFound
from nbplat.ui.call import Call
from nbplat.ui.environment_place import Place, declared_in, find_declared, maybe_declared
from nbplat.ui.handlers.environment_jobs import built_word
from nbplat.ui.handlers.environment_result import default_facts, next_lines, shown
from nbplat.ui.render.figures import bytes_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text, table_html, table_text

__all__ = ["diff", "list_environments", "listed", "show", "showed"]

_HEADER = ["environment", "declared", "locked", "built", "platform", "python", "packages", "size", "used"]


def list_environments(_call: Call) -> Result:
    """Declared and built environments."""
    return listed(Place())


def listed(place: Place) -> Result:
    """A line a declaration, with what is built of it; then what is built and not declared here."""
    built = place.store.list()
    rows: list[list[Any]] = []
    data: list[dict[str, Any]] = []
    told: set[str] = set()
    for name, path in declared_in(place.project).items():
        state, keys = _locked(place, name)
        mine: list[dict[str, Any] | None] = [each for each in built if each["key"] in keys]
        for each in mine or [None]:
            told.add(each["key"] if each else "")
            rows.append([name, str(path), state, *_built(each)])
            data.append({"name": name, "file": str(path), "locked": state, "built": each})
    for other in built:
        if other["key"] not in told:
            names = ", ".join(other["names"]) or "(no name)"
            rows.append([names, None, None, *_built(other)])
            data.append({"name": names, "file": None, "locked": None, "built": other})
    return Result(table_text(_HEADER, rows), table_html(_HEADER, rows), value=data, data=data)


def show(call: Call) -> Result:
    """One environment in full."""
    return showed(Place(), call.options.environment)


def showed(place: Place, word: str | None) -> Result:
    """What is declared, what its lock holds, and what is built and packed of it."""
    found = maybe_declared(place, word)
    facts: list[tuple[str, Any]] = []
    data: dict[str, Any] = {"name": word, "declared": None, "locked": None, "built": None}
    if found is not None:
        definition = found.definition
        state, _ = _locked(place, str(found.path))
        data |= {"name": definition.name, "declared": definition.record(), "locked": state}
        facts += [
            ("declared", str(found.path)),
            *default_facts(definition),
            ("channels", ", ".join(definition.channels)),
            ("dependencies", ", ".join(definition.dependencies)),
            ("pip", ", ".join(definition.pip) or None),
            ("local", ", ".join(each.path for each in definition.local) or None),
            ("lock", state),
        ]
    name, request = built_word(place, word)
    try:
        seen = place.store.ask("show", request)
    except NotFound as exc:
        if found is None:
            raise
        return shown(f"{name} is not built", [*facts, ("next", exc.fix)], data=data)
    data["built"] = seen
    facts += _seen(seen)
    head = f"{name} {seen['key'][:12]} {seen['platform']} Python {seen['python'] or '-'}"
    header = ["package", "version", "build", "kind"]
    rows = [[one["name"], one["version"], one["build"], one["kind"]] for one in seen["contents"]]
    facts += [("next" if not at else "", line) for at, line in enumerate(next_lines(name))]
    text = "\n\n".join(
        ["\n".join([head, *(f"  {x}" for x in fields_text(facts).splitlines())]), table_text(header, rows)]
    )
    return Result(text, fields_html([("environment", head), *facts]) + table_html(header, rows), value=seen, data=data)


def diff(call: Call) -> Result:
    """Two locks, or a lock and what is built."""
    options, place = call.options, Place()
    return differed(place, options.environment, options.other)


def differed(place: Place, word: str | None, other: str | None) -> Result:
    """What changes from `other` to the lock that `word` names."""
    from nbplat.environment.lock_diff import diff_locks

    label, new = _lock(place, word)
    if other is not None:
        against, old = _lock(place, other)
    else:
        _, request = built_word(place, word)
        ref = place.platform.environments.find(request["environment"], project=request["folder"])
        built = place.platform.environments.built(ref)
        against = f"what is built ({ref.key[:12]})"
        old = replace(new, platforms={built.platform: built.lock})
        new = replace(new, platforms={built.platform: new.platforms[built.platform]})
    found = diff_locks(old, new)
    head = f"{against} -> {label}: {'changed' if found else 'equal'}"
    lines = found.text().splitlines()
    page = fields_html([("diff", head), *(("", line) for line in lines)])
    return Result("\n".join([head, *(f"  {line}" for line in lines)]), page, value=found, data=found.record())


def _lock(place: Place, word: str | None) -> tuple[str, Lock]:
    """The lock that a word means: a lock file, or that of a declaration."""
    if word is not None and word.endswith(LOCK_SUFFIX):
        return word, read_lock(word)
    found = find_declared(place, word)
    assert found.lock_path is not None  # noqa: S101 - it was read from a file
    return str(found.lock_path), read_lock(found.lock_path)


def _locked(place: Place, name: str) -> tuple[str, set[str]]:
    """How the lock of a declaration is, and the keys of what it builds."""
    from nbplat.environment.lock_check import check_lock

    try:
        found = find_declared(place, name)
        assert found.lock_path is not None  # noqa: S101 - it was read from a file
        lock = read_lock(found.lock_path)
    except NotFound:
        return "no lock", set()
    except NbplatError as exc:
        return f"unreadable: {exc.code}", set()
    state = "out of date" if check_lock(found.definition, lock) else "yes"
    return state, {environment_key(each) for each in lock.platforms.values()}


def _built(each: dict[str, Any] | None) -> list[Any]:
    if each is None:
        return [None, None, None, None, None, None]
    used = iso(each["used_ms"]) if each["used_ms"] else None
    return [
        each["key"][:12],
        each["platform"],
        each["python"] or None,
        each["packages"],
        bytes_text(each["size_bytes"]),
        used,
    ]


def _seen(seen: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("key", seen["key"]),
        ("lock digest", seen["lock_digest"]),
        ("prefix", seen["prefix"]),
        ("asked for", ", ".join(seen["requested"])),
        ("size", bytes_text(seen["size_bytes"])),
        ("built", iso(seen["built_ms"])),
        ("kept for", "; ".join(str(each) for each in seen["kept"]) or None),
        ("running", ", ".join(str(each) for each in seen["running"]) or None),
    ]
