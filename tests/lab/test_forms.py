"""The panel's forms hold what the magics take, and what they make is read back by the magics' own parser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nbplat.ui.dispatch import choose_cell_verb, choose_line_verb
from nbplat.ui.nouns import find_noun
from nbplat.ui.parse import parse
from nbplat.ui.server.forms import FORMS, forms_record
from nbplat.ui.template import split

CASES = json.loads((Path(__file__).parents[2] / "labextension/tests/form_cells.json").read_text())
RECORDS = {record["id"]: record for record in forms_record()["forms"]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["form"]["id"])
def test_a_cell_of_a_form_is_read_as_it_was_filled_in(case: dict[str, Any]) -> None:
    """The cell that the page's own tests hold against the form's values gives the magic these values."""
    line, _, body = case["cell"].partition("\n")
    first, *words = split(line.lstrip("%"), {})
    noun = find_noun(first)
    verb, words = choose_cell_verb(noun, words) if line.startswith("%%") else choose_line_verb(noun, words, "magic")

    options = vars(parse(noun, verb, words, prog="form"))

    assert case["options"] == {name: json.loads(json.dumps(options[name])) for name in case["options"]}
    assert case["body"].strip() == body


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["form"]["id"])
def test_the_page_is_tested_on_forms_that_are_there(case: dict[str, Any]) -> None:
    """The forms in the page's tests are the server extension's, field by field."""
    record = RECORDS[case["form"]["id"]]
    fields = {field["name"]: field for field in record["fields"]}

    assert {**record, "fields": [fields[field["name"]] for field in case["form"]["fields"]]} == {
        **case["form"],
        "fields": case["form"]["fields"],
    }


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.id)
def test_a_form_names_options_that_are_there(form: Any) -> None:
    """What is shown first, given or needed is an option of the verb; what must be given is shown at once."""
    fields = {field["name"]: field for field in RECORDS[form.id]["fields"]}

    assert set() == {*form.first, *form.given, *form.needs} - set(fields)
    assert all(field["first"] for field in fields.values() if field["required"])
    assert (form.declared.body != "none") == bool(form.body)
