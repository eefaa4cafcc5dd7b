from __future__ import annotations

from nbplat.ui.nouns.sparkmagic import SPARK_VERBS
from nbplat.ui.options import JSON, NAME, OUT, TAIL, WAIT, YES, Noun, Option, Verb

__all__ = ["SESSION", "SPARK", "SQL"]

_SESSION = Option(
    "session",
    help="name or id; left out, this notebook's session, or the only one that lives",
    metavar="SESSION",
)
_NAMED = Option("session", help="name or id", required=True, metavar="SESSION")
_ROWS = Option(
    "rows",
    ("--rows", "-n"),
    "int",
    "rows taken at most, -1 for all; a note says when there are more",
    default=1000,
    metavar="N",
    at_least=-1,
)
_IN = Option(
    "frames",
    ("--in", "-i"),
    help="send this DataFrame of the notebook to the session first, under its name",
    repeatable=True,
    metavar="VAR",
)
_FETCHED = Option(
    "rows", ("--rows", "-n"), "int", "rows of --out taken at most; left out or -1, all", metavar="N", at_least=-1
)
_QUIET = Option("quiet", ("--quiet", "-q"), "flag", "do not show the rows")
_LANGUAGE = Option(
    "language",
    ("--lang", "-l"),
    help="language of the cell; left out, Python, or Scala in a session of that kind",
    choices=("python", "scala", "sql"),
)
_NAMED_BY_FLAG = Option("named", ("--session", "-s"), help="the session, as by its first word", metavar="SESSION")
_AS_SPARKMAGIC = "as in sparkmagic"
_METHOD = Option(
    "method",
    ("--sample-method", "-m"),
    help="which rows -o and a query take: the first ones, or a random share",
    choices=("take", "sample"),
    group=_AS_SPARKMAGIC,
)
_FRACTION = Option(
    "fraction",
    ("--fraction", "-r"),
    "float",
    "the share of -m sample",
    default=0.1,
    metavar="SHARE",
    at_least=0,
    group=_AS_SPARKMAGIC,
)
_CONTEXT = Option(
    "context",
    ("--context", "-c"),
    help="sql: the cell is a query",
    choices=("spark", "sql", "True", "False"),
    group=_AS_SPARKMAGIC,
)
_COERCE = "taken and without effect: rows have Spark's own types"
_ALIASES = (("--maxrows", "--rows"), ("--output", "--out"), ("--samplemethod", "-m"), ("--samplefraction", "-r"))

_START = (
    Option(
        "kind",
        ("--kind",),
        help="language of statements that name none",
        default="pyspark",
        choices=("pyspark", "sql", "spark"),
    ),
    Option("conf", ("--conf",), "pair", "a Spark setting", metavar="KEY=VALUE"),
    Option(
        "env",
        ("--env",),
        help="the built environment that driver and executors run in; left out, the service's own Python",
        metavar="NAME",
    ),
    Option(
        "profile",
        ("--profile",),
        help="settings that the site keeps under a name (%session profiles); left out, its default",
        metavar="PROFILE",
    ),
    Option("driver_memory", ("--driver-memory",), help="memory of the driver, e.g. 2g", metavar="SIZE"),
    Option("driver_cores", ("--driver-cores",), "int", "cores of the driver", metavar="N", at_least=1),
    Option("executor_memory", ("--executor-memory",), help="memory of an executor, e.g. 4g", metavar="SIZE"),
    Option("executor_cores", ("--executor-cores",), "int", "cores of an executor", metavar="N", at_least=1),
    Option("num_executors", ("--num-executors",), "int", "executors", metavar="N", at_least=1),
    Option("ttl", ("--ttl",), help="age at which it ends, whatever it does, e.g. 8h", metavar="TIME"),
    Option(
        "idle",
        ("--idle",),
        help="ends it when nobody has used it for so long, e.g. 30m; left out, the service's limit",
        metavar="TIME",
    ),
    Option("queue", ("--queue",), help="queue of the cluster", metavar="QUEUE"),
    Option("jars", ("--jar",), help="a jar for driver and executors", repeatable=True, metavar="URI"),
    Option("py_files", ("--py-file",), help="a module, zip or egg for Python", repeatable=True, metavar="URI"),
    Option("files", ("--spark-file",), help="a file for each executor's folder", repeatable=True, metavar="URI"),
    Option("archives", ("--archive",), help="an archive unpacked on each executor", repeatable=True, metavar="URI"),
)

_SPARK_EXAMPLE = """%%spark
events = spark.table("retail.events")
events.groupBy("country").count().show(5)"""

_SQL_EXAMPLE = """%%sql -o top -n 20
SELECT country, count(*) AS n FROM retail.events GROUP BY country ORDER BY n DESC"""

