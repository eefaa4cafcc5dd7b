"""`nbplat env du|gc|verify`: care of the store."""

from __future__ import annotations

from typing import Any

from nbplat.errors import DataError
from nbplat.ui.call import Call
from nbplat.ui.environment_place import Place
from nbplat.ui.handlers.environment_jobs import built_word
from nbplat.ui.handlers.environment_result import shown
from nbplat.ui.render.figures import bytes_text, count_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text, table_html, table_text

__all__ = ["collected", "du", "gc", "measured", "verified", "verify"]


def du(_call: Call) -> Result:
    """What the store takes."""
    return measured(Place())


def measured(place: Place) -> Result:
    """Each part, and each environment with what removing it alone would free."""
    found = place.store.ask("usage", {})
    head = (
        f"{found['root']} {bytes_text(found['bytes'])} on the disk,"
        f" {bytes_text(found['shared_bytes'])} saved by hard links"
    )
    parts = [[one["name"], one["count"], bytes_text(one["bytes"])] for one in found["parts"]]
    rows = [
        [", ".join(one["names"]) or one["key"][:12], one["platform"], bytes_text(one["size_bytes"]), _own(one)]
        for one in found["environments"]
    ]
    tables = [(["part", "count", "bytes"], parts), (["environment", "platform", "size", "its own"], rows)]
    text = "\n\n".join([head, *(table_text(*table) for table in tables)])
    page = fields_html([("store", head)]) + "".join(table_html(*table) for table in tables)
    return Result(text, page, value=found, data=found)


def gc(call: Call) -> Result:
    """Remove what nothing needs; without ``--yes`` only say what."""
    return collected(Place(), older_than_s=call.options.older_than, yes=call.options.yes)


def collected(place: Place, *, older_than_s: float | None, yes: bool) -> Result:
    """What goes and what stays, and why."""
    found = place.store.ask("gc", {"older_than_s": older_than_s, "dry_run": not yes})
    verb = "removed" if found["done"] else "would remove"
    head = f"gc {verb} {count_text(len(found['swept']), 'thing')}, {bytes_text(found['frees_bytes'])}"
    rows = [[one["kind"], one["name"], bytes_text(one["bytes"]), one["why"]] for one in found["swept"]]
    kept = [[one["name"], one["key"][:12], "; ".join(one["why"])] for one in found["kept"]]
    tables = [(["kind", "name", "bytes", "why"], rows), (["stays", "key", "why"], kept)]
    end = [] if found["done"] or not rows else ["nothing was removed; the same with --yes removes it"]
    text = "\n\n".join([head, *(table_text(*table) for table in tables if table[1]), *end])
    page = fields_html([("gc", head)]) + "".join(table_html(*table) for table in tables)
    return Result(text, page, value=found, data=found)


def verify(call: Call) -> Result:
    """Read what is built, byte for byte."""
    return verified(Place(), call.options.environment, repair=call.options.repair)


def verified(place: Place, word: str | None, *, repair: bool) -> Result:
    """One environment, or every one.

    Raises:
        DataError: ``env.damaged``: something is not as its lock says, and was not mended.
    """
    request = {} if word is None else built_word(place, word)[1]
    found = place.store.ask("verify", {**request, "repair": repair})
    facts: list[tuple[str, Any]] = []
    for one in found["environments"]:
        state = (
            "repaired"
            if one["repaired"]
            else count_text(len(one["damage"]), "wrong file")
            if one["damage"]
            else "whole"
        )
        facts.append((one["name"] or one["key"][:12], f"{state}, {one['files']:,} files"))
        facts += [("", f"{each['what']}: {each['file']}{_of(each['package'])}") for each in one["damage"][:20]]
    facts += [("package", f"{name}: {', '.join(files[:5])}") for name, files in found["packages"].items()]
    head = f"verify {'whole' if found['whole'] else 'damaged'}: {count_text(len(found['environments']), 'environment')}"
    if not found["whole"]:
        wrong = fields_text([each for each in facts if each[1]])
        fix = "nbplat env verify --repair" if not repair else "build them again: nbplat env build NAME"
        raise DataError("env.damaged", f"{head}\n{wrong}", fix=fix)
    return shown(head, facts, data=found)


def _own(one: dict[str, Any]) -> str | None:
    return None if one["own_bytes"] is None else bytes_text(one["own_bytes"])


def _of(package: str) -> str:
    return f" ({package})" if package else ""
