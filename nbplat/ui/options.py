"""The records by which an option is declared once.

From these come the magics' and the CLI's parsers (`ui/parse.py`), ``%%backfill?``, ``nbplat backfill --help``, the page
docs/options.md, and the panel's forms. The declarations themselves are in `ui/nouns/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "BODY_FLAGS",
    "COMMON",
    "DRY_RUN",
    "JSON",
    "NAME",
    "NEW",
    "OFFSET",
    "OUT",
    "TAIL",
    "WAIT",
    "YES",
    "Body",
    "Noun",
    "Option",
    "OptionType",
    "Surface",
    "Verb",
]

OptionType = Literal["text", "int", "float", "flag", "date", "list", "path", "pair", "age"]
Body = Literal["none", "sql", "yaml", "python"]
Surface = Literal["magic", "cli"]


@dataclass(frozen=True, slots=True)
class Option:
    """One option or positional argument.

    Attributes:
        name: The attribute under which a handler reads it.
        flags: ``("--dry-run", "-n")``; empty for a positional argument.
        type: ``date`` is an ISO date or timestamp kept as text; ``list`` is ``a,b`` read as a tuple; ``path`` is text;
            ``pair`` is ``KEY=VALUE``, of which all that are given make one mapping; ``age`` is ``36h`` or ``7d``, read
            as seconds.
        help: One clause, lower case, no period.
        default: The value when it is not given; None means none. A repeatable one starts as ``()``.
        choices: The closed set of its values; empty means open.
        metavar: What stands for the value in help texts.
        repeatable: May be given several times; the value is a tuple.
        required: Must be given. A positional argument that is not required may be left out.
        group: The heading it stands under in help texts.
        off: Flags that set a ``flag`` to False.
        off_help: One clause on what they do.
        at_least: Smallest number allowed; None means any.
    """

    name: str
    flags: tuple[str, ...] = ()
    type: OptionType = "text"
    help: str = ""
    default: Any = None
    choices: tuple[str, ...] = ()
    metavar: str = ""
    repeatable: bool = False
    required: bool = False
    group: str = "options"
    off: tuple[str, ...] = ()
    off_help: str = ""
    at_least: float | None = None

    @property
    def positional(self) -> bool:
        return not self.flags

    @property
    def shown(self) -> str:
        """What stands for the value in help texts."""
        return self.metavar or self.name.upper()

    @property
    def start(self) -> Any:
        """The value when it is not given."""
        if self.type == "pair":
            return {}
        if self.repeatable and self.default is None:
            return ()
        if self.type == "flag" and self.default is None:
            return False
        return self.default


@dataclass(frozen=True, slots=True)
class Verb:
    """What can be done with a noun.

    Attributes:
        name: One word; empty for a noun that is a command by itself (``nbplat serve``).
        summary: One sentence without a period; the first line of the help.
        options: Flags, in the order they are shown.
        positionals: Positional arguments, in order.
        body: What the cell below the magic's line holds; on the CLI a file, named by `BODY_FLAGS`.
        body_required: False where the verb also works without a body.
        example: A line or a cell to copy; empty when there is none.
        surfaces: Where it can be used.
        presets: Option values that this verb fixes: ``plan`` is ``run`` with ``dry_run``.
        aliases: Flags of another tool, understood and not shown: ``--maxrows`` is ``--rows``.
    """

    name: str
    summary: str
    options: tuple[Option, ...] = ()
    positionals: tuple[Option, ...] = ()
    body: Body = "none"
    body_required: bool = True
    example: str = ""
    surfaces: tuple[Surface, ...] = ("magic", "cli")
    presets: tuple[tuple[str, Any], ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()

    @property
    def arguments(self) -> tuple[Option, ...]:
        """Positional arguments and options, the flag that names the body's file included."""
        return (*self.positionals, *self.options, *self._body_file())

    def _body_file(self) -> tuple[Option, ...]:
        if self.body == "none":
            return ()
        return (
            Option(
                "body_file",
                (BODY_FLAGS[self.body],),
                "path",
                f"read the {_BODY_WORDS[self.body]} from a file instead of the cell; - is standard input",
                metavar="FILE",
            ),
        )

    def known_flags(self) -> tuple[str, ...]:
        """Every flag a user can give, help included."""
        return (
            "--help",
            "-h",
            *(alias for alias, _ in self.aliases),
            *(flag for option in self.arguments for flag in (*option.flags, *option.off)),
        )


@dataclass(frozen=True, slots=True)
class Noun:
    """A thing of the product and its verbs.

    Attributes:
        name: ``backfill``; the magic's name and the CLI's first word.
        summary: One sentence without a period.
        cell_verb: The verb that a cell magic means when its line names none; None when there is no cell magic.
        line_verb: The verb that an empty line means; None when a verb must be named.
        magic: True when ``%name`` exists; every noun can be reached by ``%nbplat name verb``.
        word: The CLI's first word where that is not the name: ``env``; both are understood everywhere.
    """

    name: str
    summary: str
    verbs: tuple[Verb, ...]
    cell_verb: str | None = None
    line_verb: str | None = None
    magic: bool = False
    word: str = ""

    @property
    def command(self) -> str:
        """The CLI's first word."""
        return self.word or self.name

    def verb(self, name: str) -> Verb | None:
        """The verb of that name, or None."""
        return next((verb for verb in self.verbs if verb.name == name), None)

    def verbs_on(self, surface: Surface) -> tuple[Verb, ...]:
        return tuple(verb for verb in self.verbs if surface in verb.surfaces)


BODY_FLAGS: dict[Body, str] = {"sql": "--sql", "yaml": "--file", "python": "--python"}
"""The flag that names the file of a body."""

_BODY_WORDS: dict[Body, str] = {"sql": "SELECT", "yaml": "definition", "python": "Python body"}

DRY_RUN = Option("dry_run", ("--dry-run", "-n"), "flag", "show the plan and do nothing", group="common")
WAIT = Option(
    "wait",
    ("--wait",),
    "flag",
    "stay until it ends (default)",
    default=True,
    off=("--background",),
    off_help="return at once and let it run on",
    group="common",
)
YES = Option("yes", ("--yes", "-y"), "flag", "do not ask before an effect that is hard to undo", group="common")
NAME = Option("name", ("--name",), "text", "the run's name, when it is not the first word", group="common")
OUT = Option("out", ("--out", "-o"), "text", "bind the result to this notebook variable", metavar="VAR", group="common")
JSON = Option("json", ("--json",), "flag", "print the result as JSON", group="common")
OFFSET = Option("offset", ("--offset",), "int", "start at this byte", default=0, metavar="BYTES", at_least=0)
TAIL = Option("tail", ("--tail",), "int", "only the last lines; 0 shows all", default=0, metavar="LINES", at_least=0)
NEW = Option("new", ("--new",), "flag", "start a new run even where an equal one could be attached to", group="common")

COMMON = (DRY_RUN, WAIT, YES, NAME, OUT, JSON, NEW)
"""Options that mean the same wherever they appear (a test holds their declarations equal)."""
