"""The line of a magic: nouns, verbs, options and the values that they take."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from nbplat.ui.completion.offer import NOTHING, Names, Offers, offers
from nbplat.ui.nouns import NOUNS, PLATFORM
from nbplat.ui.options import Noun, Option, Verb

__all__ = ["MagicLine", "line_offers", "read_line", "table_of"]

_LINE = re.compile(r"\s*(?:[^\W\d][\w.]*\s*=\s*)?(%{1,2})([^\W\d]\w*)(\s.*)?\Z", re.DOTALL)

_BY_METAVAR: dict[str, str] = {
    "NAMESPACE.TABLE": "tables",
    "COLUMN": "columns",
    "COLUMNS": "columns",
    "A,B": "columns",
    "SESSION": "sessions",
    "VAR": "variables",
    "spark|local|SESSION": "sessions",
    "EXAMPLES": "examples",
    "RUN|TABLE": "staged",
    "JOB": "jobs",
    "PROFILE": "profiles",
}
_BY_NAME: dict[str, str] = {
    "env": "environments",
    "environment": "environments",
    "stage": "staged",
    "conf": "settings",
    "sequence": "sequences",
    "frame": "variables",
    "ship": "variables",
}
# Files, addresses and code: others know more of them.
_OPEN = ("path",)
_SETTINGS = (
    "spark.app.name=", "spark.default.parallelism=", "spark.driver.maxResultSize=", "spark.driver.memory=",
    "spark.dynamicAllocation.enabled=", "spark.dynamicAllocation.maxExecutors=", "spark.executor.cores=",
    "spark.executor.instances=", "spark.executor.memory=", "spark.executor.memoryOverhead=", "spark.jars.packages=",
    "spark.kryoserializer.buffer.max=", "spark.serializer=", "spark.sql.adaptive.enabled=", "spark.sql.ansi.enabled=",
    "spark.sql.autoBroadcastJoinThreshold=", "spark.sql.execution.arrow.pyspark.enabled=",
    "spark.sql.files.maxPartitionBytes=", "spark.sql.session.timeZone=", "spark.sql.shuffle.partitions=",
    "spark.task.cpus=", "spark.task.maxFailures=",
)  # fmt: skip
_WORDS: dict[str, tuple[str, ...]] = {"target": ("spark", "local")}
_OF_NOUN = {
    "backfill": "runs", "training": "trainings", "sequence": "sequences", "environment": "environments",
}  # fmt: skip


class MagicLine:
    """A magic's line, read up to the cursor.

    Attributes:
        cell: Whether it is ``%%``.
        words: The whole words after the magic's name.
        fragment: The word at the cursor; empty after a space.
    """

    def __init__(self, noun: Noun, cell: bool, text: str) -> None:
        self.cell = cell
        words = text.split()
        self.fragment = words.pop() if words and not text[-1:].isspace() else ""
        self.words = tuple(words)
        self.noun = noun
        self.verb: Verb | None = None
        self.rest: tuple[str, ...] = self.words
        self._choose()

    def _choose(self) -> None:
        if not self.cell and self.noun is PLATFORM and self.words:
            self.verb = PLATFORM.verb(self.words[0])
            if self.verb is None:
                self.noun = next((n for n in NOUNS if self.words[0] in (n.name, n.command)), PLATFORM)
                self.rest = self.words[1:]
                if self.noun is not PLATFORM:
                    self._choose_verb()
                return
            self.rest = self.words[1:]
            return
        self._choose_verb()

    def _choose_verb(self) -> None:
        named = self.noun.verb(self.rest[0]) if self.rest else None
        if named is not None and (not self.cell or named.body != "none"):
            self.verb, self.rest = named, self.rest[1:]
        elif self.cell or (*self.rest, self.fragment)[0].startswith("-"):
            self.verb = self.noun.verb((self.noun.cell_verb if self.cell else self.noun.line_verb) or "")


def read_line(text: str, nouns: Sequence[Noun] = NOUNS) -> MagicLine | None:
    """A line up to the cursor; None when it is no magic of ours, or the cursor is in the magic's name."""
    match = _LINE.match(text)
    if match is None or match[3] is None:
        return None
    noun = next((each for each in nouns if each.magic and each.name == match[2]), None)
    return None if noun is None else MagicLine(noun, match[1] == "%%", match[3])


