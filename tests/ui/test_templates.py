"""`{{ name }}` in lines and bodies."""

from __future__ import annotations

import pytest

from nbplat.errors import RequestError
from nbplat.ui.template import render, split


def test_a_value_is_filled_in():
    """Names, attributes and expressions are the notebook's."""
    assert "WHERE day >= 7 AND id IN (1, 2)" == render(
        "WHERE day >= {{ days + 2 }} AND id IN ({{ ids | join(', ') }})", {"days": 5, "ids": [1, 2]}, what="the body"
    )


def test_text_without_marks_is_returned_as_it_is():
    """Braces and dollars alone are SQL's and the shell's."""
    text = "SELECT '{a}', $b, {'c': 1}\n"

    assert text == render(text, {}, what="the body")


def test_values_are_not_escaped():
    """Quotes and angle brackets arrive as they are: the text is SQL, not HTML."""
    assert "a < 'b' & \"c\"" == render("{{ x }}", {"x": "a < 'b' & \"c\""}, what="the body")


def test_an_undefined_name_is_refused_with_its_line_and_the_nearest_name():
    """The message names the name, the line and what may have been meant."""
    with pytest.raises(RequestError) as caught:
        render("SELECT 1\n\nFROM {{ tabble }}", {"table": "x"}, what="the body")

    error = caught.value
    assert ("template.undefined", "line 3") == (error.code, error.where)
    assert "the body uses {{ tabble }}" in error.message
    assert "did you mean table?" in error.fix


def test_an_undefined_attribute_is_refused():
    """Strict goes for what is inside values too."""
    with pytest.raises(RequestError, match="has no attribute 'b'"):
        render("{{ a.b }}", {"a": {}}, what="the body")


def test_a_syntax_fault_names_its_line():
    """An open block is named with its line."""
    with pytest.raises(RequestError) as caught:
        render("SELECT\n{% if %}", {}, what="the body")

    assert ("template.syntax", "line 2") == (caught.value.code, caught.value.where)


def test_the_sandbox_refuses_the_interpreters_inside():
    """A template reaches the values, not the interpreter."""
    with pytest.raises(RequestError) as caught:
        render("{{ x.__class__.__mro__ }}", {"x": 1}, what="the body")

    assert caught.value.code in {"template.refused", "template.undefined"}


def test_private_names_are_not_offered():
    """Names with a leading underscore are IPython's."""
    with pytest.raises(RequestError, match="_hidden"):
        render("{{ _hidden }}", {"_hidden": 1}, what="the body")


def test_an_error_of_the_users_value_is_named():
    """An expression that fails says how."""
    with pytest.raises(RequestError, match="ZeroDivisionError"):
        render("{{ 1 / zero }}", {"zero": 0}, what="the body")


def test_a_line_is_split_before_it_is_filled_in():
    """A value with spaces or quotes stays one word; a literal in quotes does too."""
    assert ["spend", "--from", "2011-01-01 12:00", "--time", "a b", "it's"] == split(
        "spend --from {{ start }} --time 'a b' {{ q }}", {"start": "2011-01-01 12:00", "q": "it's"}
    )


def test_an_expression_with_spaces_and_quotes_is_one_word():
    """The line's own splitting does not cut a template apart."""
    assert ["--name", "a-b"] == split("--name {{ '-'.join(['a', 'b']) }}", {})


def test_an_open_quote_is_refused():
    """Splitting faults are usage faults."""
    with pytest.raises(RequestError) as caught:
        split("spend 'open", {})

    assert "usage.quotes" == caught.value.code
