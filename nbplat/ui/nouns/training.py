from __future__ import annotations

from nbplat.ui.options import DRY_RUN, JSON, NAME, OUT, Noun, Option, Verb

__all__ = ["TRAINING"]

_EXAMPLE = """%%training churn --table retail.train --stage spend_90d --label label --time label_ts
from sklearn.linear_model import SGDClassifier
model = SGDClassifier(loss="log_loss", random_state=7)"""

_JOIN = (
    Option(
        "stage",
        ("--stage", "-s"),
        help="what is joined: a run, a table, or TABLE:column,column; options of its own behind it: "
        "'ml.stg prefix=s_ rename=a:b fill=s_n:0 present=s_n replace duplicates=last order_by=ts on=rid across_dates'",
        repeatable=True,
        metavar="RUN|TABLE",
        group="join",
    ),
    Option(
        "sequence",
        ("--sequence",),
        help="a kept sequence whose features are joined: home, home@2, or home.short for a variant",
        repeatable=True,
        metavar="NAME",
        group="join",
    ),
    Option("on", ("--on",), "list", "key columns; left out, those of the runs", metavar="A,B", group="join"),
    Option("start", ("--from",), "date", "first date of the rows", metavar="DATE", group="join"),
    Option("end", ("--to",), "date", "end of the rows, not included", metavar="DATE", group="join"),
    Option(
        "dates_by",
        ("--dates-by",),
        help="column of --from and --to; left out, the source of the time partition",
        metavar="COLUMN",
        group="join",
    ),
    Option(
        "missing",
        ("--missing",),
        help="what to do with rows whose partition is not staged",
        default="error",
        choices=("error", "null", "skip"),
        group="join",
    ),
    Option(
        "min_coverage",
        ("--min-coverage",),
        "float",
        "share of the rows that must have a staged row; 1 is strict",
        default=0.0,
        metavar="SHARE",
        group="join",
    ),
    Option(
        "join",
        ("--join",),
        help="bucket: files meet by position or bucket; shuffle: staged rows may be dealt to local files first",
        default="bucket",
        choices=("bucket", "shuffle"),
        group="join",
    ),
    Option(
        "max_unit_bytes",
        ("--max-unit-bytes",),
        "int",
        "decoded size above which a part of the table is read by row groups",
        default=256 << 20,
        metavar="BYTES",
        group="join",
        at_least=1,
    ),
)

_BATCHES = (
    Option("batch_rows", ("--batch-rows",), "int", "rows of one batch", default=256, metavar="ROWS", at_least=1),
    Option("epochs", ("--epochs",), "int", "passes over the training rows", default=20, metavar="N", at_least=1),
    Option(
        "shuffle",
        ("--shuffle",),
        help="order of the batches",
        default="none",
        choices=("none", "bucket", "window"),
    ),
    Option("window", ("--window",), "int", "units that are mixed together", default=4, metavar="N", at_least=1),
    Option("seed", ("--seed",), "int", "seed of shuffle and model", default=7, metavar="N", at_least=0),
    Option("world", ("--world",), "int", "ranks that the batches are dealt to", default=1, metavar="N", at_least=1),
)

_RUN_VERB = Verb(
    "run",
    "Train on the table joined with staged columns, and compare with and without them, before any promotion",
    (
        Option("table", ("--table", "-t"), help="the table of examples", required=True, metavar="NAMESPACE.TABLE"),
        Option("label", ("--label",), help="the column to predict, 0 or 1", required=True, metavar="COLUMN"),
        Option("time", ("--time",), help="the column that orders the split", required=True, metavar="COLUMN"),
        Option(
            "features",
            ("--features",),
            "list",
            "plain columns to train on; left out, every numeric column but keys, time and label",
            metavar="A,B",
        ),
        *_JOIN,
        Option(
            "split",
            ("--split",),
            "float",
            "share of the rows, in time order, to train on",
            default=0.7,
            metavar="SHARE",
        ),
        *_BATCHES,
        Option(
            "env",
            ("--env",),
            help="the environment that the model learns in: its name, declaration, folder or interpreter; left out, "
            "this Python",
            metavar="NAME",
        ),
        Option(
            "hold",
            ("--hold",),
            "flag",
            "tag the snapshots that were read, so that the run can be replayed (default)",
            default=True,
            off=("--no-hold",),
            off_help="tag nothing",
        ),
        DRY_RUN,
        NAME,
        OUT,
        JSON,
    ),
    (Option("name", help="name of the run", metavar="NAME"),),
    body="python",
    body_required=False,
    example=_EXAMPLE,
)

_RUN = Option("run", help="a run, such as churn@3; a name alone is its newest", metavar="RUN", required=True)

TRAINING = Noun(
    "training",
    "Training joins: a model on staged columns before they are promoted",
    cell_verb="run",
    line_verb="list",
    magic=True,
    verbs=(
        _RUN_VERB,
        Verb(
            "plan",
            "Show which files and columns the join would read and its coverage, and do nothing",
            tuple(option for option in _RUN_VERB.options if option is not DRY_RUN and option.name != "hold"),
            _RUN_VERB.positionals,
            body="python",
            body_required=False,
            presets=(("dry_run", True),),
        ),
        Verb(
            "list",
            "List the runs with both figures, newest first",
            (
                Option("limit", ("--limit",), "int", "at most so many", default=20, metavar="N", at_least=1),
                OUT,
                JSON,
            ),
        ),
        Verb("show", "Show a run: figures, coverage, wait share, provenance", (OUT, JSON), (_RUN,)),
        Verb(
            "replay",
            "Train a run again from its kept plan, on the snapshots that it read, and compare the figures",
            (OUT, JSON),
            (_RUN,),
            example="%training replay churn@3",
        ),
        Verb(
            "release",
            "Take away the tags that keep the snapshots of runs; expiring may then remove what they read",
            (
                Option(
                    "older_than",
                    ("--older-than",),
                    "age",
                    "only runs as old as that; runs that are named are taken at once",
                    default="30d",
                    metavar="AGE",
                ),
                DRY_RUN,
                JSON,
            ),
            (Option("run", help="runs; none takes all that are old enough", metavar="RUN", repeatable=True),),
            example="%training release --older-than 30d --dry-run",
        ),
    ),
)
