from __future__ import annotations

from nbplat.ui.options import DRY_RUN, JSON, NAME, OUT, Noun, Option, Verb

__all__ = ["TRAINING"]

_EXAMPLE = """%%training churn --table retail.train --stage spend_90d --label label --time label_ts
from sklearn.linear_model import SGDClassifier
model = SGDClassifier(loss="log_loss", random_state=7)"""

_RUN_VERB = Verb(
    "run",
    "Train on the table joined with staged columns, and compare with and without them, before any promotion",
    (
        Option("table", ("--table", "-t"), help="the table of examples", required=True, metavar="NAMESPACE.TABLE"),
        Option(
            "stage",
            ("--stage", "-s"),
            help="a backfill run whose staged columns are joined",
            repeatable=True,
            metavar="RUN",
        ),
        Option(
            "sequence",
            ("--sequence",),
            help="a kept sequence whose padded features are joined: home, home@2, or home.short for a variant",
            repeatable=True,
            metavar="NAME",
        ),
        Option("label", ("--label",), help="the column to predict, 0 or 1", required=True, metavar="COLUMN"),
        Option("time", ("--time",), help="the column that orders the split", required=True, metavar="COLUMN"),
        Option(
            "features",
            ("--features",),
            "list",
            "plain columns to train on; left out, every numeric column but keys, time and label",
            metavar="A,B",
        ),
        Option(
            "split",
            ("--split",),
            "float",
            "share of the rows, in time order, to train on",
            default=0.7,
            metavar="SHARE",
        ),
        Option("batch_rows", ("--batch-rows",), "int", "rows of one batch", default=256, metavar="ROWS", at_least=1),
        Option("epochs", ("--epochs",), "int", "passes over the training rows", default=20, metavar="N", at_least=1),
        Option("seed", ("--seed",), "int", "seed of shuffle and model", default=7, metavar="N", at_least=0),
        Option(
            "uncovered",
            ("--uncovered",),
            help="what to do with files that a run has not staged",
            default="refuse",
            choices=("refuse", "null"),
        ),
        Option(
            "env",
            ("--env",),
            help="the environment that the model learns in: its name, declaration, folder or interpreter; left out, "
            "this Python",
            metavar="NAME",
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

TRAINING = Noun(
    "training",
    "Training joins: a model on staged columns before they are promoted",
    cell_verb="run",
    magic=True,
    verbs=(
        _RUN_VERB,
        Verb(
            "plan",
            "Show which files and columns the join would read and its coverage, and do nothing",
            tuple(option for option in _RUN_VERB.options if option is not DRY_RUN),
            _RUN_VERB.positionals,
            body="python",
            body_required=False,
            presets=(("dry_run", True),),
        ),
    ),
)
