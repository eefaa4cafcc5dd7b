"""How definitions, plans, indexes and corrections are shown, wherever they were asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbplat.clock import iso
from nbplat.terms import counted
from nbplat.ui.handlers.follow import job_result
from nbplat.ui.render.figures import bytes_text, count_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text, table_html, table_text
from nbplat.ui.spoken import spoken

if TYPE_CHECKING:
    from nbplat.ui.sequence_place import Subject

__all__ = [
    "definition_result",
    "diff_result",
    "export_result",
    "index_facts",
    "plan_result",
    "run_result",
    "shown_result",
]

Facts = list[tuple[str, Any]]


def definition_result(subject: Subject) -> Result:
    """A definition that was not previewed yet."""
    from nbplat.sequence.write import to_yaml

    alone = subject.alone
    facts: Facts = [("sequence", subject.label), ("version", alone.version), *_defaults(alone.defaults)]
    text = to_yaml(subject.definition)
    return Result(f"{fields_text(facts)}\n\n{text.rstrip()}", fields_html(facts) + _pre(text))


def shown_result(seen: dict[str, Any]) -> Result:
    """A kept definition with everything that is known of it."""
    facts: Facts = [
        ("definition", seen["id"]),
        ("state", seen["state"]),
        ("version", seen["version"]),
        ("kept", f"{iso(seen['created_ms'])} by {seen['owner']}"),
        ("examples", seen["on"]),
        *_defaults(seen["defaults"]),
        *index_facts(seen["index"]),
    ]
    header = ["variant", "version", "changes"]
    rows = [
        [name, each["version"][:12], ", ".join(f"{path}: {value}" for path, value in each["changes"].items())]
        for name, each in seen["variants"].items()
    ]
    jobs = [[job["id"], job["kind"], job["state"], job["attempts"]] for job in seen["jobs"]]
    tables = [(header, rows)] * bool(rows) + [(["job", "step", "state", "tries"], jobs)] * bool(jobs)
    text = "\n\n".join([fields_text(facts), seen["text"].rstrip(), *(table_text(*table) for table in tables)])
    page = fields_html(facts) + _pre(seen["text"]) + "".join(table_html(*table) for table in tables)
    return Result(text, page, value=seen, data=seen)


def index_facts(index: dict[str, Any] | None) -> Facts:
    """What an index holds, and whether it is that of the present source."""
    if index is None:
        return [("index", "not built")]
    report = index["report"]
    facts: Facts = [
        ("index", f"{index['table']} at snapshot {index['snapshot_id']}"),
        (
            "holds",
            f"{_events(report)} of {_entities(report)} in {count_text(index['buckets'], 'bucket')},"
            f" {bytes_text(report['bytes'])}",
        ),
        ("types", " · ".join(f"{name} {count:,}" for name, count in report["by_type"].items())),
        ("built from", _source(index["source"])),
        ("built by", index["built_by"] or None),
    ]
    if index["moved"]:
        facts.append(("source", "has other rows by now"))
    if index["trouble"]:
        facts.append(("source", index["trouble"]))
    return facts + [("warning", each) for each in report["warnings"]]


def _events(report: dict[str, Any]) -> str:
    return counted(report["rows"], "event")


def _entities(report: dict[str, Any]) -> str:
    return counted(report["entities"], "entity", "entities")


def plan_result(name: str, planned: dict[str, Any]) -> Result:
    """What a build would do; nothing was done."""
    head = f"plan {name} (dry run: nothing was written)"
    text = "\n".join([head, *(f"  {line}" for line in planned["lines"])])
    return Result(text, value=planned["plan"], data=planned)


def run_result(seen: dict[str, Any], job: dict[str, Any] | None, notes: list[str]) -> Result:
    """Where a definition and its index are after a request, one greppable line first."""
    index = seen["index"]
    held = f" {_events(index['report'])} {_entities(index['report'])}" if index else ""
    notes = list(notes)
    if job is not None and job["state"] != "succeeded":
        notes.append(f"job {job['id']} {job['state']}: `%nbplat job show {job['id']}` tells how far it is")
    elif job is not None and (diff := (job["result"] or {}).get("diff")):
        notes.append(_diff_line(diff))
    facts: Facts = [("definition", seen["id"]), ("state", seen["state"]), *index_facts(index)]
    said = [spoken(note) for note in notes]
    facts += [("note", note) for note in said]
    lines = [f"{seen['id']} {seen['state']}{held}", *(f"  {note}" for note in said)]
    lines += [f"  warning: {each}" for each in (index["report"]["warnings"] if index else ())]
    shown = None if job is None else job_result(job).job
    return Result("\n".join(lines), fields_html(facts), job=shown, value=seen, data={**seen, "notes": notes})


def diff_result(run_id: str, job: dict[str, Any], request: dict[str, Any]) -> Result:
    """What a correction found, and what became of it; its value is the difference."""
    from nbplat.sequence.index_diff import IndexDiff, explain_diff

    found = job["result"]
    diff = IndexDiff.from_record(found["diff"])
    lines = list(explain_diff(diff))
    if found["published"]:
        end = f"published: {found['index']} is at snapshot {found['snapshot_id']}"
    elif diff.empty:
        end = "nothing to publish"
    else:
        end = "nothing was published; the same with --yes publishes it"
    verb = "corrected" if found["published"] else "compared"
    head = (
        f"{run_id} {verb}: {count_text(diff.users, 'user')}, +{diff.added:,} -{diff.removed:,} ~{diff.changed:,} events"
    )
    text = "\n".join([head, *(f"  {line}" for line in [*lines, end])])
    facts: Facts = [
        ("correction", run_id),
        ("window", _window(request)),
        ("users", diff.users),
        ("events added", diff.added),
        ("events removed", diff.removed),
        ("events changed", diff.changed),
        *(("field", f"{name}: {count_text(count, 'event')}") for name, count in diff.fields.items()),
        ("events", f"{diff.rows:,} before, {diff.rows_after:,} after"),
        ("result", end),
    ]
    examples = [[each["what"], _entity(each), each["type"], each["time"], _values(each)] for each in diff.examples]
    page = fields_html(facts)
    if examples:
        page += table_html(["what", "entity", "type", "time", "values"], examples, caption="examples")
    return Result(text, page, job=job_result(job).job, value=diff, data=found)


def export_result(run_id: str, job: dict[str, Any]) -> Result:
    """The table that was written."""
    found = job["result"]
    pin = found["pin"]
    facts: Facts = [
        ("exported", run_id),
        ("table", f"{pin['table']} at snapshot {pin['snapshot_id']}"),
        ("rows", found["rows"]),
        ("columns", ", ".join(f"{name} {kind}" for name, kind in found["columns"])),
        ("features", found["features"]),
    ]
    head = f"{run_id} exported {found['rows']:,} rows to {pin['table']}"
    return Result(
        f"{head}\n{fields_text(facts[1:])}", fields_html(facts), job=job_result(job).job, value=found, data=found
    )


def _diff_line(diff: dict[str, Any]) -> str:
    return (
        f"brought up to date: {count_text(diff['users'], 'user')}, {count_text(diff['added'], 'event')} added,"
        f" {diff['removed']:,} removed, {diff['changed']:,} changed"
    )


def _window(request: dict[str, Any]) -> str:
    return f"[{request['start'] or '-∞'}, {request['end'] or '∞'})"


def _entity(each: Mapping[str, Any]) -> str:
    return ", ".join(str(value) for value in each["entity"].values())


def _values(each: Mapping[str, Any]) -> str:
    was, now = each.get("was") or {}, each.get("now") or {}
    if was and now:
        return ", ".join(f"{name}: {was[name]} → {now[name]}" for name in was)
    return ", ".join(f"{name} {value}" for name, value in (now or was).items() if value is not None)


def _source(pin: dict[str, Any]) -> str:
    table = pin["table"]
    return f"{pin['name']} at snapshot {table['snapshot_id']}" if table else f"{pin['name']} ({pin['kind']})"


def _defaults(defaults: Any) -> Facts:
    from nbplat.sequence.default_lines import default_lines

    lines = default_lines(defaults) or ["none, all is written"]
    return [("defaults" if not at else "", line) for at, line in enumerate(lines)]


def _pre(text: str) -> str:
    import html

    return f'<pre style="margin:6px 0;background:transparent;color:inherit">{html.escape(text)}</pre>'
