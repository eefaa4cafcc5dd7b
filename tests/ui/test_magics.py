"""Magics in a real IPython shell."""

from __future__ import annotations

import pytest
from IPython.core.error import UsageError

from nbplat.errors import DataError, RequestError
from nbplat.testing.clock import FakeClock
from nbplat.testing.shell import strict_shell
from nbplat.ui.magics import register, unregister
from nbplat.ui.magics.live import NotebookLive, ShownResult
from nbplat.ui.render.result import JOB_MIME, Result

CELL = "%%backfill spend --table t.x --key id\nSELECT id, 1 AS one FROM base\n"


def test_a_cell_reaches_its_handler(shell):
    """Options, body, namespace and place arrive in the call."""
    shell.set(answer=42)

    call = shell.run(CELL).value.value

    assert ("backfill", "run", "cell") == (call.noun, call.verb, call.where)
    assert ("spend", "t.x", ("id",)) == (call.options.name, call.options.table, call.options.key)
    assert ("SELECT id, 1 AS one FROM base\n", 42) == (call.body, call.namespace["answer"])


def test_ipythons_own_names_are_not_the_notebooks(shell):
    """`In`, `Out` and `exit` are not offered to templates and handlers."""
    call = shell.run(CELL).value.value

    assert set() == {"In", "Out", "exit", "get_ipython"} & set(call.namespace)


def test_a_cell_may_name_its_verb(shell):
    """`%%backfill plan …` is the dry run."""
    call = shell.run(CELL.replace("%%backfill", "%%backfill plan")).value.value

    assert ("plan", True, "spend") == (call.verb, call.options.dry_run, call.options.name)


def test_a_line_reaches_its_verb(shell):
    """`%backfill status RUN` is a line."""
    call = shell.run("%backfill status spend@1").value.value

    assert ("status", "spend@1", None, "line") == (call.verb, call.options.run, call.body, call.where)


def test_an_empty_line_means_the_list(shell):
    """`%backfill` alone lists; `%nbplat` alone is the status."""
    verbs = [shell.run(line).value.value.verb for line in ("%backfill", "%nbplat", "%backfill --limit 3")]

    assert ["list", "status", "list"] == verbs


def test_nbplat_reaches_every_noun(shell):
    """`%nbplat job list` is the command line's grammar."""
    call = shell.run("%nbplat job logs j000001 --tail 5").value.value

    assert ("job", "logs", 5) == (call.noun, call.verb, call.options.tail)


def test_templates_are_filled_in_and_ipython_expands_nothing(shell):
    """`{{ x }}` is a value; `$x` and `{x}` stay, in the line and in the body."""
    shell.set(x="retail.train", column="amount")

    call = shell.run(
        "%%backfill spend --table {{ x }} --key {x} --time $x\nSELECT {{ column }}, '{x}', '$x'\n"
    ).value.value

    assert ("retail.train", ("{x}",), "$x") == (call.options.table, call.options.key, call.options.time)
    assert "SELECT amount, '{x}', '$x'\n" == call.body


def test_a_python_body_is_taken_as_it_is(shell):
    """Braces of Python code are not templates."""
    line = "%%training churn --table t.x --label y --time ts\n"

    assert 'f"{{ {1} }}"\n' == shell.run(line + 'f"{{ {1} }}"\n').value.value.body


def test_out_binds_the_value(shell):
    """`--out VAR` defines the notebook's variable."""
    ran = shell.run(CELL.replace("--key", "--out found --key"))

    assert ran.value.value is shell.variables["found"]


def test_json_shows_the_data(shell):
    """`--json` shows the result's JSON."""
    assert '"verb": "list"' in shell.run("%backfill list --json").stdout


def test_a_result_has_three_parts(shell, handlers):
    """Text, HTML and, for jobs, the job's record."""
    handlers["backfill", "status"] = "tests.ui.fake_handlers:plain"

    bundle = shell.run("r = %backfill status\nr").value._repr_mimebundle_()

    assert {"text/plain": "done", "text/html": "<b>done</b>", JOB_MIME: {"id": "j000001"}} == bundle


def test_html_is_derived_from_the_text():
    """A result without HTML shows its text, escaped."""
    assert "a &lt; b" in Result(text="a < b").bundle()["text/html"]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%backfill statsu", "backfill has no verb 'statsu'. Did you mean status?"),
        ("%%backfill spend --tabel t.x\nSELECT 1", "%%backfill has no option --tabel. Did you mean --table?"),
        ("%%backfill spend --table 't.x\nSELECT 1", "Close the quote"),
        ("%%backfill status spend\nSELECT 1", "backfill status takes no body. Write it as a line: %backfill status …"),
        ("%backfill run spend --table t.x", "%backfill run needs a body (sql)"),
        ("%%backfill spend --table t.x --out 1x\nSELECT 1", "--out '1x' cannot be a variable"),
        ("%nbplat backfil list", "'backfil' is no command. Did you mean backfill?"),
        ("%nbplat serve", "Run it there: nbplat serve"),
    ],
)
def test_a_wrong_line_is_one_line_of_usage_error(shell, cell, expected):
    """A fault of the line is IPython's UsageError: one line, no traceback, and the cell's status is error."""
    ran = shell.fails(cell)

    assert isinstance(ran.error, UsageError)
    assert expected in str(ran.error)
    assert 1 == len(str(ran.error).splitlines())
    assert "Traceback" not in ran.stdout + ran.stderr


