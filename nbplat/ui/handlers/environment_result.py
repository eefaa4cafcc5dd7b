"""How locks, builds, archives and what was shipped are shown, wherever they were asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.ui.handlers.follow import job_result
from nbplat.ui.render.figures import bytes_text, count_text, duration_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text, table_html, table_text
from nbplat.ui.spoken import spoken

if TYPE_CHECKING:
    from nbplat.environment.definition import Definition

__all__ = [
    "build_result",
    "default_facts",
    "lock_result",
    "next_lines",
    "pack_result",
    "plan_result",
    "pull_result",
    "push_result",
    "shown",
    "under_way_result",
]

Facts = list[tuple[str, Any]]


def shown(
    head: str, facts: Facts, *, job: Mapping[str, Any] | None = None, value: Any = None, data: Any = None
) -> Result:
    """One greppable line, then the facts; in HTML the facts alone, under the line."""
    text = "\n".join([head, *(f"  {line}" for line in fields_text(facts).splitlines())])
    page = fields_html([("result", head), *facts])
    return Result(text, page, job=job, value=data if value is None else value, data=data)


def under_way_result(name: str, job: dict[str, Any]) -> Result:
    """A job that was not waited for, or was ended."""
    facts: Facts = [("job", f"{job['id']} {job['kind']}"), ("look", f"nbplat job show {job['id']}")]
    found = shown(f"{name} {job['kind'].split('.')[-1]} {job['state']} (job {job['id']})", facts, data=job)
    return Result(found.text, found.html, job=job_result(job).job, value=job, data=job)


def lock_result(definition: Definition, job: dict[str, Any]) -> Result:
    """What was solved, and what changed."""
    done = job["result"]
    facts = _locked_facts(definition, done)
    if done["file"]:
        facts.append(("file", _short(done["file"])))
    facts.append(("next", f"nbplat env build {definition.name}"))
    return shown(_locked_head(definition.name, done, "locked"), facts, job=job_result(job).job, data=done)


def plan_result(definition: Definition, done: dict[str, Any]) -> Result:
    """What a lock would be; nothing was written."""
    head = _locked_head(definition.name, done, "would lock")
    return shown(f"{head} (dry run: nothing was written)", _locked_facts(definition, done), data=done)


def build_result(definition: Definition, job: dict[str, Any]) -> Result:
    """What was built, and how to use it."""
    done = job["result"]
    ref, name = done["ref"], definition.name
    how = "was built before" if done["found"] else f"built in {duration_text(done['seconds'])}"
    head = (
        f"{name} {ref['key'][:12]} {how}: {ref['platform']} Python {ref['python'] or '-'},"
        f" {count_text(done['packages'], 'package')}, {bytes_text(done['size_bytes'])}"
    )
    facts: Facts = []
    if done["locked"]:
        facts += [("locked", _locked_head(name, done["locked"], "solved")), *_locked_facts(definition, done["locked"])]
    facts += [
        ("key", ref["key"]),
        ("lock", ref["lock_digest"]),
        ("prefix", ref["prefix"]),
        ("files", f"{done['files']:,}, {'hard links' if done['linked'] else 'copies: the cache is on another disk'}"),
    ]
    if done["fetched_bytes"]:
        facts.append(("fetched", f"{bytes_text(done['fetched_bytes'])}: {_some(done['fetched'])}"))
    facts += [("note", note) for note in done["notes"]]
    facts += [("next" if not at else "", line) for at, line in enumerate(next_lines(name))]
    return shown(head, facts, job=job_result(job).job, value=_ref(ref), data=done)


def pack_result(
    name: str, job: dict[str, Any], *, explained: dict[str, Any] | None = None, copy: Path | None = None
) -> Result:
    """The archive, and with `explained` what makes its size."""
    done = job["result"]
    kept = done["layers"] - done["made"]
    head = f"{name} packed {bytes_text(done['size'])} {done['format']} sha256 {done['sha256']}"
    facts: Facts = [
        ("archive", str(copy) if copy is not None else done["archive"]),
        ("layers", f"{done['layers']}, {done['made']} compressed now, {kept} kept"),
        *(("note", note) for note in done["notes"]),
        ("next", f"nbplat env push {name} URI"),
    ]
    found = shown(head, facts, job=job_result(job).job, data=done)
    if explained is None:
        return found
    header = ["package", "version", "kind", "files", "size", "in the archive", "left out"]
    rows = [
        [
            one["name"],
            one["version"],
            one["kind"],
            one["files"],
            bytes_text(one["bytes"]),
            None if one["packed_bytes"] is None else bytes_text(one["packed_bytes"]),
            bytes_text(one["left_out_bytes"]) if one["left_out_bytes"] else None,
        ]
        for one in explained["packages"]
    ]
    lines = explained["lines"]
    text = "\n\n".join([found.text, table_text(header, rows), *(["\n".join(lines)] if lines else [])])
    rest = fields_html([("note", line) for line in lines]) if lines else ""
    page = f"{found.html}{table_html(header, rows, caption='by package')}{rest}"
    return Result(text, page, job=found.job, value=done, data={**done, "explained": explained})


def push_result(name: str, job: dict[str, Any]) -> Result:
    """Where it lies now."""
    shipped = job["result"]["shipped"]
    sent = f"{bytes_text(shipped['sent'])} sent" if shipped["sent"] else "it was there already"
    head = f"{name} pushed {shipped['uri']} ({bytes_text(shipped['size'])}, {sent})"
    facts: Facts = [("sha256", shipped["sha256"]), ("key", shipped["key"])]
    if shipped["launcher"]:
        facts.append(("launcher", shipped["launcher"]))
    facts += [
        ("next", f"nbplat env conf {name} --for standalone --at {shipped['uri']}"),
        ("", f"nbplat env pull {shipped['uri']}"),
    ]
    return shown(head, facts, job=job_result(job).job, value=shipped, data=job["result"])


def pull_result(job: dict[str, Any]) -> Result:
    """What was fetched."""
    ref = job["result"]["ref"]
    head = f"{ref['name']} {ref['key'][:12]} pulled: {ref['platform']} Python {ref['python'] or '-'}"
    facts: Facts = [("from", job["result"]["uri"]), ("prefix", ref["prefix"]), ("lock", ref["lock_digest"] or None)]
    facts += [("next" if not at else "", line) for at, line in enumerate(next_lines(ref["name"]))]
    return shown(head, facts, job=job_result(job).job, value=_ref(ref), data=job["result"])


def next_lines(name: str) -> Sequence[str]:
    """How a built environment is used."""
    return (
        spoken(f"%%backfill … --env {name}"),
        f"nbplat env kernel {name}",
        f"nbplat env conf {name} --for local",
        f"nbplat env pack {name} --explain",
        f"nbplat env push {name} URI",
        f"nbplat env check {name}",
    )


def _locked_head(name: str, done: Mapping[str, Any], verb: str) -> str:
    parts = [
        f"{platform} {count_text(found['packages'], 'package')}, Python {found['python'] or '-'},"
        f" {bytes_text(found['bytes'])}"
        for platform, found in done["platforms"].items()
    ]
    return f"{name} {verb} {done['digest'][:12]}: {'; '.join(parts)}"


def _locked_facts(definition: Definition, done: Mapping[str, Any]) -> Facts:
    facts: Facts = default_facts(definition)
    changes = done["changes"]
    if done["first"]:
        return [*facts, ("changed", "it is the first lock")]
    return [*facts, *(("changed" if not at else "", line) for at, line in enumerate(changes or ["nothing"]))]


def default_facts(definition: Definition) -> Facts:
    """What was not written and is taken, in one line."""
    return [("defaults", " · ".join(definition.defaults))] if definition.defaults else []


def _ref(record: Mapping[str, Any]) -> Any:
    from nbplat.terms import EnvironmentRef

    return EnvironmentRef(**record)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _short(path: str) -> str:
    """Relative where it is below the working folder."""
    here = Path.cwd()
    found = Path(path)
    return str(found.relative_to(here)) if found.is_relative_to(here) else path
