"""`%sequence build|correct|export`: durable jobs on a definition, asked for by cell, line, shell or Python alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.errors import RequestError
from nbplat.service.wake import notify_worker
from nbplat.ui.call import Call
from nbplat.ui.handlers.follow import follow_job, job_result
from nbplat.ui.handlers.sequence_asked import asked_subject
from nbplat.ui.handlers.sequence_result import diff_result, export_result, plan_result, run_result
from nbplat.ui.render.result import Result

if TYPE_CHECKING:
    from nbplat.sequence.definition import Definition
    from nbplat.ui.desk import Desk
    from nbplat.ui.sequence_place import Subject

__all__ = [
    "build",
    "build_plan",
    "built",
    "correct",
    "corrected",
    "export",
    "exported",
    "exported_file",
    "kept",
]

Show = Callable[[Result], None]


def build(call: Call) -> Result:
    """Build the index, or bring it up to date; with ``--dry-run`` only tell what that would do."""
    options, subject = call.options, asked_subject(call)
    if options.dry_run:
        return build_plan(subject, options.engine)
    return built(subject, options.engine, wait=options.wait, show=call.show)


def correct(call: Call) -> Result:
    """Show what a window of the source changes in the index, and with ``--yes`` publish it."""
    options = call.options
    if options.yes and options.dry_run:
        raise RequestError("usage.arguments", "--yes publishes and --dry-run does not", fix="give one of them")
    request = {"start": options.start, "end": options.end, "publish": bool(options.yes), "engine": options.engine}
    return corrected(asked_subject(call), request, wait=options.wait, show=call.show)


def export(call: Call) -> Result:
    """Write the lists into a table, or the definition into a file."""
    options, subject = call.options, asked_subject(call)
    if (options.to is None) == (options.file is None):
        raise RequestError(
            "usage.arguments",
            "an export goes into one place",
            fix="give --to NAMESPACE.TABLE for the lists, or --file FILE.yaml for the definition",
        )
    if options.file is not None:
        return exported_file(subject.definition, options.file)
    chosen = subject.of(options.variant)
    request = {"to": options.to, "replace": bool(options.yes), "form": options.form, "carry": options.carry}
    return exported(chosen, request, wait=options.wait, show=call.show)


def kept(subject: Subject) -> dict[str, Any]:
    """Keep a definition; returns the run's record."""
    return subject.place.kept.keep({**_named(subject), "on": subject.on})


def build_plan(subject: Subject, engine: str) -> Result:
    """What a build would do; nothing is done, and no service is needed."""
    return plan_result(subject.definition.name, subject.place.kept.plan({**_named(subject), "engine": engine}))


def built(subject: Subject, engine: str, *, wait: bool, show: Show) -> Result:
    """Ask for a build, and with `wait` follow it to its end."""
    desk, ledger = subject.place.queue(subject.definition.source)
    asked = ledger.build({**_named(subject), "engine": engine})
    job = _followed(desk, asked["job"], wait=wait, show=show)
    return run_result(subject.place.kept.show(asked["run"]["id"]), job, asked["notes"])


def corrected(subject: Subject, request: dict[str, Any], *, wait: bool, show: Show) -> Result:
    """Ask for a correction, and with `wait` follow it and show what it found."""
    desk, ledger = subject.place.queue(subject.definition.source)
    asked = ledger.correct({**_named(subject), **request})
    job = _followed(desk, asked["job"], wait=wait, show=show)
    if job is None or job["state"] != "succeeded":
        return run_result(subject.place.kept.show(asked["run"]["id"]), job, asked["notes"])
    return diff_result(asked["run"]["id"], job, request)


def exported(subject: Subject, request: dict[str, Any], *, wait: bool, show: Show) -> Result:
    """Ask for an export of what the examples of the last time see, and with `wait` follow it."""
    on = subject.examples()
    desk, ledger = subject.place.queue(subject.definition.source, on)
    asked = ledger.export({**_named(subject), "variant": subject.variant, "on": on, **request})
    job = _followed(desk, asked["job"], wait=wait, show=show)
    if job is None or job["state"] != "succeeded":
        return run_result(subject.place.kept.show(asked["run"]["id"]), job, asked["notes"])
    return export_result(asked["run"]["id"], job)


def exported_file(definition: Definition, path: str | Path) -> Result:
    """Write the definition as YAML."""
    from nbplat.sequence.definition_file import write_file

    file = write_file(definition, path)
    text = f"{definition.name} {definition.version[:12]} written to {file}"
    return Result(text, value=file, data={"file": str(file), "version": definition.version})


def _named(subject: Subject) -> dict[str, Any]:
    from nbplat.sequence.definition_json import to_record

    definition = subject.definition
    return {"name": definition.name, "definition": to_record(definition), "lines": dict(definition.lines)}


def _followed(desk: Desk, job: dict[str, Any] | None, *, wait: bool, show: Show) -> dict[str, Any] | None:
    """The job as it is once it has ended, or as it was queued."""
    if job is None:
        return None
    notify_worker(desk.config)
    if not wait:
        return job
    show(job_result(job))
    return follow_job(desk, job, show)
