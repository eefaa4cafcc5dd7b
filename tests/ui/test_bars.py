"""The small pictures: whole SVG, no script, nothing of a label read as markup."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from nbplat.ui.render.bars import histogram, paired_bars


def test_bars_are_on_one_scale():
    """The longest bar fills the width; the others are in proportion."""
    picture = paired_bars([("a", 50.0, 100.0), ("b", 0.0, 25.0)], ("read", "copied"), title="bytes")
    widths = [float(each.get("width")) for each in _rects(picture) if each.get("height") == "8"]

    assert [150.0, 300.0, 0.0, 75.0] == widths


def test_further_rows_are_summed_up():
    """A picture stays small; what is left out is told."""
    picture = paired_bars([(str(n), 1.0, 2.0) for n in range(100)], ("read", "copied"), title="bytes", most=10)

    assert "90 more: 90 / 180" in picture
    assert 2 + 20 == len(_rects(picture))


def test_labels_are_escaped_and_there_is_no_script():
    """A partition or value that looks like markup stays text."""
    for picture in (
        paired_bars([("<script>alert(1)</script>", 1.0, 1.0)], ("a&b", "<c>"), title="<t>"),
        histogram(["<script>"], [0.5], [0.5], ("<b>", "&"), title="<t>"),
    ):
        assert _parsed(picture).tag.endswith("svg")
        assert "<script" not in picture


def test_an_empty_picture_is_whole():
    """No rows and no bins draw an empty frame."""
    for picture in (paired_bars([], ("a", "b"), title="t"), histogram([], [], [], ("a", "b"), title="t")):
        assert _parsed(picture).tag.endswith("svg")


def _rects(picture: str) -> list[ET.Element]:
    return [each for each in _parsed(picture).iter() if each.tag.endswith("rect")]


def _parsed(picture: str) -> ET.Element:
    return ET.fromstring(picture)  # noqa: S314 - our own text
