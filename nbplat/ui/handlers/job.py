"""`nbplat job …` and `%nbplat job …`."""

from __future__ import annotations

from typing import Any

from nbplat.clock import iso
from nbplat.ui.call import Call
from nbplat.ui.desk import Desk, open_desk
from nbplat.ui.handlers.follow import job_result
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text, table_html, table_text
from nbplat.ui.spoken import spoken

__all__ = ["cancel", "list_jobs", "logs", "show", "whole_log"]


def list_jobs(call: Call) -> Result:
    """Jobs, newest first."""
    options = call.options
    jobs = [job for job in open_desk().jobs(options.run, 1000) if not options.state or job["state"] in options.state]
    header = ["job", "step", "run", "state", "done", "tries", "queued"]
    rows = [
        [
            job["id"],
            job["kind"],
            job["run_id"],
            job["state"],
            f"{job['progress']['done']}/{job['progress']['total']}",
            job["attempts"],
            iso(job["created_ms"]),
        ]
        for job in jobs[: options.limit]
    ]
    return Result(table_text(header, rows), table_html(header, rows), data=jobs[: options.limit])


def show(call: Call) -> Result:
    """One job: state, progress, result, error."""
    job = open_desk().job(call.options.job)
    facts: list[tuple[str, Any]] = [
        ("job", job["id"]),
        ("step", job["kind"]),
        ("run", job["run_id"]),
        ("state", job["state"]),
        ("progress", f"{job['progress']['done']}/{job['progress']['total']} {job['progress']['unit']}"),
        ("tries", job["attempts"]),
        ("queued", iso(job["created_ms"])),
        ("started", iso(job["started_ms"]) if job["started_ms"] else None),
        ("ended", iso(job["ended_ms"]) if job["ended_ms"] else None),
    ]
    if job["error"]:
        facts += [("error", f"{job['error']['code']}: {job['error']['message']}"), ("fix", spoken(job["error"]["fix"]))]
    line = job_result(job)
    return Result(f"{line.text}\n{fields_text(facts)}", fields_html(facts), job=line.job, value=job, data=job)


def logs(call: Call) -> Result:
    """A job's log."""
    text = whole_log(open_desk(), call.options.job, call.options.offset)
    lines = text.rstrip().splitlines()
    text = "\n".join(lines[-call.options.tail :] if call.options.tail else lines)
    return Result(text, data={"job": call.options.job, "log": text})


def cancel(call: Call) -> Result:
    """Ask a job to end, and by default wait until it has."""
    desk = open_desk()
    job = desk.cancel_job(call.options.job)
    if call.options.wait and not job["ended"]:
        job = desk.watch(job["id"], lambda record: call.show(job_result(record)))
    return job_result(job)


def whole_log(desk: Desk, job_id: str, offset: int) -> str:
    """The text of a log from a byte offset to its present end."""
    text = ""
    while (piece := desk.log(job_id, offset))["text"]:
        text, offset = text + piece["text"], piece["next_offset"]
    return text
