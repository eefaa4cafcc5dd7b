from __future__ import annotations

from nbplat.ui.options import JSON, YES, Noun, Option, Verb

__all__ = ["DEMO", "JARS", "PLATFORM", "SERVICE"]

_ROWS = Option(
    "rows",
    ("--rows",),
    "int",
    "make this many events of the same shape from a seed, instead of the real sample",
    metavar="N",
    at_least=1000,
)

DEMO = Noun(
    "demo",
    "The main job on real data",
    verbs=(
        Verb(
            "init",
            "Load the sample into retail.events and retail.train",
            (
                _ROWS,
                Option("seed", ("--seed",), "int", "seed of --rows", default=7, metavar="N", at_least=0),
                Option("replace", ("--replace",), "flag", "drop demo tables of other content first"),
                JSON,
            ),
            example="nbplat demo init",
        ),
        Verb(
            "run",
            "Run the quickstart notebook headless and print a summary",
            (
                Option(
                    "folder", ("--folder",), "path", "where the executed notebook and page go", default="build/demo"
                ),
                JSON,
            ),
            surfaces=("cli",),
        ),
    ),
)

SERVICE = Noun(
    "service",
    "The service of this state folder: it starts on demand",
    line_verb="status",
    verbs=(
        Verb("status", "Show whether it runs, where, and what it does", (JSON,)),
        Verb("stop", "Stop it in good order; jobs go on at the next start", (YES, JSON)),
        Verb(
            "user",
            "Set a user's password in service.users_file; it is read from the terminal, or a line of standard input",
            (JSON,),
            (Option("name", help="of the user", required=True, metavar="NAME"),),
            example="nbplat service user ann",
            surfaces=("cli",),
        ),
    ),
)

JARS = Noun(
    "jars",
    "The Iceberg runtime for Spark",
    verbs=(
        Verb(
            "fetch",
            "Fetch the jar that fits pyspark here, and verify it by hash",
            (
                Option(
                    "source",
                    ("--source",),
                    help="ivy (then mvn), mvn, or the path of a jar you have",
                    default="ivy",
                    metavar="ivy|mvn|PATH",
                ),
                Option(
                    "settings",
                    ("--settings",),
                    "path",
                    "an ivysettings file, or a settings.xml with mvn",
                    metavar="FILE",
                ),
                JSON,
            ),
            surfaces=("cli",),
        ),
    ),
)

PLATFORM = Noun(
    "nbplat",
    "nbplat itself",
    line_verb="status",
    magic=True,
    verbs=(
        Verb("status", "Show live runs and jobs, the service, and what to do next", (JSON,)),
        Verb(
            "target",
            "Say where plain cells run: in this notebook's session (spark), in a session by name, or here (local)",
            (JSON,),
            (Option("target", help="spark, local, or a session; left out, shows it", metavar="spark|local|SESSION"),),
            example="%nbplat target spark",
            surfaces=("magic",),
        ),
        Verb("config", "Show every setting, its value, and where the value came from", (JSON,)),
        Verb(
            "last-error",
            "Show the last error of this notebook whole: what the session or the service said, nothing cut",
            (JSON,),
            surfaces=("magic",),
        ),
        Verb("doctor", "Check this machine and say what is missing and how to mend it", (JSON,)),
        Verb(
            "serve",
            "Run the service in the foreground, for a team or under a supervisor",
            (
                Option("host", ("--host",), help="address to bind; left out, the setting service.host"),
                Option(
                    "port",
                    ("--port",),
                    "int",
                    "port to bind; left out, the setting service.port",
                    metavar="N",
                    at_least=0,
                ),
            ),
            surfaces=("cli",),
        ),
    ),
)
