"""The `nbplat-spark` kernel over its channels: a real service and kernel, sessions in plain-Python drivers."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from nbplat.ui.client import ServiceClient
from tests.fixtures.kernels import Kernel, started_kernel
from tests.fixtures.waiting import wait_until

pytestmark = [pytest.mark.kernel, pytest.mark.process]


def names(service: ServiceClient) -> list[str]:
    """The living sessions by name."""
    return [each["name"] for each in service.get("/api/v1/sessions")["sessions"] if not each["ended"]]


def test_plain_cells_run_in_a_session_and_local_cells_here(kernel: Kernel, service: ServiceClient) -> None:
    """The first cell starts a session named after the notebook; values, prints and names are the session's."""
    first = kernel.run("import os\nprint('out')\nwhere = os.getpid()\nwhere")
    assert "starting session study (" in first.stderr
    assert ["study"] == names(service)
    here = int(kernel.run("%%local\nimport os\nos.getpid()").value)
    assert ("out\n", True) == (first.stdout, here == kernel.manager.provisioner.pid)
    assert int(first.value) != here
    assert "False" == kernel.run("%%local\n'where' in globals()").value
    assert first.value == kernel.run("where").value
    assert "[1]" == kernel.run("%%local\nimport asyncio\nawait asyncio.sleep(0)\n[1]").value


def test_magics_shell_lines_and_questions_stay_here(kernel: Kernel) -> None:
    """Among lines of the session they keep their order; an assignment of a magic is a name here."""
    kernel.run("value = 7\ndef grow(by: int = 2):\n    'Grow it.'\n    return value + by")
    ran = kernel.run("# a comment\n!echo here\nprint('there', value)\nshown = %session list")
    assert ("here", "there 7") == (ran.stdout.split("\r\n")[0].strip(), ran.stdout.splitlines()[-1])
    assert "study" in kernel.run("%%local\nshown.text").value
    [page] = kernel.run("grow?").reply["payload"]
    assert "Grow it." in page["data"]["text/plain"]
    [page] = kernel.run("%session?").reply["payload"]
    assert "sessions that outlive the notebook" in page["data"]["text/plain"]
    assert "move it out of the block" in kernel.fails("if value:\n    !ls").reply["evalue"]


def test_a_failed_cell_is_one_short_error(kernel: Kernel) -> None:
    """Status error, the session's own class and lines, nothing of ours, and lines numbered as in the cell."""
    failed = kernel.fails("%session\n\nvalues = []\nvalues[3]")
    assert ("StatementFailed", True) == (failed.reply["ename"], "IndexError in study[" in failed.traceback)
    assert "line 4" in failed.traceback
    assert "statement_end" not in failed.traceback
    unknown = kernel.fails("%%backfil spend\nSELECT 1")
    assert "Did you mean %%backfill?" in unknown.reply["evalue"]


