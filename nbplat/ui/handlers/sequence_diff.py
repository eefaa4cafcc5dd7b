"""`%sequence diff`: what differs between two definitions, or from the version before, and how the index is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbplat.service.sequence_verbs import changes_of
from nbplat.ui.call import Call
from nbplat.ui.handlers.sequence_result import index_facts
from nbplat.ui.render.figures import count_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text, table_html, table_text
from nbplat.ui.sequence_place import Place

if TYPE_CHECKING:
    from nbplat.sequence.definition import Definition
    from nbplat.ui.sequence_place import Subject

__all__ = ["definitions_result", "diff", "index_result"]

_HEAD = ["key", "was", "is"]
_AGAINST = {
    "given": "",
    "previous": ", the version before it",
    "declared": ", which it is a variant of",
    "index": ", which built its index",
}


def diff(call: Call) -> Result:
    """Compare kept definitions; one alone with the version before it and with its index."""
    return compared_result(Place().kept.diff(call.options.name, call.options.other))


def definitions_result(before: str, old: Definition, after: str, new: Definition) -> Result:
    """What two definitions of the notebook differ in."""
    changes = changes_of(old, new, whole="." not in f"{before}{after}")
    sides = {"old": {"label": before, "version": old.version}, "new": {"label": after, "version": new.version}}
    return compared_result({**sides, "against": "given", "changes": changes, "index": None, "present": []})


def index_result(subject: Subject) -> Result:
    """What differs between a definition and the version before it, and how its index is."""
    from nbplat.ui.handlers.sequence_steps import kept

    return compared_result(subject.place.kept.diff(kept(subject)["id"], None))


def compared_result(found: dict[str, Any]) -> Result:
    """A comparison as text and HTML; its value is the record."""
    old, new = found["old"], found["new"]
    count = len(found["changes"])
    what = f"{count_text(count, 'key')} differ{'s' * (count == 1)}" if count else "the same definition"
    sides = f"{new['label']} ({new['version'][:12]}) against {old['label']} ({old['version'][:12]})"
    said = f"{sides}{_AGAINST[found['against']]}: {what}"
    if old["label"] == new["label"] and found["against"] == "index":
        said = f"{new['label']} ({new['version'][:12]}) is the first version of its name; its index was built from it"
    facts: list[tuple[str, Any]] = [("diff", said)]
    if found["against"] != "given":
        facts += index_facts(found["index"])
        facts += [("source now", line) for line in found["present"]]
    rows = [[each["path"], _shown(each["old"]), _shown(each["new"])] for each in found["changes"]]
    text, page = fields_text(facts), fields_html(facts)
    if rows:
        text, page = f"{text}\n\n{table_text(_HEAD, rows)}", page + table_html(_HEAD, rows)
    return Result(text, page, value=found, data=found)


def _shown(value: Any) -> str | None:
    return None if value is None else str(value)
