"""Every key of a definition, declared once: the parser's closed sets, the defaults it prints, the page of the docs."""

from __future__ import annotations

from dataclasses import dataclass

from nbplat.sequence.definition import MAX_LAST

__all__ = ["FUNCTIONS", "KEYS", "MAX_LENGTH", "NUMBER_TYPES", "Function", "Key", "Option", "key", "keys_under"]

MAX_LENGTH = 1_000_000

NUMBER_TYPES = ("float32", "float64", "int32", "int64")


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the YAML and of the Python form.

    Attributes:
        path: Dotted; ``<type>`` and ``<name>`` stand for what the person names.
        takes: What its value is.
        default: What holds when it is not written, as the preview shows it; None: it must be written.
        meaning: One or two sentences.
        choices: Every value that is possible, where that is a closed set.
        indexed: It decides the index: a variant cannot change it.
    """

    path: str
    takes: str
    default: str | None
    meaning: str
    choices: tuple[str, ...] = ()
    indexed: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a feature's function.

    Attributes:
        name: As it is written: ``vocab(min_count=5)``.
        takes: What its value is.
        default: Value when it is not written; meaningless when `required`.
        required: It must be written.
    """

    name: str
    takes: str
    default: object = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """What makes a number, or a vector, of a column.

    Attributes:
        name: As it is written and as `Feature.function` has it.
        meaning: What a token gets.
        options: In the order the reference shows.
        columns: The types of columns it takes, in words.
    """

    name: str
    meaning: str
    options: tuple[Option, ...]
    columns: str


_COLUMN = "name of a column"
_COLUMNS = "name of a column, or a list of names"

KEYS: tuple[Key, ...] = (
    Key("name", "lower-case identifier", "the name of the cell or file", "What the sequence is called."),
    Key(
        "source",
        "`namespace.table`, a path, folder or glob of Parquet files, or the name of a DataFrame in the notebook",
        None,
        "The events: one row each, in any order.",
        indexed=True,
    ),
    Key(
        "entity",
        _COLUMNS,
        None,
        "Whose event it is. The examples have columns of the same names. Rows with a null in one of them are left out"
        " and counted.",
        indexed=True,
    ),
    Key(
        "time",
        _COLUMN,
        None,
        "When the event happened: a timestamp, a date, or integers with `time_unit`.",
        indexed=True,
    ),
    Key(
        "time_unit",
        "`s`, `ms` or `us`",
        "none (integer times are refused)",
        "Unit of integer time columns, since 1970 UTC.",
        ("s", "ms", "us"),
        indexed=True,
    ),
    Key(
        "timezone",
        "IANA zone, or `{zone, ambiguous, missing}`",
        "none (times without a zone are refused)",
        "How times without a zone are read, dates at their midnight included.",
        indexed=True,
    ),
    Key("timezone.zone", "IANA zone such as `Europe/London`", None, "The zone.", indexed=True),
    Key(
        "timezone.ambiguous",
        "`earliest`, `latest` or `refuse`",
        "refuse",
        "Which of the two moments is meant in the hour that the clock shows twice.",
        ("earliest", "latest", "refuse"),
        indexed=True,
    ),
    Key(
        "timezone.missing",
        "`earliest`, `latest` or `refuse`",
        "refuse",
        "Which moment beside the gap is meant in the hour that the clock skips.",
        ("earliest", "latest", "refuse"),
        indexed=True,
    ),
    Key(
        "arrival",
        "name of a column, or `{column, early}`",
        "none (an event is known at its time)",
        "When the event was known. An example sees only what had arrived before its own time.",
        indexed=True,
    ),
    Key("arrival.column", _COLUMN, None, "The column.", indexed=True),
    Key(
        "arrival.early",
        "`refuse` or `clip`",
        "refuse",
        "What an arrival before the event's own time means: an error, or arrival at the event's time.",
        ("refuse", "clip"),
        indexed=True,
    ),
    Key(
        "id",
        _COLUMNS,
        "none (ties go by a hash of the declared columns)",
        "Tells one event of an entity from another. Breaks ties of equal times, and tells copies. An id that comes"
        " again under another entity is another event; a null id is no copy of anything.",
        indexed=True,
    ),
    Key(
        "dedupe",
        "`none`, `exact`, `first` or `last`",
        "first with an id, else none",
        "`exact` drops rows that are equal in all declared columns. `first` and `last` keep one copy of an id, by"
        " arrival (without one by time). With `last` and an arrival an example sees the newest copy it could know.",
        ("none", "exact", "first", "last"),
        indexed=True,
    ),
    Key("type", _COLUMN, "event_type", "What kind of event it is.", indexed=True),
    Key("events", "a mapping of event types", None, "Which types the sequence holds, and of each how much."),
    Key(
        "events.<type>.last",
        f"number from 1 to {MAX_LAST}",
        str(MAX_LAST),
        "How many events at most: the newest ones that the example may see.",
    ),
    Key("events.<type>.within", "a duration such as `90d`", "any age", "How old at most, before the cutoff."),
    Key(
        "events.<type>.where",
        "a condition in Spark SQL",
        "all events",
        "Over the columns of the events and the enrichments at index. It holds before the newest are taken.",
    ),
    Key(
        "events.<type>.select",
        "`nearest(column, count)` or `nearest(column, count, to=column)`",
        "all that `last` and `within` leave",
        "Of these keep the `count` whose vector has the largest dot product with the example's vector `to`, which is"
        " the example's column of the same name when it is not written.",
    ),
    Key(
        "enrich",
        "`{index, read}`",
        "none",
        "Columns that other tables add to each event: stored when the index is built, or joined when it is read.",
    ),
    Key(
        "enrich.index.<name>",
        "`table.column @ when [on a=b, c] [by time]`, or `{from, column, at, on, time}`",
        "none",
        "Added and stored when the index is built; a `where` may name it. `@ request_time` is not possible here.",
        indexed=True,
    ),
    Key(
        "enrich.read.<name>",
        "`table.column @ when [on a=b, c] [by time]`, or `{from, column, at, on, time}`",
        "none",
        "Added when sequences are read.",
    ),
    Key("enrich.*.<name>.from", "`namespace.table`, or `table` beside the source", None, "The table."),
    Key("enrich.*.<name>.column", _COLUMN, None, "Its column that is added."),
    Key(
        "enrich.*.<name>.at",
        "`event_time`, `request_time` or `latest`",
        None,
        "Which of several values in time holds: the one at the event, at the example's cutoff, or the newest, which"
        " leaks. There is no default.",
        ("event_time", "request_time", "latest"),
    ),
    Key(
        "enrich.*.<name>.on",
        "columns that both sides have, or `event column = table column`",
        "the one column that events and table share",
        "What must be equal.",
    ),
    Key(
        "enrich.*.<name>.time",
        "name of a column of the table",
        "valid_from, or the table's only timestamp",
        "From when a row holds.",
    ),
    Key(
        "layout",
        "`mixed` or `per_type`",
        "mixed",
        "One sequence of all types by time, with the type as a token; or one sequence a type.",
        ("mixed", "per_type"),
    ),
    Key(
        "size.length",
        f"number from 1 to {MAX_LENGTH}, `all`, or with `per_type` a mapping of types to numbers",
        "all",
        "Tokens an example. `all` is what the rules can give: in a mixed layout their sum.",
    ),
    Key(
        "size.order",
        "`newest_first` or `oldest_first`",
        "newest_first",
        "Which token comes first.",
        ("newest_first", "oldest_first"),
    ),
    Key("size.pad", "`right` or `left`", "right", "The side that is filled up.", ("right", "left")),
    Key(
        "size.truncate",
        "`oldest` or `newest`",
        "oldest",
        "Which tokens go when there are more than `length`.",
        ("oldest", "newest"),
    ),
    Key(
        "features.<name>",
        "a function, `vocab(min_count=5)`, or a function of another column, `vocab(item_id)`",
        "in a mixed layout `vocab` over the type column",
        "A number, or a vector, a token. Without a column the one of the feature's name.",
    ),
    Key("show", "a list of columns", "none", "Further columns that are carried along for people to look at."),
    Key("as_of.time", "name of a column of the examples", "label_ts", "The moment that an example is about."),
    Key(
        "as_of.strict",
        "`true` or `false`",
        "true",
        "Only events before the cutoff; `false` lets in those at the very moment, which leaks.",
        ("true", "false"),
    ),
    Key("as_of.gap", "a duration such as `5m`", "0s", "The cutoff is so long before the example's time."),
    Key(
        "as_of.at",
        "`example` or `end`",
        "example",
        "`end` gives every example its entity's final history, which leaks: for looking, and for serving today.",
        ("example", "end"),
    ),
    Key(
        "variants.<name>.<path>",
        "a value of that key, or `drop`",
        "none",
        "Other settings of the same definition over the same index. `drop` takes an event type, feature or enrichment"
        " away, or a key back to its default.",
    ),
)

