"""The preview as text, as HTML and as the explorer's block: small, complete, free of scripts."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from nbplat.sequence.preview import (
    Comparison,
    Measure,
    comparison_html,
    explain_comparison,
    explain_html,
    explain_preview,
)
from nbplat.sequence.preview.explain_html import HTML_LIMIT_BYTES
from nbplat.sequence.preview.figures import age_text, letters, moment_text, share_text
from nbplat.sequence.preview.leak_record import LeakCheck
from nbplat.ui.widgets.packed_preview import PACKED_LIMIT_BYTES, packed_preview
from nbplat.ui.widgets.sequence_explorer import explorer
from tests.sequence.made_preview import made_preview

LOOSE_END = {"td", "th", "tr", "tbody", "thead", "br"}


class Checker(HTMLParser):
    """Fails on what a static block must not hold, and on tags that do not close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.titles = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "iframe", "object", "link", "img"}
        names = [name for name, _ in attrs]
        assert not [name for name in names if name.startswith("on")]
        assert not [value for name, value in attrs if name in {"href", "src"}]
        self.titles += "title" in names
        if tag not in LOOSE_END:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in LOOSE_END:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert [] == checker.open
    return checker


@pytest.mark.parametrize(("users", "tokens"), [(20, 100), (50, 200), (1, 1), (0, 0)])
def test_html_is_one_small_block_without_a_script(users, tokens):
    """Under 80 kB at any size, no script and no address in it, every tag closed, the panel in words."""
    html = explain_html(made_preview(users, tokens, leaking=True, full=True))

    assert HTML_LIMIT_BYTES > len(html.encode())
    found = checked(html)
    assert "http" not in html
    assert "from the future" in found.text
    assert "enrichment from after the example" in found.text


def test_twenty_users_of_a_hundred_events_keep_their_hover_texts():
    """At the size it is made for every token still says its age and its first value when pointed at."""
    html = explain_html(made_preview(20, 100, full=True))

    assert HTML_LIMIT_BYTES > len(html.encode())
    assert 1_900 < checked(html).titles
    assert re.search(r"title=\d+[dhm]·2\d{4}>", html)


def test_html_without_its_style_reads_as_letters_and_tables():
    """What GitHub leaves of it has each strip as letters on either side of the instant, and each step in figures."""
    text = checked(re.sub("<style>.*?</style>", "", explain_html(made_preview(3, 6)))).text

    assert "20,400,000" in text
    assert re.search(r"[crp×?]{6}", text)
    assert "the model sees it" in text


def test_names_are_written_as_text():
    """A user, a type or a value that looks like HTML stays text."""
    preview = made_preview(2, 3)
    strip = replace(preview.strips[1], entity="<script>alert(1)</script>")
    token = replace(strip.tokens[0], values=('"><img src=x>', "1"))
    html = explain_html(replace(preview, strips=(replace(strip, tokens=(token,)),)))

    checked(html)
    assert "&lt;script&gt;" in html


def test_text_begins_with_one_line_that_stands_for_all():
    """The first line holds name, version, verdict, share and how much was looked at; strips have a sign a token."""
    lines = explain_preview(made_preview(20, 100, leaking=True))

    assert re.match(r"sequence home_v3 0a1b2c3d4e5f: LEAK: \d+ of \d+ tokens \([\d.]+ %\) from the future · ", lines[0])
    assert "12 of 64 buckets, 18.1 % of the examples (361,002 of 2,000,000)" in lines[0]
    strips = [line for line in lines if re.match(r"  (short|median|long|heaviest) ", line)]
    assert 20 == len(strips)
    heaviest = strips[-1]
    assert re.search(r"\.\.\.\(\+1,203\)[crp]{4}", heaviest)
    assert re.search(r"[A-Z]", heaviest.rsplit("Z  ", 1)[1].split(" ")[0])
    assert max(map(len, lines)) < 400


def test_a_comparison_shows_both_variants_above_each_other():
    """The table has a line a measure, the strips come in pairs of the same user."""
    left = made_preview(20, 100)
    right = replace(left, variant="short", strips=made_preview(20, 100, leaking=True).strips)
    comparison = Comparison(
        left, right, 90, 5, 5, 12, (Measure("padding", 0.4, 0.25, "%"), Measure("b", 1e6, None, "bytes"))
    )

    lines = explain_comparison(comparison)
    html = comparison_html(comparison)

    assert 0.9 == comparison.overlap
    assert "90.0 % of the tokens shared" in lines[0]
    assert ["padding", "40.0", "%", "25.0", "%"] == lines[2].split()
    assert ["b", "1.0", "MB", "-"] == lines[3].split()
    assert 20 == sum(line.startswith("    short ") for line in lines)
    assert HTML_LIMIT_BYTES > len(html.encode())
    assert "above each other" in checked(html).text


