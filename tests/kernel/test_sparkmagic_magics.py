"""The magics of sparkmagic's notebooks, in a shell without sparkmagic: a real service, plain-Python drivers."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest
from IPython.core.error import UsageError

from nbplat.testing.shell import StrictShell, strict_shell
from nbplat.ui import session_here
from nbplat.ui.client import ServiceClient
from nbplat.ui.kernel.target import install
from nbplat.ui.render.printed_table import PrintedTables

pytestmark = pytest.mark.process


@pytest.fixture
def shell(service: ServiceClient) -> Iterator[StrictShell]:
    """A notebook that has no session yet, and leaves none."""
    for known in (session_here._current, session_here._own, session_here._configured):
        known.clear()
    with strict_shell() as strict:
        yield strict
        for session in service.get("/api/v1/sessions")["sessions"]:
            service.delete(f"/api/v1/sessions/{session['id']}")
    for known in (session_here._current, session_here._own, session_here._configured):
        known.clear()


def sessions(service: ServiceClient) -> dict[str, dict[str, str]]:
    """Every living session by name."""
    living = [each for each in service.get("/api/v1/sessions")["sessions"] if not each["ended"]]
    return {each["name"]: service.get(f"/api/v1/sessions/{each['id']}") for each in living}


def test_a_notebook_of_the_pyspark_kernel_runs(shell: StrictShell, service: ServiceClient) -> None:
    """Configured first, then started by the first cell; `-f` starts it anew, without it is refused."""
    install(shell.ipython).remote = True
    shell.set(age="8h")
    told = shell.run(
        '%%configure\n{"ttl": "{{ age }}", "conf": {"spark.x": true}, "heartbeatTimeoutInSecond": 9}'
    ).value
    assert "the next session is started with these settings" in told.text
    assert {} == sessions(service)
    shell.run("n = 6")
    assert "42" == shell.run("n * 7").value.text
    [(name, record)] = sessions(service).items()
    assert ("study", "8h") == (name, record["ttl"])
    refused = shell.fails('%%configure\n{"driverMemory": "2g"}').error
    assert isinstance(refused, UsageError)
    assert "add -f" in str(refused).lower()
    shell.run('%%configure -f\n{"conf": {"spark.x": "again"}, "name": "tuned"}')
    [(name, fresh)] = sessions(service).items()
    assert ("tuned", None) == (name, fresh["ttl"])
    assert "tuned" in shell.run("%%info").value.text
    assert "spark.x" in shell.run("%info").value.text
    shell.run("%%logs")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "no JSON"),
        ("[]", "not a JSON object"),
        ('{"driverMemroy": "1g"}', "did you mean driverMemory"),
        ('{"executorCores": "many"}', "not a whole number"),
        ('{"conf": []}', "not an object of settings"),
        ('{"jars": "one.jar"}', "not a list"),
    ],
)
def test_settings_that_cannot_be_are_refused(shell: StrictShell, body: str, said: str) -> None:
    """Before anything is ended or started."""
    assert said in str(shell.fails(f"%%configure -f\n{body}").error)
    assert {} == session_here._configured


def test_values_go_to_the_session(shell: StrictShell) -> None:
    """A text under its own or another name, with every character it has; a DataFrame, cut where it is asked."""
    shell.set(words='it\'s "so"\n', frame=pd.DataFrame({"n": [1, 2, 3]}))
    shell.run("%%send_to_spark -i words")
    assert repr('it\'s "so"\n') == shell.run("%%spark\nwords").value.text
    shell.run("%%send_to_spark -i frame -t df -n few -m 2")
    assert "2" == shell.run("%%spark\nfew.num_rows").value.text
    assert "the notebook has no 'frme'" in str(shell.fails("%%send_to_spark -i frme").error)


def test_cells_take_sparkmagics_flags(shell: StrictShell) -> None:
    """Session, context and language by flag; long flags and coercion are understood."""
    shell.run("%spark add -s named -l python -u http://elsewhere:8998 -t None")
    assert "5" == shell.run("%%spark -s named\n5").value.text
    assert "6" == shell.run("%%spark -c False --maxrows 5 -e True -l python\n6").value.text
    shell.run("%%spark -s named --output rows --maxrows -1\nimport pyarrow as pa\nrows = pa.table({'n': [1, 2]})")
    assert [1, 2] == list(shell.variables["rows"]["n"])
    assert "did you mean scala?" in str(shell.fails("%%spark -l skala\n1").error)
    assert "is left aside" in shell.run("%spark add -s named -k -u http://elsewhere:8998").stderr
    assert "named" in shell.run("%spark info").value.text
    shell.run("%spark logs -s named")
    assert "stopped" in shell.run("%spark delete -s named").value.text


def test_sessions_are_ended_with_care(shell: StrictShell, service: ServiceClient) -> None:
    """Nothing ends without `-f`, the notebook's own not by its number; cleanup ends the rest."""
    shell.run("%%spark\n1")
    other = service.post("/api/v1/sessions", {"name": "other"})["id"]
    own = session_here._current.popitem()
    session_here._current.update([own])
    for line, said in (
        ("%%cleanup", "Add -f"),
        (f"%%delete -s {other}", "Add -f"),
        (f"%%delete -f -s {own[1]}", "own"),
        ("%%info\nsome text", "takes no body"),
    ):
        failed = shell.fails(line)
        assert isinstance(failed.error, UsageError), line
        assert said in str(failed.error)
    shell.run(f"%%delete -f -s {other}")
    assert ["study"] == list(sessions(service))
    service.post("/api/v1/sessions", {"name": "third"})
    assert "study" in shell.run("%spark cleanup").value.text
    assert "third" in shell.run("%%cleanup -f").value.text
    assert {} == sessions(service)


def test_printed_tables_are_drawn(shell: StrictShell) -> None:
    """`%%pretty` draws what `show()` prints, and leaves other text as it is."""
    table = "+---+----+\\n|  n|name|\\n+---+----+\\n|  1| a|b|\\n+---+----+\\n"
    ran = shell.run(f"%%pretty\nprint('before')\nprint('''{table}''')")
    [drawn] = ran.outputs
    assert "before" in ran.stdout
    assert "<th" in drawn["text/html"]
    assert "a|b" in drawn["text/html"]
    assert drawn["text/plain"].startswith("+---+----+\n|  n|name|")


def test_half_a_table_is_text() -> None:
    """What only looks like a table is printed, in its place."""
    seen: list[tuple[str, str]] = []
    tables = PrintedTables(lambda name, content: seen.append((name, content)))
    for piece in ("a\n+--", "-+\n| x |\nend\n", "+-+", "\n"):
        tables.write("stdout", piece)
    tables.write("stderr", "!")
    tables.close()
    assert "a\n+---+\n| x |\nend\n+-+\n" == "".join(text for name, text in seen if name == "stdout")


def test_magics_of_another_extension_stay() -> None:
    """Where a name is taken it is left alone, also when ours are taken out."""
    with strict_shell(load=False) as shell:
        shell.ipython.register_magic_function(lambda line, cell=None: "theirs", "line_cell", "info")
        shell.run("%load_ext nbplat")
        assert "theirs" == shell.run("%info").value
        assert shell.ipython.find_cell_magic("configure") is not None
        shell.run("%unload_ext nbplat")
        assert "theirs" == shell.run("%info").value
        assert shell.ipython.find_cell_magic("configure") is None
