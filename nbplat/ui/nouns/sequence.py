from __future__ import annotations

from dataclasses import replace

from nbplat.ui.options import DRY_RUN, JSON, NAME, OUT, WAIT, YES, Noun, Option, Verb

__all__ = ["SEQUENCE"]

_EXAMPLE = """%%sequence history --on retail.train --preview 6 --out history
source: retail.events
entity: customer_id
time:   event_ts
id:     event_id
events:
  purchase: {last: 20, within: 90d}
  cancel:   {last: 5, where: "amount < -1"}
size:     {length: 24}
features: {stock_code: vocab(min_count=2), event_ts: age_log, amount: float32}
as_of:    {time: label_ts, gap: 5m}
variants:
  short: {size.length: 8}"""

_DECLARED = Option("name", help="name of the definition", metavar="NAME")
_KEPT = Option(
    "name", help="the definition: history, or history@2 for an older one of that name", required=True, metavar="NAME"
)
_ON = Option(
    "on",
    ("--on",),
    help="the examples, with entity and as-of time: a table, a Parquet path or a DataFrame of the notebook;"
    " left out, those of the last time",
    metavar="EXAMPLES",
)
_VARIANT = Option("variant", ("--variant",), help="take this variant of the definition", metavar="VARIANT")
_ENGINE = Option(
    "engine", ("--engine",), help="where the index is built", default="local", choices=("local", "ray", "spark")
)

_PREVIEW = Verb(
    "preview",
    "Hold a definition against examples, and show what a model would see and what leaks; the definition is kept",
    (
        _ON,
        Option("examples", ("--preview",), "int", "how many examples to show", default=20, metavar="N", at_least=1),
        _VARIANT,
        Option(
            "compare",
            ("--compare",),
            help="show this variant (or definition) beside it, on the same examples",
            metavar="VARIANT",
        ),
        Option("build", ("--build",), "flag", "then build the index, as the verb build does"),
        _ENGINE,
        WAIT,
        NAME,
        OUT,
        JSON,
    ),
    (_DECLARED,),
    body="yaml",
    body_required=False,
    example=_EXAMPLE,
)

SEQUENCE = Noun(
    "sequence",
    "User sequences: the last events before each example, exact in time",
    cell_verb="preview",
    line_verb="list",
    magic=True,
    verbs=(
        _PREVIEW,
        Verb("list", "List definitions, newest first", (JSON,)),
        Verb("show", "Show one definition: its text, version, variants, defaults and index", (JSON, OUT), (_KEPT,)),
        Verb(
            "build",
            "Sort the events into the definition's index, once; again, add what has come since",
            (_ENGINE, DRY_RUN, WAIT, NAME, OUT, JSON),
            (_DECLARED,),
            body="yaml",
            body_required=False,
            example="%sequence build history --dry-run",
        ),
        Verb(
            "diff",
            "Compare two definitions, or a definition with the version before it and with its index",
            (JSON, OUT),
            (
                _KEPT,
                Option("other", help="the definition to compare with; left out, the version before", metavar="OTHER"),
            ),
            example="%sequence diff history@2 history@1",
        ),
        Verb(
            "correct",
            "Read days of the source again and show which users and events of the index change, before it is published",
            (
                Option(
                    "start", ("--from",), "date", "first moment inside; left out, from the beginning", metavar="DATE"
                ),
                Option("end", ("--to",), "date", "first moment outside; left out, without an end", metavar="DATE"),
                _ENGINE,
                DRY_RUN,
                WAIT,
                YES,
                JSON,
                OUT,
            ),
            (_KEPT,),
            example="%sequence correct history --from 2011-11-01 --to 2011-11-02",
        ),
        Verb(
            "export",
            "Write the sequences as lists into a table, or the definition into a file",
            (
                replace(_ON, help="the examples; left out, those of the last time"),
                Option(
                    "to",
                    ("--to",),
                    help="the table that is made: a row per example, a list per feature",
                    metavar="TABLE",
                ),
                Option(
                    "form",
                    ("--form",),
                    help="lists as long as they are, or padded ones with a mask",
                    default="lists",
                    choices=("lists", "padded"),
                ),
                Option(
                    "carry",
                    ("--carry",),
                    "list",
                    "columns of the examples to take along; left out, id and those that end in _id",
                    metavar="A,B",
                ),
                Option("file", ("--file",), "path", "write the definition there as YAML", metavar="FILE"),
                _VARIANT,
                WAIT,
                YES,
                JSON,
                OUT,
            ),
            (_KEPT,),
            example="%sequence export history --on retail.train --to retail.train_history",
        ),
    ),
)
