"""Forms that write a cell: their text, their logic, and what a page without a kernel shows."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml

from nbplat.errors import RequestError
from nbplat.testing.shell import strict_shell
from nbplat.ui.nouns.session import SESSION
from nbplat.ui.options import Verb
from nbplat.ui.parse import parse
from nbplat.ui.widgets.environment_form import environment_form
from nbplat.ui.widgets.session_form import session_form


def start() -> Verb:
    found = SESSION.verb("start")
    assert found is not None
    return found


def test_an_empty_session_form_writes_the_plain_line():
    """What nobody fills in is not said."""
    assert "%session start" == session_form().cell


def read_session(cell: str) -> dict[str, Any]:
    """The options that the line's own parser reads, but those that nobody gave."""
    words = shlex.split(cell)
    assert ["%session", "start"] == words[:2]
    options = parse(SESSION, start(), words[2:], prog="%session start")
    return {name: given for name in session_form().answers if (given := getattr(options, name))}


def read_environment(cell: str) -> dict[str, Any]:
    head, _, body = cell.partition("\n")
    assert "%%environment ranker" == head
    return dict(yaml.safe_load(body))


SESSION_ANSWERS = {
    "session": "etl",
    "kind": "sql",
    "driver_memory": "4g",
    "executor_cores": "2",
    "conf": "spark.sql.shuffle.partitions=64\nspark.app.name=it's mine",
    "jars": "a.jar\n\n b.jar ",
}
SESSION_READ = {
    "session": "etl",
    "kind": "sql",
    "driver_memory": "4g",
    "executor_cores": 2,
    "conf": {"spark.sql.shuffle.partitions": "64", "spark.app.name": "it's mine"},
    "jars": ("a.jar", "b.jar"),
}
# Quoted where YAML would read something else.
ENVIRONMENT_ANSWERS = {
    "name": "ranker",
    "channels": "conda-forge\n./channel",
    "dependencies": "python=3.11\npandas>=2.2,<3\non",
    "pip": "lightgbm==4.6.0\nodd[a,b]; python_version < '3.12'",
    "platforms": "linux-64",
    "local": "./my code",
    "spark": "4.10",
}
ENVIRONMENT_READ = {
    "channels": ["conda-forge", "./channel"],
    "dependencies": [
        "python=3.11",
        "pandas>=2.2,<3",
        "on",
        {"pip": ["lightgbm==4.6.0", "odd[a,b]; python_version < '3.12'"]},
    ],
    "nbplat": {"platforms": ["linux-64"], "local": ["./my code"], "targets": {"spark": "4.10"}},
}


@pytest.mark.parametrize(
    ("make", "answers", "read", "expected"),
    [
        (session_form, SESSION_ANSWERS, read_session, SESSION_READ),
        (environment_form, ENVIRONMENT_ANSWERS, read_environment, ENVIRONMENT_READ),
    ],
    ids=["session", "environment"],
)
def test_a_form_writes_what_the_magic_reads(make, answers, read, expected):
    """Everything that is filled in comes back from the cell, whatever it holds."""
    assert expected == read(make(**answers).cell)


def test_every_option_of_a_start_is_a_field():
    """An option that is declared for the line is in the form, but those of every line."""
    declared = {option.name for option in (*start().positionals, *start().options)}
    assert declared - {"wait", "name", "out", "json"} == set(session_form().answers)


def test_what_is_no_field_or_choice_is_refused():
    """With the near name."""
    with pytest.raises(RequestError, match="no field 'driver_memroy'") as caught:
        session_form(driver_memroy="4g")
    assert "driver_memory" in caught.value.fix
    with pytest.raises(RequestError, match="kind cannot be 'pysprak'") as caught:
        session_form(kind="pysprak")
    assert "pyspark" in caught.value.fix


def test_the_widget_and_the_cell_are_one():
    """What is typed changes the cell's text, and what is set in code changes the fields."""
    form = session_form(session="etl")
    box = form.widget
    form.controls["driver_memory"].value = "4g"
    assert "%session start etl --driver-memory 4g" == form.cell == box.children[-1].value
    form.set(kind="sql", driver_memory="")
    assert ("sql", "", "%session start etl --kind sql") == (
        form.controls["kind"].value,
        form.controls["driver_memory"].value,
        box.children[-1].value,
    )
    assert box is form.widget


@pytest.mark.parametrize("form", [session_form(), environment_form()], ids=["session", "environment"])
def test_every_control_has_a_label(form):
    """A screen reader reads each field's name, and each explains itself."""
    assert form.widget is not None
    labels = [control.description for control in form.controls.values()]
    assert ([], len(labels)) == ([label for label in labels if not label], len(set(labels)))
    assert [] == [name for name, control in form.controls.items() if not control.tooltip]


@pytest.mark.parametrize("form", [session_form(session="<b>"), environment_form(name="<b>")], ids=["session", "env"])
def test_a_page_without_a_kernel(form):
    """It shows the fields and the cell, small, without a script, and text as text."""
    page = form.bundle()["text/html"]
    assert {"text/plain", "text/html"} == set(form.bundle())
    assert ([], True) == (re.findall(r"<script|<b>|\bon\w+=", page), len(page) < 12_000)
    assert '<th scope="row"' in page
    assert form.cell in form.bundle()["text/plain"]


def test_the_lines_of_a_notebook():
    """`%session form NAME` and `%environment form NAME` give the form, which inserts its cell below."""
    with strict_shell() as shell:
        inserted = []
        shell.ipython.set_next_input = lambda text, replace: inserted.append((text, replace))
        shell.run("%session form etl --out form")
        shell.run("form.set(driver_memory='2g'); form.insert()")
        assert [("%session start etl --driver-memory 2g", False)] == inserted
        shown = shell.run("%environment form ranker").value
        assert shown.text.splitlines()[-5:] == [
            "channels: [conda-forge]",
            "dependencies:",
            "  - python",
            "  - numpy",
            "  - pyarrow",
        ]
