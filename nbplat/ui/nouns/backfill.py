from __future__ import annotations

from dataclasses import replace

from nbplat.backfill.states import RunState
from nbplat.ui.nouns.backfill_options import FEATURE, FRAME, PYTHON, TIMES, WINDOW
from nbplat.ui.options import DRY_RUN, JSON, NAME, NEW, OFFSET, OUT, TAIL, WAIT, YES, Noun, Option, Verb

__all__ = ["BACKFILL"]

_RUN = Option("run", help="the run: spend_90d@1, or spend_90d for its newest", required=True, metavar="RUN")
_MAYBE_RUN = replace(
    _RUN, help="the run: spend_90d@1, or spend_90d for its newest; left out, all live ones", required=False
)
_RUNS = replace(_RUN, help="runs of one table that await promotion", repeatable=True)
_MAYBE_RUNS = replace(_RUN, help="the runs; left out, all that have ended", required=False, repeatable=True)
_EXAMPLE = """%%backfill spend_90d --table retail.train --key example_id
SELECT base.example_id, sum(e.amount) AS spend_90d
FROM base LEFT JOIN retail.events e
  ON e.customer_id = base.customer_id AND e.event_ts < base.label_ts AND e.event_ts >= base.label_ts - INTERVAL 90 DAYS
GROUP BY base.example_id"""

_RUN_VERB = Verb(
    "run",
    "Compute new columns over a table's history, staged beside it and audited before they are published",
    (*FEATURE, FRAME, *WINDOW, *TIMES, *PYTHON, DRY_RUN, WAIT, YES, NEW, NAME, OUT, JSON),
    (Option("name", help="name of the run", metavar="NAME"),),
    body="sql",
    example=_EXAMPLE,
)

BACKFILL = Noun(
    "backfill",
    "New columns over history: plan, stage, audit, promote, roll back",
    cell_verb="run",
    line_verb="list",
    magic=True,
    verbs=(
        _RUN_VERB,
        Verb(
            "plan",
            "Show what a run would read, write and cost, and do nothing",
            tuple(option for option in _RUN_VERB.options if option not in (DRY_RUN, WAIT, YES, NEW)),
            _RUN_VERB.positionals,
            body="sql",
            presets=(("dry_run", True), ("wait", True), ("yes", False), ("new", False)),
        ),
        Verb(
            "list",
            "List runs, newest first",
            (
                Option("table", ("--table", "-t"), help="only runs on this table", metavar="NAMESPACE.TABLE"),
                Option(
                    "state",
                    ("--state",),
                    help="only runs in this state",
                    repeatable=True,
                    metavar="STATE",
                    choices=tuple(RunState),
                ),
                Option("limit", ("--limit",), "int", "how many to show", default=20, metavar="N", at_least=1),
                JSON,
            ),
        ),
        Verb("show", "Show one run: request, plan, units, audit, outputs", (JSON, OUT), (_RUN,)),
        Verb("status", "Show where runs are, and which dates of the table they do not cover", (JSON,), (_MAYBE_RUN,)),
        Verb("grid", "Show a run's partitions: which are staged, failed, under way or waiting", (JSON, OUT), (_RUN,)),
        Verb("attach", "Follow a run's live job until it ends", (JSON, OUT), (_RUN,)),
        Verb(
            "logs",
            "Show a run's log, and the error of each file that failed",
            (OFFSET, TAIL, JSON),
            (_RUN,),
        ),
        Verb("pause", "Stop a run between two files and keep what is finished", (WAIT, JSON), (_RUN,)),
        Verb("resume", "Let a paused run go on", (WAIT, JSON), (_RUN,)),
        Verb(
            "cancel", "End a run's live job and return the run to its last completed state", (WAIT, YES, JSON), (_RUN,)
        ),
        Verb("retry", "Run the failed units of a run again", (WAIT, JSON), (_RUN,)),
        Verb("audit", "Judge the staged columns again", (WAIT, JSON, OUT), (_RUN,)),
        Verb(
            "promote",
            "Publish audited columns by splicing them into the table's files; several runs of a table in one pass",
            (DRY_RUN, WAIT, YES, JSON),
            (_RUNS,),
            example="%backfill promote spend_90d visits_30d",
        ),
        Verb(
            "rollback",
            "Take promoted columns out of the table again",
            (
                Option(
                    "drop_column",
                    ("--drop-column",),
                    "flag",
                    "only take new columns out of the schema, at once and without touching a file",
                ),
                DRY_RUN,
                WAIT,
                YES,
                JSON,
            ),
            (_RUN,),
            example="%backfill rollback spend_90d",
        ),
        Verb(
            "extend",
            "Fill a promoted run's columns where files lack them, with the same body, and promote that",
            (
                Option(
                    "end",
                    ("--to",),
                    "date",
                    "first moment left out; without it, as far as the table goes",
                    metavar="DATE",
                ),
                Option("hold", ("--hold",), "flag", "leave the promotion to a person"),
                WAIT,
                JSON,
            ),
            (_RUN,),
            example="%backfill extend spend_90d --to 2011-12-01",
        ),
        Verb(
            "diff",
            "Compare a run with another run, or with the column as it is in the table now",
            (
                Option(
                    "column", ("--column",), help="only this column", repeatable=True, metavar="COLUMN", group="options"
                ),
                JSON,
                OUT,
            ),
            (
                _RUN,
                Option("other", help="the run to compare with; left out, the live column", metavar="OTHER"),
            ),
            example="%backfill diff spend_90d@2 spend_90d@1",
        ),
        Verb(
            "expire",
            "Delete staging tables, files, branches and tags that no run needs and no snapshot of any table uses",
            (
                Option(
                    "older_than",
                    ("--older-than",),
                    "age",
                    "only runs untouched for so long; runs that are named are taken at once",
                    default="7d",
                    metavar="AGE",
                ),
                DRY_RUN,
                YES,
                JSON,
            ),
            (_MAYBE_RUNS,),
            example="%backfill expire --older-than 30d --dry-run",
        ),
    ),
)
