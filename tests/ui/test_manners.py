"""How magics behave, whatever they do: one-line faults, values, errors that can be read whole, names of others."""

from __future__ import annotations

import pytest
from IPython.core.error import UsageError

from nbplat.testing.shell import StrictShell, strict_shell
from nbplat.ui.magics import register
from nbplat.ui.render.result import Result
from nbplat.ui.statement_end import StatementFailed

CELL = "%%backfill spend --table t.x --key id\nSELECT id, 1 AS one FROM base\n"


def test_all_misspelt_options_are_named_at_once(shell: StrictShell) -> None:
    """Each with the option that was meant, in one line."""
    failed = shell.fails("%%backfill spend --tabel t.x --keey id\nSELECT 1")
    assert isinstance(failed.error, UsageError)
    assert "%%backfill has no options --tabel, --keey. Did you mean --table and --key?" == str(failed.error)


@pytest.mark.parametrize(
    ("cell", "near"), [("%%bakfill x\ny", "%%backfill?"), ("%sesion list", "%session?"), ("%%lcoal\nx", "%%local?")]
)
def test_a_misspelt_magic_names_the_one_that_was_meant(shell: StrictShell, cell: str, near: str) -> None:
    """One line, status error; a magic that looks like none is IPython's to refuse."""
    failed = shell.fails(cell)
    assert isinstance(failed.error, UsageError)
    assert f"Did you mean {near}" in str(failed.error)
    assert "not found" in str(shell.fails("%%qqqqqq\nx").error)


def test_a_magic_gives_its_value_to_the_notebook(shell: StrictShell) -> None:
    """By assignment, and in `_` after a cell; it is never None."""
    shell.run("run = %backfill status spend@1")
    assert "status" == shell.variables["run"].value.verb
    assert isinstance(shell.run(CELL).value, Result)
    assert "run" == shell.run("_.value.verb").value


def test_the_last_error_is_shown_whole(shell: StrictShell, handlers: dict[tuple[str, str], str]) -> None:
    """What a cell's block cut is there, of the session's errors as of ours; without an error it says so."""
    handlers["nbplat", "last-error"] = "nbplat.ui.handlers.last_error:last_error"
    lines = [f"line {n}\n" for n in range(100)]
    shell.set(
        error=StatementFailed("etl[3]", {"ename": "ValueError", "evalue": "no", "traceback": lines, "status": "error"})
    )
    failed = shell.fails("raise error")
    assert "line 99" in shell.run("%nbplat last-error").value.text
    assert failed.error is shell.variables["error"]
    handlers["backfill", "run"] = "tests.ui.fake_handlers:bad_data"
    shell.fails(CELL)
    assert "fix: choose --key" in shell.run("%nbplat last-error").value.text


def test_a_magic_of_another_extension_is_taken_with_a_word() -> None:
    """The notebook is told that `%%sql` has changed hands; sparkmagic's own kernel keeps those it runs by."""
    with strict_shell(load=False) as shell:

        def sql(line: str, cell: str | None = None) -> str:
            return "theirs"

        sql.__module__ = "sql.magic"
        shell.ipython.register_magic_function(sql, "line_cell", "sql")
        said = shell.run("from nbplat.ui.magics import register\nregister(get_ipython())")
        assert "%%sql was sql's and is nbplat's now" in said.stderr
        assert "" == shell.run("register(get_ipython())").stderr

        def spark(line: str, cell: str | None = None) -> str:
            return "theirs"

        spark.__module__ = "sparkmagic.kernels.kernelmagics"
        shell.ipython.register_magic_function(spark, "line_cell", "spark")
        register(shell.ipython)
        assert "theirs" == shell.run("%%spark\nx").value