SESSION = Noun(
    "session",
    "Spark sessions that outlive the notebook",
    line_verb="info",
    magic=True,
    verbs=(
        Verb(
            "start",
            "Start a session; in a notebook its cells go there from now on",
            (*_START, WAIT, NAME, OUT, JSON),
            (Option("session", help="its name; left out, one after the notebook", metavar="NAME"),),
            example="%session start etl --driver-memory 4g --conf spark.sql.shuffle.partitions=64",
        ),
        Verb(
            "attach",
            "Send this notebook's cells to a living session; in a shell, follow what runs there",
            (OUT, JSON),
            (_NAMED,),
        ),
        Verb(
            "form",
            "Show a form that writes the line of a session's start, with every option; it starts nothing",
            (OUT, JSON),
            (Option("session", help="its name", metavar="NAME"),),
            surfaces=("magic",),
        ),
        Verb("list", "List sessions", (JSON,)),
        Verb("profiles", "List the site's profiles: what each sets, and what may be changed of it", (JSON,)),
        Verb(
            "share",
            "Let others look at a session or use it; without names nobody but its owner",
            (
                Option("view", ("--view",), help="may look at it; * is everybody", repeatable=True, metavar="USER"),
                Option("use", ("--use",), help="may run code in it; * is everybody", repeatable=True, metavar="USER"),
                JSON,
            ),
            (_SESSION,),
            example="%session share etl --use bob --view '*'",
        ),
        Verb("info", "Show a session, its statements, and each Spark setting with who said it", (JSON,), (_SESSION,)),
        Verb("logs", "Show the log of a session's driver", (TAIL, JSON), (_SESSION,)),
        Verb("stop", "End a session with everything that it started", (YES, JSON), (_SESSION,)),
        Verb(
            "run",
            "Run Python in a session and show what it prints",
            (WAIT, OUT, JSON),
            (_SESSION,),
            body="python",
            example="nbplat session run etl --python job.py",
        ),
        Verb(
            "sql",
            "Run a query in a session and show its first rows",
            (_ROWS, _QUIET, WAIT, OUT, JSON),
            (_SESSION,),
            body="sql",
            example="nbplat session sql etl --sql query.sql -n 20",
        ),
        Verb(
            "follow",
            "Show what a statement printed, and follow it until it ends",
            (
                Option(
                    "statement", ("--statement",), "int", "its number; left out, the newest", metavar="N", at_least=0
                ),
                OUT,
                JSON,
            ),
            (_SESSION,),
        ),
        Verb(
            "send",
            "Send a DataFrame of the notebook to a session, every value as it is",
            (
                Option("called", ("--as",), help="its name there; left out, its name here", metavar="NAME"),
                Option("view", ("--view",), "flag", "also make it a temporary view, for SQL"),
                JSON,
            ),
            (Option("frame", help="the DataFrame's variable", required=True, metavar="VAR"), _SESSION),
            example="%session send labels --view",
            surfaces=("magic",),
        ),
        Verb("ui", "Print the address of a session's Spark UI, and whether it can be reached", (JSON,), (_SESSION,)),
        Verb(
            "warm",
            "Write Spark's classes down for the JVMs of sessions on this machine, and say what that gains",
            (
                Option(
                    "env",
                    ("--env",),
                    help="of sessions in this built environment; left out, the service's own Python",
                    metavar="NAME",
                ),
                JSON,
            ),
            example="nbplat session warm",
        ),
        Verb(
            "url",
            "Print the address for Livy clients, and where their password is",
            (Option("show_token", ("--show-token",), "flag", "print the password as well"), JSON),
        ),
    ),
)

_OF_CELLS = (_NAMED_BY_FLAG, WAIT, NAME, OUT, JSON, _METHOD, _FRACTION)

SPARK = Noun(
    "spark",
    "Cells that run in a Spark session",
    cell_verb="run",
    line_verb="info",
    magic=True,
    verbs=(
        Verb(
            "run",
            "Run this cell's Python in this notebook's Spark session, which is started when there is none",
            (
                _IN,
                _FETCHED,
                _QUIET,
                _LANGUAGE,
                *_OF_CELLS,
                _CONTEXT,
                Option("coerce", ("--coerce", "-e"), help=_COERCE, metavar="BOOL", group=_AS_SPARKMAGIC),
            ),
            (_SESSION,),
            body="python",
            example=_SPARK_EXAMPLE,
            surfaces=("magic",),
            aliases=(*_ALIASES, ("--language", "--lang")),
        ),
        *SPARK_VERBS,
    ),
)

SQL = Noun(
    "sql",
    "Queries that run in a Spark session",
    cell_verb="run",
    magic=True,
    verbs=(
        Verb(
            "run",
            "Run this cell's query in this notebook's Spark session, which is started when there is none",
            (
                _ROWS,
                _QUIET,
                *_OF_CELLS,
                Option("coerce", ("--coerce", "-c"), help=_COERCE, metavar="BOOL", group=_AS_SPARKMAGIC),
            ),
            (_SESSION,),
            body="sql",
            example=_SQL_EXAMPLE,
            surfaces=("magic",),
            aliases=_ALIASES,
        ),
    ),
)