def unpacked(packed: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    block = zlib.decompress(packed)
    length = int.from_bytes(block[:4], "little")
    head = json.loads(block[4 : 4 + length])
    kinds = {"u8": "u1", "i8": "i1", "u16": "<u2", "i32": "<i4", "u32": "<u4", "f32": "<f4", "f64": "<f8"}
    for kind, start, _ in head["columns"].values():
        assert 0 == start % np.dtype(kinds[kind]).itemsize
    columns = {
        name: np.frombuffer(block, kinds[kind], count, start) for name, (kind, start, count) in head["columns"].items()
    }
    return head, columns


@pytest.mark.parametrize("full", [True, False])
def test_the_explorers_block_is_small(full):
    """50 users of 200 tokens are under 150 kB, with the model's view in them."""
    packed = packed_preview(made_preview(50, 200, full=full))

    assert PACKED_LIMIT_BYTES > len(packed)
    assert 50 == len(unpacked(packed)[0]["strips"])
    assert 1 <= len(unpacked(packed)[0]["models"][0]["grids"])


def test_the_explorers_block_says_the_same_as_the_preview():
    """Every token comes back with its time, type, reason, values and enrichments."""
    preview = made_preview(6, 30, leaking=True)

    head, columns = unpacked(packed_preview(preview))

    tokens = [(strip, token) for strip in preview.strips for token in strip.tokens]
    assert sum(strip["tokens"] for strip in head["strips"]) == len(tokens)
    for at, (strip, token) in enumerate(tokens):
        age = strip.as_of_us - token.time_us
        assert age == int(columns["age_s"][at]) * 1_000_000 + int(columns["age_us"][at])
        assert token.event_type == head["types"][columns["type"][at]]["name"]
        assert token.reason == head["reasons"][columns["reason"][at]]["key"]
        assert bool(token.future) == bool(columns["future"][at])
        assert list(token.values) == [head["texts"][n][columns[f"value_{n}"][at]] for n in range(2)]
        assert token.enriched[0].value == head["enriched_texts"][0][columns["added_0"][at]]
        held = token.enriched[0].valid_from_us
        expected = head["none"] if held is None else (token.time_us - held) // 1_000_000
        assert expected == columns["from_0"][at]
    view = preview.models[0]
    assert [code for row in view.types for code in row] == columns["model_0"].tolist()
    assert [value for row in view.grids[0].values for value in row] == columns["grid_0_0"].tolist()


def test_without_a_kernel_the_display_is_static():
    """Text and HTML are always there; the view only where a kernel could answer it."""
    shown = explorer(made_preview(3, 5))

    bundle = shown.bundle()

    assert {"text/plain", "text/html"} == set(bundle)
    assert bundle["text/plain"].startswith("sequence home_v3 ")
    assert shown.widget is None


@pytest.mark.parametrize(
    ("us", "text"),
    [(0, "0s"), (250_000, "0.25s"), (61_000_000, "1m1s"), (90_061_000_000, "1d1h"), (-3_600_000_000, "-1h")],
)
def test_ages_read_in_two_units(us, text):
    """The two largest units that count."""
    assert text == age_text(us)


def test_figures_read_as_people_write_them():
    """Shares never round to nothing or to all; moments out of the calendar stay numbers; letters are distinct."""
    assert ("-", "0 %", "< 0.1 %", "99.9 %", "100 %") == tuple(
        share_text(part, whole) for part, whole in ((0, 0), (0, 5), (1, 99_999), (99_999, 100_000), (5, 5))
    )
    assert "2011-12-04T12:00:00.5Z" == moment_text(1_323_000_000_500_000)
    assert "9000000000000000000 us" == moment_text(9_000_000_000_000_000_000)
    assert {"click": "c", "cart": "a", "CCA": "b"} == letters(["click", "cart", "CCA", "click"])


def test_every_default_is_told_in_lines_that_fit():
    """In text a group of keys a line, none longer than a terminal; in HTML behind one click."""
    many = [f"features.f{n}.fill: value number {n}" for n in range(30)]
    preview = replace(made_preview(2, 3), defaults=("type: event_type", "id: none", "as_of.strict: true", *many))

    lines = explain_preview(preview)
    start = next(at for at, line in enumerate(lines) if line.startswith("  defaults"))

    assert ["  defaults  type: event_type · id: none", "            as_of.strict: true"] == lines[start : start + 2]
    told = [line for line in lines if "features.f" in line]
    assert len(told) > 1
    assert 121 > max(map(len, told))
    page = checked(explain_html(preview)).text
    assert [] == [text for text in preview.defaults if text not in "\n".join(lines) or text not in page]
    assert "none, all is written" in "\n".join(explain_preview(replace(preview, defaults=())))


def test_what_is_not_declared_is_said_once():
    """Two checks of nothing are one line of the text."""
    preview = made_preview(2, 3)
    nothing = [LeakCheck(name, "ok", 0, 0, "no enrichment is declared") for name in ("one", "other")]
    preview = replace(preview, leak=replace(preview.leak, checks=(*preview.leak.checks[:1], *nothing)))

    assert 1 == "\n".join(explain_preview(preview)).count("no enrichment is declared")