def test_a_failed_cell_stops_a_runner(service: ServiceClient, tmp_path: Path) -> None:
    """nbclient stops there; the cell below does not run, and the session of that kernel is ended with it."""
    cells = [nbformat.v4.new_code_cell(text) for text in ("n = 1", "1 / 0", "print('never')")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        NotebookClient(notebook, timeout=60, kernel_name="nbplat-spark").execute(
            env={**os.environ, "JPY_SESSION_NAME": str(tmp_path / "stopped.ipynb")}
        )
    _, failed, below = notebook.cells
    assert ["error"] == [output.output_type for output in failed.outputs]
    assert below.execution_count is None
    wait_until(lambda: "stopped" not in names(service), what="its session is ended")


def test_what_the_session_shows_arrives_while_the_cell_runs(kernel: Kernel, tmp_path: Path) -> None:
    """Prints and displays come before the end of the cell, which waits for a file."""
    gate = tmp_path / "gate"
    sent = kernel.send(
        f"import os, time\nprint('begun', flush=True)\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.02)\n"
        "class Rich:\n    def _repr_html_(self): return '<b>rich</b>'\nRich()"
    )
    kernel.printed("begun")
    gate.touch()
    shown = kernel.ended(sent).outputs
    assert "<b>rich</b>" == next(out["data"]["text/html"] for kind, out in shown if kind == "execute_result")


def test_the_session_answers_at_the_cursor_also_while_a_cell_runs(kernel: Kernel, tmp_path: Path) -> None:
    """Names and attributes of the session are offered and explained, in a local cell those of this process."""
    kernel.run("only_there = {'colour': 1}\ndef paint(colour):\n    'Paint it.'")
    assert ["only_there"] == kernel.complete("x = 1\nonly_th")
    kernel.run("%%local\nonly_here = 1")
    assert ["only_here"] == kernel.complete("%%local\nonly_")
    assert "Paint it." in kernel.inspect("paint")
    gate = tmp_path / "gate"
    sent = kernel.send(
        f"import os, time\nprint('busy', flush=True)\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.02)"
    )
    kernel.printed("busy")
    assert ["only_there"] == kernel.complete("only_")
    assert "paint(colour)" in kernel.inspect("paint")
    gate.touch()
    assert "ok" == kernel.ended(sent).reply["status"]


def test_an_interrupt_ends_the_code_of_the_session(kernel: Kernel) -> None:
    """The cell is an error once its code has ended there; the session and its names stay."""
    kernel.run("kept = 5")
    sent = kernel.send(
        "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(60)\nfinally:\n    print('tidied')"
    )
    kernel.printed("begun")
    kernel.manager.interrupt_kernel()
    ended = kernel.ended(sent)
    assert ("error", "Cancelled", "tidied\n") == (ended.reply["status"], ended.reply["ename"], ended.stdout)
    assert "5" == kernel.run("kept").value


def test_a_restarted_kernel_goes_on_in_its_session(service: ServiceClient, tmp_path: Path) -> None:
    """The session's names are there again, this process's are not; at the end of the kernel the session ends."""
    with started_kernel("nbplat-spark", JPY_SESSION_NAME=str(tmp_path / "again.ipynb")) as kernel:
        kernel.run("there = 1")
        kernel.run("%%local\nhere = 1")
        kernel.manager.restart_kernel()
        kernel.client.wait_for_ready(timeout=60)
        assert "1" == kernel.run("there").value
        assert "False" == kernel.run("%%local\n'here' in globals()").value
        assert "again" in names(service)
    wait_until(lambda: "again" not in names(service), what="its session is ended")


def test_a_session_that_was_asked_for_stays(service: ServiceClient) -> None:
    """A kernel ends no session that a person started or attached."""
    with started_kernel("nbplat-spark") as kernel:
        kernel.run("%session start kept")
        kernel.run("1")
        assert "session kept" in kernel.run("%nbplat target").value
    assert "kept" in names(service)


def test_any_python_kernel_sends_its_cells_to_a_session_when_told(service: ServiceClient) -> None:
    """`%nbplat target` switches a plain kernel, by session or lazily, back again, and says where cells go."""
    with started_kernel("python3") as kernel:
        kernel.run("%load_ext nbplat")
        assert "plain cells run here" in kernel.run("%nbplat target").value
        kernel.run("%session start pointed")
        kernel.run("where = 'here'")
        assert "session pointed" in kernel.run("%nbplat target pointed").value
        kernel.run("where = 'there'\nonly_there = 1")
        assert "'here'" == kernel.run("%%local\nwhere").value
        assert "'there'" == kernel.run("where").value
        assert ["only_there"] == kernel.complete("x = 1\nonly_th")
        assert "value: 1" in kernel.inspect("only_there")
        kernel.run("%nbplat target local")
        assert ["only_there"] == kernel.complete("%%spark\nonly_th")
        assert "value: 1" in kernel.inspect("%%spark\nonly_there")
        assert "" == kernel.inspect("only_there")
        assert "'here'" == kernel.run("where").value
        assert "there is no session 'pointd'" in kernel.fails("%nbplat target pointd").reply["evalue"]
