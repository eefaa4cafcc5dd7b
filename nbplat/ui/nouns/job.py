from __future__ import annotations

from nbplat.ui.options import JSON, OFFSET, TAIL, WAIT, YES, Noun, Option, Verb

__all__ = ["JOB"]

_JOB = Option("job", help="the job's id, e.g. j000042", required=True, metavar="JOB")

JOB = Noun(
    "job",
    "Durable jobs: everything that runs or ran, whoever started it",
    line_verb="list",
    verbs=(
        Verb(
            "list",
            "List jobs, newest first",
            (
                Option("run", ("--run",), help="only jobs of this run"),
                Option("state", ("--state",), help="only jobs in this state, e.g. running", repeatable=True),
                Option("limit", ("--limit",), "int", "how many to show", default=20, metavar="N", at_least=1),
                JSON,
            ),
        ),
        Verb("show", "Show one job: state, progress, result, error", (JSON,), (_JOB,)),
        Verb(
            "logs",
            "Show a job's log",
            (OFFSET, TAIL, JSON),
            (_JOB,),
        ),
        Verb("cancel", "End a job and its processes", (WAIT, YES, JSON), (_JOB,)),
    ),
)
