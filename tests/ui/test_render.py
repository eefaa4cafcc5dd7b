"""The building blocks of results."""

from __future__ import annotations

import io
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbplat.errors import DataError
from nbplat.terms import Progress
from nbplat.testing.clock import FakeClock
from nbplat.ui.render.error import error_lines, error_text
from nbplat.ui.render.figures import bytes_text, count_text, duration_text, share_text
from nbplat.ui.render.progress import progress_html, progress_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text, table_html, table_text
from nbplat.ui.render.terminal import TerminalLine


class _Text(HTMLParser):
    """The text and tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (34_512_000, "34.5 MB"),
        (999_960, "1.0 MB"),
        (3 * 10**15, "3.0 PB"),
    ],
)
def test_bytes(count, expected):
    """Powers of 1000 with one decimal."""
    assert expected == bytes_text(count)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.012, "12 ms"),
        (0.9999, "1.0 s"),
        (3.44, "3.4 s"),
        (59.99, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3720, "1 h 02 min"),
        (273_600, "3 d 04 h"),
    ],
)
def test_durations(seconds, expected):
    """Two units at most, and no 60 s."""
    assert expected == duration_text(seconds)


def test_counts_and_shares():
    """Thousands are separated, one is singular, and an incomplete share never reads as 100 %."""
    assert ("1,234", "1 row", "2,000 rows") == (count_text(1234), count_text(1, "row"), count_text(2000, "row"))
    assert ("42.0 %", "99.9 %", "100.0 %", "-") == (
        share_text(42, 100),
        share_text(99_999, 100_000),
        share_text(5, 5),
        share_text(0, 0),
    )


def test_a_text_table_is_in_line():
    """Numbers stand to the right, text to the left, None is a dash."""
    text = table_text(["name", "rows"], [["spend", 1200], ["x", None]])

    assert "name    rows\nspend  1,200\nx          -" == text


def test_an_empty_table_says_so():
    """No rows is an answer."""
    assert "name\n(none)" == table_text(["name"], [])
    assert "none" in table_html(["name"], [])


@given(st.text(), st.text())
def test_html_holds_the_values_and_no_tag_of_theirs(heading, value):
    """Whatever a value holds, the page's tags are ours."""
    page = table_html([heading], [[value]]) + fields_html([(heading, value)])

    assert {"table", "thead", "tbody", "tr", "th", "td"} == set(_Text(page).tags)


def test_html_has_no_script_and_no_colour_that_fights_the_theme():
    """Backgrounds are transparent, colours inherited."""
    page = table_html(["a"], [[1]], caption="x") + progress_html("t", "running", Progress(1, 2))

    assert (False, False) == ("<script" in page, "#fff" in page)
    assert "transparent" in page


def test_fields_are_a_line_each():
    """Names in line, values behind."""
    assert "name  spend\nrows  3" == fields_text([("name", "spend"), ("rows", 3)])


def test_progress_is_one_greppable_line():
    """Title, state, count, percent, time; 100 % only when all is done."""
    line = progress_text("spend@1 stage", "running", Progress(999, 1000, "units"), elapsed_s=4.2)

    assert "spend@1 stage running 999/1,000 units 99 % 4.2 s" == line
    assert "spend@1 stage queued" == progress_text("spend@1 stage", "queued", Progress())


def test_progress_names_its_value_for_screen_readers():
    """The bar has a role, a label and a value."""
    page = progress_html('a "b" <c>', "running", Progress(1, 4))

    assert 'role="progressbar"' in page
    assert 'aria-valuenow="25"' in page
    assert {"div"} == set(_Text(page).tags)


def test_an_error_is_two_lines():
    """Code, message, place and log id; then the fix."""
    error = DataError("keys.duplicate", "2 rows <7>", fix="choose --key", where="file a", detail_id="abc")

    assert "keys.duplicate: 2 rows <7> (file a) [log id abc]\nfix: choose --key" == error_text(error)
    assert all(line.startswith("\x1b[31m") for line in error_lines(error, colour=True))


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_line_is_overwritten_and_cleared():
    """On a terminal each drawing starts at the line's beginning, and nothing is left at the end."""
    stream, clock = _Terminal(), FakeClock()
    line = TerminalLine(stream, clock)

    line.show(Result(text="one\nmore"))
    line.show(Result(text="too soon"))
    clock.advance(0.3)
    line.show(Result(text="two"))
    line.clear()

    assert "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K" == stream.getvalue()


def test_a_log_file_gets_a_line_now_and_then():
    """Elsewhere a changed text is a line of its own, every ten seconds at most."""
    stream, clock = io.StringIO(), FakeClock()
    line = TerminalLine(stream, clock)

    for second in range(21):
        line.show(Result(text=f"at {second}"))
        clock.advance(1)
    line.clear()

    assert "at 0\nat 10\nat 20\n" == stream.getvalue()
