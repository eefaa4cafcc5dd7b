"""The command line, in process and as a program."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from nbplat.errors import NbplatError, from_record
from nbplat.ui.cli import main


def test_a_command_reaches_its_handler(handlers, capsys):
    """`nbplat backfill status RUN` prints the result's text and exits with 0."""
    code = main(["backfill", "status", "spend@1"], handlers)

    assert (0, "backfill status\n") == (code, capsys.readouterr().out)


def test_a_body_is_read_from_a_file(handlers, capsys, tmp_path):
    """`--sql FILE` stands in for the cell."""
    (tmp_path / "spend.sql").write_text("SELECT 1\n")

    main(["backfill", "run", "spend", "--table", "t.x", "--sql", str(tmp_path / "spend.sql"), "--json"], handlers)

    assert {"verb": "run", "body": "SELECT 1\n"} == json.loads(capsys.readouterr().out)


def test_a_body_is_read_from_standard_input(tmp_path):
    """`--sql -` reads a pipe."""
    code = (
        "import sys\nfrom nbplat.ui.cli import main\n"
        "sys.exit(main(['backfill', 'run', 'spend', '--table', 't.x', '--sql', '-', '--json'],"
        " {('backfill', 'run'): 'tests.ui.fake_handlers:echo'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input="SELECT 2\n", capture_output=True, text=True, timeout=60, check=True
    )

    assert "SELECT 2\n" == json.loads(done.stdout)["body"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["backfil", "list"], "did you mean backfill?"),
        (["backfill", "lst"], "did you mean list?"),
        (["backfill", "run", "x", "--tabel", "t.x"], "did you mean --table?"),
        (["backfill", "run", "x", "--table", "t.x"], "give --sql FILE"),
        (["backfill", "run", "x", "--table", "t.x", "--sql", "no-such.sql"], "cannot be read"),
        (["backfill", "run", "x", "--table", "t.x", "--out", "v", "--sql", "-"], "use --json"),
        (["demo"], "one of: init, run"),
        (["training", "run", "h", "--table", "t.x", "--time", "ts"], "--label"),
    ],
)
def test_a_wrong_command_exits_with_2_and_the_mend(handlers, capsys, words, expected):
    """Faults of the request go to stderr, with exit code 2 and nothing on stdout."""
    code = main(words, handlers)

    captured = capsys.readouterr()
    assert (2, "") == (code, captured.out)
    assert expected in captured.err


def test_an_error_has_its_classes_exit_code(handlers, capsys):
    """A data error exits with 4 and says what to do."""
    handlers["backfill", "show"] = "tests.ui.fake_handlers:bad_data"

    code = main(["backfill", "show", "spend"], handlers)

    expected = "keys.duplicate: 2 rows have key example_id = 7\nfix: choose --key columns that are unique\n"
    assert (4, expected) == (code, capsys.readouterr().err)


def test_an_error_as_json_is_the_record(handlers, capsys):
    """`--json` prints the error's record, from which it can be raised again."""
    handlers["backfill", "show"] = "tests.ui.fake_handlers:bad_data"

    main(["backfill", "show", "spend", "--json"], handlers)

    error = from_record(json.loads(capsys.readouterr().out)["error"])
    assert isinstance(error, NbplatError)
    assert ("keys.duplicate", 4) == (error.code, error.exit_code)


def test_a_fix_is_a_command_of_the_shell(handlers, capsys):
    """On stderr in the shell's words; the record of `--json` is that of HTTP and of notebooks, with theirs."""
    handlers["session", "logs"] = "tests.ui.fake_handlers:nothing_lives"

    code = main(["session", "logs", "--json"], handlers)

    captured = capsys.readouterr()
    assert (2, "fix: start one: nbplat session start NAME") == (code, captured.err.splitlines()[1])
    assert "start one: %session start NAME" == json.loads(captured.out)["error"]["fix"]


def test_help_shows_lines_as_the_shell_has_them(handlers, capsys):
    """The example of a line is a command; that of a cell is a cell."""
    main(["backfill", "promote", "--help"], handlers)
    main(["session", "start", "--help"], handlers)
    main(["backfill", "run", "--help"], handlers)

    text = capsys.readouterr().out
    assert "  nbplat backfill promote spend_90d visits_30d" in text
    assert "(nbplat session profiles)" in " ".join(text.split())
    assert "  %%backfill spend_90d --table retail.train" in text


def test_a_bug_exits_with_70_and_its_traceback(handlers, capsys):
    """A bug of ours is not dressed up."""
    handlers["backfill", "show"] = "tests.ui.fake_handlers:bug"

    code = main(["backfill", "show", "spend"], handlers)

    assert 70 == code
    assert "KeyError" in capsys.readouterr().err


def test_an_interrupt_exits_with_130(handlers, capsys):
    """Ctrl-C leaves the work to the service and says so."""
    handlers["backfill", "attach"] = "tests.ui.fake_handlers:interrupted"

    assert 130 == main(["backfill", "attach", "spend"], handlers)
    assert "goes on" in capsys.readouterr().err


def test_help_at_every_level(handlers, capsys):
    """The program, a noun and a verb each explain themselves and exit with 0."""
    codes = [
        main(words, handlers)
        for words in ([], ["--help"], ["backfill", "--help"], ["backfill", "show", "-h"], ["serve", "-h"])
    ]

    assert [0] * 5 == codes
    assert "usage: nbplat backfill show RUN [options]" in capsys.readouterr().out


def test_commands_without_a_noun(handlers, capsys):
    """`nbplat status` and `nbplat doctor` stand by themselves; `nbplat service` means its status."""
    codes = [main([word], handlers) for word in ("status", "doctor", "config", "service")]

    assert [0] * 4 == codes
    assert ["nbplat status", "nbplat doctor", "nbplat config", "service status"] == capsys.readouterr().out.splitlines()


def test_the_version_is_the_packages(capsys):
    """`nbplat --version` names the version that is installed."""
    from importlib.metadata import version

    main(["--version"])

    assert f"nbplat {version('nbplat')}\n" == capsys.readouterr().out


def test_a_reader_that_goes_away_is_no_error():
    """`nbplat … | head -1` ends quietly."""
    program = [sys.executable, "-m", "nbplat.ui.cli", "backfill", "--help"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        complaint = process.stderr.read()

    assert (0, "") == (process.wait(timeout=60), complaint)
