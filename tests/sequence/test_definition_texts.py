"""The small texts inside a definition: durations, paths, features, enrichments, conditions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbplat.declared.key_path import join_path, split_path
from nbplat.sequence.durations import MAX_DURATION_US, duration_text, duration_us
from nbplat.sequence.small_text import SmallTextError, quote, read_call, words
from nbplat.sequence.source_text import source_kind
from nbplat.sequence.where_text import where_columns


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("90d", 7_776_000_000_000),
        ("1h30m", 5_400_000_000),
        ("2w1d", 1_296_000_000_000),
        ("1s1ms1us", 1_001_001),
        ("0s", 0),
    ],
)
def test_durations_are_microseconds(text: str, us: int) -> None:
    """Units from weeks to microseconds, one after the other."""
    assert us == duration_us(text)


@given(us=st.integers(0, MAX_DURATION_US))
def test_a_duration_reads_back(us: int) -> None:
    """The text of any duration is that duration."""
    assert us == duration_us(duration_text(us))


@pytest.mark.parametrize(
    "text", ["", "d", "5", "5 m", "5M", "1m1h", "1m1m", "-5m", "1.5h", "٣d", "100001d", "9" * 99 + "us"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Units are needed, in order, each once, in ASCII."""
    with pytest.raises(ValueError, match=r"no unit|no duration|out of order|more than"):
        duration_us(text)


@given(names=st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_a_path_of_any_names_reads_back(names: list[str]) -> None:
    """Names with dots, quotes and blanks stand in quotes."""
    assert tuple(names) == split_path(join_path(*names))


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", 'a"b', '"a', '"a"b', "a b"])
def test_what_is_no_path_is_refused(text: str) -> None:
    """An empty name and an open quote are no path."""
    with pytest.raises(ValueError, match="is no path"):
        split_path(text)


@given(name=st.text(min_size=1))
def test_a_quoted_name_is_one_word(name: str) -> None:
    """Any name stands in the small texts, in backticks if need be."""
    found, end = words(quote(name))
    assert (name, "end") == (found.value, end.kind)


def test_a_call_has_values_and_named_values() -> None:
    """Names, numbers, quoted names and lists; the parentheses may be left out."""
    call = read_call("f(`a b`, -1.5e3, [1, x], to = 7, size=none)")
    assert ("f", ["a b", -1500.0, [1, "x"]]) == (call.function, [word.value for word in call.values])
    assert {"to": 7, "size": "none"} == {name: word.value for name, word in call.named.items()}
    assert ("f", [], {}) == read_call(" f ") == read_call("f()")


@pytest.mark.parametrize(
    ("text", "offset"),
    [("", 0), ("5", 0), ("f(", 2), ("f(a", 3), ("f(a b)", 4), ("f(a,,)", 4), ("f) ", 1), ("f(5m)", 2)],
)
def test_what_is_no_call_is_refused_at_its_character(text: str, offset: int) -> None:
    """The error has the place of the word that does not fit."""
    with pytest.raises(SmallTextError) as caught:
        read_call(text)
    assert offset == caught.value.offset


@pytest.mark.parametrize(
    ("where", "columns"),
    [
        ("amount > 0 and `a b` = 'c'", ("a b", "amount")),
        ("meta.price > 1 or lower(Country) = 'x'", ("Country", "meta")),
        ("true", ()),
        ("exists(tags, t -> t = kind)", ("kind", "tags")),
    ],
)
def test_the_columns_of_a_condition(where: str, columns: tuple[str, ...]) -> None:
    """Names as they are written, of a field the column around it, without a lambda's own."""
    assert columns == where_columns(where)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a.b", "table"),
        ("a.b.c", "table"),
        ("a", "frame"),
        ("a.parquet", "path"),
        ("./a", "path"),
        ("gs://a/b", "path"),
    ],
)
def test_the_kind_of_a_source(text: str, kind: str) -> None:
    """Told by the text alone."""
    assert kind == source_kind(text)
