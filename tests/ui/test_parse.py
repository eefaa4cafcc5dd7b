"""Reading a line of words."""

from __future__ import annotations

import pytest

from nbplat.errors import RequestError
from nbplat.ui.nouns import find_noun
from nbplat.ui.parse import HelpAsked, parse

BACKFILL = find_noun("backfill")


def read(line: str, *, noun: str = "backfill", verb: str = "run"):
    """Parse a line of one verb."""
    found = find_noun(noun)
    return parse(found, found.verb(verb), line.split(), prog=f"%{noun}")


def fault(line: str, **where: str) -> str:
    """The message and fix of a line that must be refused."""
    with pytest.raises(RequestError) as caught:
        read(line, **where)
    assert caught.value.code.startswith("usage.")
    return f"{caught.value.message} | {caught.value.fix}"


def test_a_whole_line_is_read():
    """Names, repeated options, dates and switches arrive under their names."""
    options = read(
        "spend --table retail.train --key a -k b --from 2011-01-01 --to 2011-03-01T12:00 --promote -n --background"
    )

    assert ("spend", "retail.train", ("a", "b")) == (options.name, options.table, options.key)
    assert ("2011-01-01", "2011-03-01T12:00") == (options.start, options.end)
    assert (True, True, False) == (options.promote, options.dry_run, options.wait)


def test_what_is_not_given_has_its_default():
    """Every declared option is there, so a handler never asks whether it is."""
    options = read("spend --table t.x")

    expected = ("local", "sql", (), None, None, None, True, False, False, None, False, None)
    got = (options.engine, options.lang, options.key, options.start, options.end, options.time, options.wait)
    assert expected == (*got, options.dry_run, options.promote, options.out, options.new, options.body_file)


def test_an_equals_sign_and_a_short_flag_with_its_value_are_read():
    """`--table=t.x` and `-ka` are the usual forms."""
    options = read("spend --table=t.x -ka")

    assert ("t.x", ("a",)) == (options.table, options.key)


def test_the_name_may_stand_behind_its_flag():
    """`--name` means the same as the first word."""
    assert "spend" == read("--name spend --table t.x").name


def test_plan_is_a_dry_run():
    """`plan` gives the handler of `run` the preset options."""
    options = read("spend --table t.x", verb="plan")

    assert (True, True, False) == (options.dry_run, options.wait, options.new)


def test_lists_and_numbers_are_converted():
    """`--features a,b` is a tuple; numbers are numbers."""
    options = read("churn --table t.x --label y --time ts --features a,b --split 0.8 --epochs 2", noun="training")

    assert (("a", "b"), 0.8, 2, 256, 7) == (
        options.features,
        options.split,
        options.epochs,
        options.batch_rows,
        options.seed,
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("spend --tabel t.x", "no option --tabel | did you mean --table?"),
        ("spend --table t.x --engine locl", "'locl' is not offered; did you mean local?"),
        ("spend", "the following arguments are required: --table"),
        ("--table t.x", "needs a name"),
        ("a --name b --table t.x", "two names: 'a' and --name 'b'"),
        ("spend extra --table t.x", "does not take 'extra'"),
        ("spend --table t.x --from 2011-13-01", "'2011-13-01' is not an ISO date; write 2011-03-01"),
        ("spend --table", "expected one argument"),
        ("spend --tab t.x", "no option --tab | did you mean --table?"),
    ],
)
def test_a_wrong_line_is_refused_with_what_to_write(line, expected):
    """Each fault names the word and the mend."""
    assert expected in fault(line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--limit many", "'many' is not a whole number"),
        ("--limit 0", "0 is too small; at least 1"),
        ("--limit -5", "-5 is too small; at least 1"),
    ],
)
def test_a_wrong_number_is_refused(line, expected):
    """Numbers are checked when they are read."""
    assert expected in fault(line, verb="list")


def test_help_is_a_text_and_not_an_exit():
    """`--help` raises the text, whatever else the line lacks."""
    with pytest.raises(HelpAsked) as asked:
        read("--help")

    assert "usage: %backfill NAME --table NAMESPACE.TABLE [options]" in str(asked.value)


def test_pairs_make_one_mapping():
    """`KEY=VALUE` options are collected by key; the value may hold further equals signs."""
    options = read("spend --table t.x --type a=float --type b=list<float> --check nulls.max_share=0.1 --source t.e=at")

    assert {"a": "float", "b": "list<float>"} == options.type
    assert ({"nulls.max_share": "0.1"}, {"t.e": "at"}) == (options.check, options.source)
    assert {} == read("spend --table t.x").type


@pytest.mark.parametrize("line", ["--type a", "--type =int", "--type a=", "--type a=int --type a=long"])
def test_a_pair_that_is_none_is_refused(line: str):
    """A missing key or value, and two values for one key, are faults of the line."""
    assert "a" in fault(f"spend --table t.x {line}")


def test_several_runs_are_one_argument():
    """A promotion takes as many runs as are named, and at least one; an expiry may have none."""
    assert ("a@1", "b") == read("a@1 b", verb="promote").run
    assert () == read("", verb="expire").run
    assert "RUN" in fault("", verb="promote")


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 604_800.0), ("--older-than 36h", 129_600.0), ("--older-than 0s", 0.0)]
)
def test_an_age_is_read_as_seconds(text: str, seconds: float):
    """Ages have a unit; without one given, it is a week."""
    assert seconds == read(text, verb="expire").older_than


@pytest.mark.parametrize("text", ["7", "week", "-1d", "1y"])
def test_an_age_without_a_known_unit_is_refused(text: str):
    """The units are named."""
    assert "30m, 36h, 7d" in fault(f"--older-than={text}", verb="expire")
