"""The static block of a preview in a real browser, on a light and on a dark page."""

from __future__ import annotations

import pytest

from nbplat.sequence.preview import explain_html
from nbplat.sequence.preview.figures import letters
from tests.sequence.made_preview import made_preview

pytestmark = pytest.mark.process


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_static_block_holds_in_both_themes(page, served, scheme):
    """Text takes the page's colour, the accents keep a contrast of 3 : 1 with it, strips end at one line."""
    folder, address = served
    ground = {"light": (255, 255, 255), "dark": (17, 17, 17)}[scheme]
    colours = f"background:rgb{ground};color:{'#111' if scheme == 'light' else '#eee'}"
    html = explain_html(made_preview(20, 100, leaking=True))
    body = f'<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body style="{colours}">{html}'
    (folder / "static.html").write_text(body, encoding="utf-8")
    page.prefer(prefers_color_scheme=scheme)
    page.size(1000, 900)

    page.open(f"{address}/static.html")
    page.wait("document.readyState == 'complete' && document.querySelectorAll('.nbsq').length")

    style = "getComputedStyle(document.querySelector('.nbsq {}')).color.match(/\\d+/g).slice(0, 3).map(Number)"
    for name in (".leak", ".ok", ".risk", "td"):
        assert 3 <= contrast(page.value(style.format(name)), ground), name
    for letter in letters(["click", "repin", "purchase"]).values():
        back = page.value(
            "getComputedStyle([...document.querySelectorAll('.nbsq .y i')]"
            f".find((each) => each.innerText == '{letter}')).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
        )
        assert 3 <= contrast(back, ground)
        assert 3 <= contrast(back, (255, 255, 255))
    ends = "[...document.querySelectorAll('.nbsq .p')].map((cell) => Math.round(cell.getBoundingClientRect().right))"
    assert 1 == len(set(page.value(ends)))
    assert page.value("document.documentElement.scrollWidth <= 1000")
    assert [] == page.faults


def contrast(one: list[int], two: tuple[int, int, int]) -> float:
    """As WCAG 2 counts it."""

    def light(colour: list[int] | tuple[int, int, int]) -> float:
        parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    high, low = sorted((light(one), light(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)
