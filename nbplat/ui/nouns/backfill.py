from __future__ import annotations

from dataclasses import replace

from nbplat.ui.options import DRY_RUN, JSON, NAME, NEW, OUT, WAIT, YES, Noun, Option, Verb

__all__ = ["BACKFILL"]

_RUN = Option("run", help="the run: spend_90d@1, or spend_90d for its newest", required=True, metavar="RUN")
_MAYBE_RUN = replace(
    _RUN, help="the run: spend_90d@1, or spend_90d for its newest; left out, all live ones", required=False
)
_WINDOW = (
    Option(
        "start",
        ("--from",),
        "date",
        "first moment inside; left out, from the beginning",
        metavar="DATE",
        group="window",
    ),
    Option("end", ("--to",), "date", "first moment outside; left out, without an end", metavar="DATE", group="window"),
    Option(
        "time",
        ("--time",),
        help="the time column the window is on; left out, the source of the time partition",
        metavar="COLUMN",
        group="window",
    ),
)
_FEATURE = (
    Option(
        "table", ("--table", "-t"), help="the table that gets the columns", required=True, metavar="NAMESPACE.TABLE"
    ),
    Option(
        "key",
        ("--key", "-k"),
        help="a column that identifies a row; left out, every result column that the table has already",
        repeatable=True,
        metavar="COLUMN",
    ),
    Option("engine", ("--engine",), help="where it is computed", default="local", choices=("local", "ray", "spark")),
    Option("lang", ("--lang",), help="language of the body", default="sql", choices=("sql", "python")),
    Option("promote", ("--promote",), "flag", "promote when the audit passes"),
)
_PYTHON = (
    Option(
        "ship",
        ("--with",),
        help="a function, class or constant of the notebook that a Python body uses",
        repeatable=True,
        metavar="NAME",
        group="python body",
    ),
    Option(
        "py",
        ("--py",),
        "path",
        "a module, package folder or wheel that a Python body imports",
        repeatable=True,
        metavar="PATH",
        group="python body",
    ),
    Option(
        "param",
        ("--param",),
        help="a value for a Python body, JSON or text, by name and in `params`",
        repeatable=True,
        metavar="NAME=VALUE",
        group="python body",
    ),
    Option(
        "read",
        ("--read",),
        help="a column that the batch holds; left out, those that the body names",
        repeatable=True,
        metavar="COLUMN",
        group="python body",
    ),
    Option(
        "group_by",
        ("--group-by",),
        "list",
        "hand over all rows of a group at once, a call per group; left out, rows may be cut anywhere",
        default=(),
        metavar="COLUMNS",
        group="python body",
    ),
    Option(
        "env",
        ("--env",),
        help="the environment that runs a Python body: its name, folder or interpreter; left out, this one",
        metavar="NAME|PATH",
        group="python body",
    ),
    Option(
        "python_file",
        ("--python",),
        "path",
        "read a Python body from a file instead of the cell; means --lang python",
        metavar="FILE",
        group="python body",
    ),
)
_FRAME = Option(
    "frame",
    ("--frame",),
    help="a DataFrame of the notebook that an SQL body reads by this name; it is stored with the run",
    repeatable=True,
    metavar="NAME",
)
_EXAMPLE = """%%backfill spend_90d --table retail.train --key example_id
SELECT base.example_id, sum(e.amount) AS spend_90d
FROM base LEFT JOIN retail.events e
  ON e.customer_id = base.customer_id AND e.event_ts < base.label_ts AND e.event_ts >= base.label_ts - INTERVAL 90 DAYS
GROUP BY base.example_id"""

_RUN_VERB = Verb(
    "run",
    "Compute new columns over a table's history, staged beside it and audited before they are published",
    (*_FEATURE, _FRAME, *_WINDOW, *_PYTHON, DRY_RUN, WAIT, YES, NEW, NAME, OUT, JSON),
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
                Option("state", ("--state",), help="only runs in this state, e.g. staged", repeatable=True),
                Option("limit", ("--limit",), "int", "how many to show", default=20, metavar="N", at_least=1),
                JSON,
            ),
        ),
        Verb("show", "Show one run: request, plan, units, audit, outputs", (JSON, OUT), (_RUN,)),
        Verb("status", "Show where runs are", (JSON,), (_MAYBE_RUN,)),
        Verb("attach", "Follow a run's live job until it ends", (JSON, OUT), (_RUN,)),
        Verb(
            "cancel", "End a run's live job and return the run to its last completed state", (WAIT, YES, JSON), (_RUN,)
        ),
        Verb("audit", "Judge the staged columns again", (WAIT, JSON, OUT), (_RUN,)),
        Verb(
            "promote",
            "Publish audited columns by splicing them into the table's files",
            (DRY_RUN, WAIT, YES, JSON),
            (_RUN,),
            example="%backfill promote spend_90d",
        ),
        Verb(
            "rollback",
            "Take promoted columns out of the table again",
            (DRY_RUN, WAIT, YES, JSON),
            (_RUN,),
            example="%backfill rollback spend_90d",
        ),
        Verb("retry", "Run the failed units of a run again", (WAIT, JSON), (_RUN,)),
        Verb(
            "logs",
            "Show a run's log",
            (
                Option("offset", ("--offset",), "int", "start at this byte", default=0, metavar="BYTES", at_least=0),
                Option(
                    "tail",
                    ("--tail",),
                    "int",
                    "only the last lines; 0 shows all",
                    default=0,
                    metavar="LINES",
                    at_least=0,
                ),
                JSON,
            ),
            (_RUN,),
        ),
    ),
)