def line_offers(line: MagicLine, names: Names) -> Offers:
    """What may stand at the end of a line."""
    fragment, verb = line.fragment, line.verb
    if not line.rest and not fragment.startswith("-") and (verb is None or (line.cell and not line.words)):
        return _first(line, names)
    if verb is None:
        return offers(line.fragment)
    flags = {flag: option for option in verb.arguments for flag in option.flags}
    head, equals, value = fragment.partition("=")
    if equals and head in flags:
        found = _values(line, flags[head], value, names)
        return Offers(fragment, tuple((f"{head}={text}", kind) for text, kind in found.found), found.only)
    if line.rest and (asked := flags.get(line.rest[-1])) is not None and asked.type != "flag":
        return _values(line, asked, fragment, names)
    if fragment.startswith("-"):
        return offers(fragment, ("option", _flags_left(verb, line.rest)))
    place = _place(verb, line.rest, flags)
    return offers(fragment) if place is None else _values(line, place, fragment, names)


def table_of(line: MagicLine) -> str:
    """The table that a line names by ``--table``; empty when it names none."""
    for word, after in pairwise((*line.rest, "")):
        if word in ("--table", "-t"):
            return after
        if word.startswith("--table="):
            return word.partition("=")[2]
    return ""


def _first(line: MagicLine, names: Names) -> Offers:
    """The first word: a verb, of nbplat itself also a noun; in a cell before the name of its own verb."""
    verbs = [v.name for v in line.noun.verbs_on("magic") if not line.cell or v.body != "none"]
    if line.cell and line.noun.cell_verb in verbs:
        verbs.remove(line.noun.cell_verb)
    kinds: list[tuple[str, list[str]]] = [("verb", verbs)]
    if line.noun is PLATFORM and not line.cell:
        kinds.append(("noun", [noun.command for noun in NOUNS if noun is not PLATFORM and noun.verbs_on("magic")]))
    place = _place(line.verb, (), {}) if line.cell and line.verb is not None else None
    if place is not None:
        kinds += [(kind, [text]) for text, kind in _values(line, place, line.fragment, names).found]
    return offers(line.fragment, *kinds)


def _flags_left(verb: Verb, words: Sequence[str]) -> list[str]:
    """Long flags before short ones; those that were given already are left out, but for repeatable ones."""
    given = {word.partition("=")[0] for word in words}
    left = [
        flag
        for option in verb.arguments
        if option.repeatable or option.type == "pair" or not given & {*option.flags, *option.off}
        for flag in (*option.flags, *option.off)
    ]
    return sorted([*left, "--help"], key=lambda flag: not flag.startswith("--"))


def _place(verb: Verb, words: Sequence[str], flags: dict[str, Option]) -> Option | None:
    """The positional argument that comes next."""
    count, skip = 0, False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-"):
            option = flags.get(word)
            skip = option is not None and option.type != "flag"
        else:
            count += 1
    if count < len(verb.positionals):
        return verb.positionals[count]
    last = verb.positionals[-1] if verb.positionals else None
    return last if last is not None and last.repeatable else None


def _values(line: MagicLine, option: Option, fragment: str, names: Names) -> Offers:
    if option.choices:
        return offers(fragment, ("value", option.choices))
    kind = _BY_NAME.get(option.name) or _BY_METAVAR.get(option.shown) or _of_noun(line.noun, option)
    known = ("value", _WORDS.get(option.name, ()))
    if kind == "columns":
        start, comma, last = fragment.rpartition(",")
        table = table_of(line)
        found = offers(last, ("column", names.columns(table) if table else ()))
        return Offers(fragment, tuple((f"{start}{comma}{text}", kind) for text, kind in found.found), only=True)
    makers: dict[str, tuple[str, Callable[[], list[str]]]] = {
        "tables": ("table", names.tables),
        "runs": ("run", names.runs),
        "sequences": ("sequence", names.sequences),
        "environments": ("environment", names.environments),
        "sessions": ("session", names.sessions),
        "trainings": ("run", names.trainings),
        "jobs": ("job", names.jobs),
        "profiles": ("profile", names.profiles),
        "variables": ("variable", names.variables),
        "settings": ("setting", lambda: list(_SETTINGS)),
    }
    if kind == "staged":
        return offers(fragment, ("run", names.runs()), ("table", names.tables()))
    if kind == "examples":
        # A file of Parquet may stand there as well.
        return replace(offers(fragment, ("table", names.tables()), ("variable", names.variables())), only=False)
    if kind not in makers:
        return NOTHING if option.type in _OPEN and not known[1] else offers(fragment, known)
    word, ask = makers[kind]
    return offers(fragment, known, (word, ask()))


def _of_noun(noun: Noun, option: Option) -> str:
    """What RUN, OTHER and NAME are, which each noun says of its own things."""
    if option.shown in ("RUN", "OTHER", "NAME"):
        return _OF_NOUN.get(noun.name, "")
    return ""