def test_an_error_of_ours_is_one_short_block(shell, handlers):
    """Code, message and fix, no traceback; the class is the tree's own."""
    handlers["backfill", "run"] = "tests.ui.fake_handlers:bad_data"

    ran = shell.fails(CELL)

    assert isinstance(ran.error, DataError)
    assert (
        "keys.duplicate: 2 rows have key example_id = 7\nfix: choose --key columns that are unique"
        == (ran.stdout + ran.stderr).strip()
    )


def test_an_undefined_template_name_stops_the_cell(shell):
    """A template's fault is an error of the request, with its line."""
    ran = shell.fails("%%backfill spend --table t.x\nSELECT\n{{ not_there }}")

    assert isinstance(ran.error, RequestError)
    assert "line 2" in str(ran.error)


def test_a_bug_keeps_its_traceback(shell, handlers):
    """What is not ours to explain is shown whole."""
    handlers["backfill", "run"] = "tests.ui.fake_handlers:bug"

    ran = shell.fails(CELL)

    assert isinstance(ran.error, KeyError)
    assert "fake_handlers.py" in ran.stdout + ran.stderr


def test_help_is_shown_and_nothing_exits(shell):
    """`--help` in a line or a cell shows the help text."""
    assert "usage: %backfill status" in shell.run("%backfill status --help").stdout
    assert "usage: %%backfill NAME" in shell.run("%%backfill --help\nx").stdout
    assert "%backfill promote" in shell.run("%backfill --help").stdout
    assert "usage: %nbplat <noun>" in shell.run("%nbplat --help").stdout


def test_question_mark_shows_the_declared_options(shell):
    """`%%backfill?` shows the sentence first, then each option and the verbs."""
    text = shell.help("%%backfill")

    assert text.splitlines()[0].startswith("Compute new columns over a table's history")
    assert [] == [flag for flag in ("--table", "--dry-run", "--background", "--from") if flag not in text]
    assert "%backfill promote" in text


def test_magics_can_be_taken_out_again(shell):
    """`%unload_ext` leaves no magic behind, and registering twice is harmless."""
    register(shell.ipython)
    unregister(shell.ipython)

    assert (None, None) == (shell.ipython.find_line_magic("backfill"), shell.ipython.find_cell_magic("backfill"))


def test_loading_and_unloading_the_extension():
    """`%load_ext nbplat` and `%unload_ext nbplat` work in a plain shell."""
    with strict_shell(load=False) as shell:
        shell.run("%load_ext nbplat")
        assert shell.ipython.find_cell_magic("sequence") is not None
        shell.run("%unload_ext nbplat")
        assert shell.ipython.find_cell_magic("sequence") is None


def test_live_progress_is_drawn_at_most_twice_a_second_and_always_at_the_end(shell):
    """Updates in between are left out, the last state never; the returned result draws nothing more in its cell."""
    clock = FakeClock()
    shell.set(live=NotebookLive(shell.ipython, clock), Result=Result, clock=clock)

    ran = shell.run(
        "for i in range(10):\n    live.show(Result(text=f'step {i}'))\n    clock.advance(0.2)\n"
        "shown = live.finish(Result(text='end'))\nshown"
    )

    texts = [output["text/plain"] for output in ran.outputs]
    assert ["step 0", "step 3", "step 6", "step 9", "end"] == texts
    assert "end" == str(shell.variables["shown"])
    assert isinstance(shell.variables["shown"], ShownResult)


def test_a_result_shown_live_can_be_shown_again_later(shell):
    """In a later cell the variable displays as any result does."""
    shell.set(live=NotebookLive(shell.ipython), Result=Result)
    shell.run("live.show(Result(text='step'))\nshown = live.finish(Result(text='end'))")

    assert ["end"] == [output["text/plain"] for output in shell.run("shown").outputs]


def test_progress_of_a_terminal_shell_goes_to_stderr(shell, handlers):
    """A shell without a kernel draws progress beside the output, and shows the result as its value."""
    handlers["backfill", "run"] = "tests.ui.fake_handlers:slow"

    ran = shell.run(CELL)

    assert ("spend_90d@1 staged", ()) == (ran.value.text, ran.outputs)
    assert "spend_90d@1 stage running 0/3 units 0 %" in ran.stderr
