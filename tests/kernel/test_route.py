"""Where each part of a cell runs, decided from its text alone."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbplat.ui.kernel.route import pieces, place_at, rewrite

HERE, THERE, ASK = "here", "session", "help"


@pytest.mark.parametrize(
    ("code", "places"),
    [
        ("x = 1\nx", [(THERE, 0)]),
        ("", [(HERE, 0)]),
        ("# only a comment", [(HERE, 0)]),
        ("# note\n\n%%sql\nSELECT 1", [(HERE, 2)]),
        ("%%local\nimport os", [(HERE, 1)]),
        ("%local\nimport os", [(HERE, 1)]),
        ("%%local\n%%time\nf()", [(HERE, 0)]),
        ("%%unheard_of\nx", [(HERE, 0)]),
        ("!ls\nx = 1\n%backfill status\ny", [(HERE, 0), (THERE, 1), (HERE, 2), (THERE, 3)]),
        ("run = %backfill status x", [(HERE, 0)]),
        ("files = !ls \\\n  -l\nfiles", [(HERE, 0), (THERE, 2)]),
        ("df?", [(ASK, 0)]),
        ("?df.show", [(ASK, 0)]),
        ("%%backfill?", [(HERE, 0)]),
        ("%json x\n%table df", [(THERE, 0)]),
        ("%matplot plt\n!ls", [(THERE, 0), (HERE, 1)]),
        ("x = 5 \\\n % 3", [(THERE, 0)]),
        ("s = '''\n%sql\n!ls\n'''", [(THERE, 0)]),
        ("f(1,\n %x)", [(THERE, 0)]),
        ("f(", [(THERE, 0)]),
    ],
)
def test_each_part_has_its_place(code: str, places: list[tuple[str, int]]) -> None:
    """Magics, shell lines and questions run here, all else in the session, in the cell's order."""
    assert places == [(piece.place, piece.line) for piece in pieces(code)]


def test_a_magic_in_a_block_of_the_session_is_refused() -> None:
    """It could run in neither place, and the error says what to do."""
    with pytest.raises(SyntaxError, match="move it out of the block"):
        pieces("for x in y:\n    !ls")


def test_lines_keep_their_numbers() -> None:
    """The session's part of a cell is sent below as many blank lines as stood above it."""
    assert "run_cell_magic('spark', '', '\\nx')" in rewrite("!ls\nx")


def test_parameters_that_a_runner_injects_go_to_both_places() -> None:
    """Literals below `# Parameters` are bound here and in the session; code below it is plain code."""
    both = rewrite("# Parameters\nn = 3\ndays = ['a']\n")
    assert both.startswith("# Parameters\nn = 3\n")
    assert "run_cell_magic('spark'" in both
    assert rewrite("# Parameters\nn = load()\n").startswith("get_ipython()")


@example(")===%")
@given(st.text(alphabet="ab=%!?()'\"\n \\#", max_size=40))
def test_any_text_is_cut_into_whole_lines_in_order(code: str) -> None:
    """No line is lost but comments and blanks, and none comes twice; whatever stands there, nothing else is raised."""
    try:
        found = pieces(code)
    except SyntaxError:
        return
    lines = code.splitlines(keepends=True)
    for piece in found:
        own = piece.text.splitlines(keepends=True)
        assert own == lines[piece.line : piece.line + len(own)]
    covered = {piece.line + n for piece in found for n in range(len(piece.text.splitlines()))}
    left = [line.strip() for n, line in enumerate(lines) if n not in covered]
    assert [] == [line for line in left if line and not line.startswith(("#", "%%local", "%local"))]
    assert place_at(code, len(code)) in (HERE, THERE, ASK)