FUNCTIONS: tuple[Function, ...] = (
    Function(
        "vocab",
        "The value's number in a vocabulary that is fitted once and frozen: most frequent first. 0 is padding, 1 is"
        " unknown or null, values begin at 2.",
        (
            Option("min_count", "number from 1", 1),
            Option("max_size", "number from 1, or `none`", None),
        ),
        "anything but lists and structs",
    ),
    Function(
        "hash",
        "The value's hash as a number from 1 to `buckets`, the same on every machine; 0 is padding, null has one too.",
        (Option("buckets", "number from 1 to 2147483645", required=True),),
        "anything but lists and structs",
    ),
    Function(
        "age",
        "Time from the event to the as-of moment.",
        (Option("unit", "`s`, `m`, `h` or `d`", "s"),),
        "times",
    ),
    Function("age_log", "`log(1 + age in seconds)`.", (), "times"),
    Function(
        "bucket",
        "Which interval the number lies in: 2 is below the first edge, 3 from it to below the second, and so on; 0 is"
        " padding, 1 is null.",
        (Option("edges", "list of ascending numbers", required=True),),
        "numbers",
    ),
    Function(
        "quantile",
        "As `bucket`, with edges that cut into `count` equally full intervals, fitted once and frozen.",
        (Option("count", "number from 2 to 10000", 10),),
        "numbers",
    ),
    Function(
        "number",
        "The number itself. `float32`, `float64`, `int32` and `int64` are short for `number(type=…)`.",
        (
            Option("type", "`float32`, `float64`, `int32` or `int64`", "float32"),
            Option("fill", "number that stands for null", 0),
        ),
        "numbers and booleans",
    ),
    Function(
        "embedding",
        "The vector.",
        (Option("size", "number from 1 to 65536, or `none`: the column's own fixed size", None),),
        "lists of numbers",
    ),
)

_BY_PATH = {each.path: each for each in KEYS}


def key(path: str) -> Key:
    """The declaration of a key. Raises KeyError for another path."""
    return _BY_PATH[path]


def keys_under(path: str) -> tuple[str, ...]:
    """Names of the keys directly under a path, of the top with an empty one; without those that a person gives."""
    start = f"{path}." if path else ""
    names = (each.path[len(start) :].split(".")[0] for each in KEYS if each.path.startswith(start))
    return tuple(name for name in dict.fromkeys(names) if not name.startswith(("<", "*")))
