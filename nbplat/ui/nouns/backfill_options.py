"""The options of a backfill's request, in the groups that help texts show."""

from __future__ import annotations

from nbplat.ui.options import Option

__all__ = ["FEATURE", "FRAME", "PYTHON", "TIMES", "WINDOW"]

WINDOW = (
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
FEATURE = (
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
    Option(
        "replace",
        ("--replace",),
        help="compute an existing column again; outside the window it keeps its values",
        repeatable=True,
        metavar="COLUMN",
    ),
    Option(
        "type",
        ("--type",),
        "pair",
        "store a column as this Iceberg type, e.g. emb='list<float>'; a value that does not fit fails",
        metavar="COL=TYPE",
    ),
    Option(
        "check",
        ("--check",),
        "pair",
        "set an audit rule's level (nulls=warn) or threshold (nulls.max_share=0.05)",
        metavar="RULE[.THRESHOLD]=VALUE",
    ),
    Option(
        "max_cost",
        ("--max-cost",),
        "float",
        "refuse before any effect when it would cost more, by your prices (prices.* in the config)",
        metavar="AMOUNT",
        at_least=0,
    ),
)
TIMES = (
    Option(
        "as_of",
        ("--as-of",),
        help="the time as of which a row's feature must be known; the audit then looks for leaks from the future",
        metavar="COLUMN",
        group="point in time",
    ),
    Option(
        "source",
        ("--source",),
        "pair",
        "a source's time column, so that a leak from it can be found",
        metavar="TABLE=TIME_COLUMN",
        group="point in time",
    ),
)
PYTHON = (
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
FRAME = Option(
    "frame",
    ("--frame",),
    help="a DataFrame of the notebook that an SQL body reads by this name; it is stored with the run",
    repeatable=True,
    metavar="NAME",
)
