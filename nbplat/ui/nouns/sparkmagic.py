"""What sparkmagic's notebooks write besides `%%spark` and `%%sql`: its other magics, and the verbs of its `%spark`."""

from __future__ import annotations

from nbplat.ui.options import Noun, Option, Verb

__all__ = ["SPARKMAGIC", "SPARK_VERBS"]

_FORCE = Option("force", ("--force", "-f"), "flag", "do it, though what is in the session is lost")
_BY_NAME = Option("named", ("--session", "-s"), help="name of the session", metavar="SESSION")
_BY_ID = Option("number", ("--id", "-i"), "int", "id of the session", metavar="ID", at_least=0)
_URL = Option(
    "url",
    ("--url", "-u"),
    help="taken and without effect: sessions are those of nbplat's service (%session url)",
    metavar="URL",
)
_UNUSED = "taken and without effect: the service knows who asks"
_LOGIN = (
    _URL,
    Option("user", ("--user", "-a"), help=_UNUSED, metavar="USER"),
    Option("password", ("--password", "-p"), help=f"{_UNUSED}; do not write passwords into cells", metavar="TEXT"),
    Option("auth", ("--auth", "-t"), help=_UNUSED, metavar="KIND"),
)

SPARK_VERBS = (
    Verb(
        "add",
        "Start a session under a name, and send cells there",
        (
            Option("named", ("--session", "-s"), help="its name", required=True, metavar="NAME"),
            Option(
                "language",
                ("--lang", "-l"),
                help="language of its cells",
                default="python",
                choices=("python", "scala", "sql"),
            ),
            Option("skip", ("--skip", "-k"), "flag", "attach to the living session of that name, when there is one"),
            *_LOGIN,
        ),
        example="%spark add -s etl -l python",
        surfaces=("magic",),
        aliases=(("--language", "--lang"),),
    ),
    Verb("info", "List sessions, and say how the next one is started", (_BY_ID, *_LOGIN), surfaces=("magic",)),
    Verb("logs", "Show the log of a session's driver", (_BY_NAME,), surfaces=("magic",)),
    Verb("delete", "End a session", (_BY_NAME, _BY_ID, *_LOGIN), surfaces=("magic",)),
    Verb("cleanup", "End the sessions that this notebook started", _LOGIN, surfaces=("magic",)),
    Verb(
        "config",
        "Say how the next session is started: a JSON object as Livy takes it",
        body="yaml",
        surfaces=("magic",),
    ),
)


def _magic(name: str, summary: str, *options: Option, **more: object) -> Noun:
    verb = Verb("run", summary, options, surfaces=("magic",), **more)  # type: ignore[arg-type]
    return Noun(name, summary, (verb,), cell_verb="run", line_verb="run", magic=True)


SPARKMAGIC: tuple[Noun, ...] = (
    _magic(
        "configure",
        "Say how this notebook's session is started: a JSON object as Livy takes it",
        Option("force", ("--force", "-f"), "flag", "end the session that runs, and start another"),
        body="yaml",
    ),
    _magic("info", "List sessions, and say how the next one is started"),
    _magic("logs", "Show the log of this notebook's session"),
    _magic("cleanup", "End every session of yours", _FORCE),
    _magic(
        "delete",
        "End another session by its id",
        _FORCE,
        Option("number", ("--session", "-s"), "int", "its id", required=True, metavar="ID", at_least=0),
    ),
    _magic(
        "send_to_spark",
        "Send a DataFrame or a text of the notebook to its session",
        Option("variable", ("--input", "-i"), help="its variable here", required=True, metavar="VAR"),
        Option("kind", ("--vartype", "-t"), help="a text, or a DataFrame", default="str", choices=("str", "df")),
        Option("called", ("--varname", "-n"), help="its name there; left out, its name here", metavar="NAME"),
        Option(
            "rows",
            ("--maxrows", "-m"),
            "int",
            "rows sent at most; left out, all",
            metavar="N",
            at_least=1,
        ),
    ),
    _magic("pretty", "Run this cell's Python in the session, and draw the tables that it prints", body="python"),
)
"""Registered where no other extension has a magic of that name; no commands of the shell."""
