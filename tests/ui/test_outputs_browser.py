"""Every kind of output on a light and on a dark page, in a real browser."""

from __future__ import annotations

import nbformat
import pytest

from nbplat.ui.widgets.environment_form import environment_form
from nbplat.ui.widgets.partition_grid import PartitionGrid
from nbplat.ui.widgets.session_form import session_form
from tests.fixtures.notebooks import NOTEBOOKS

pytestmark = pytest.mark.process

GROUNDS = {"light": ("#ffffff", "#212121"), "dark": ("#111111", "#e0e0e0")}
# What stands behind and over a text is mixed as the browser mixes it; then the contrast as WCAG 2 counts it.
FAINT = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const over = (top, below) => [0, 1, 2].map(n => top[n] * top[3] + below[n] * (1 - top[3]));
  const light = colour => colour.map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const contrast = (a, b) => {
    const [x, y] = [light(a), light(b)]; return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05); };
  const found = new Map();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const words = texts.currentNode.textContent.trim(), element = texts.currentNode.parentElement;
    if (!words || !element.checkVisibility() || element.closest('style, title, desc')) continue;
    const above = []; for (let each = element; each; each = each.parentElement) above.unshift(each);
    let ground = [255, 255, 255], seen = 1;
    for (const each of above) {
      const style = getComputedStyle(each);
      ground = over(rgba(style.backgroundColor), ground); seen *= Number(style.opacity); }
    const style = getComputedStyle(element), mark = element instanceof SVGElement ? style.fill : style.color;
    const ink = rgba(mark); ink[3] *= seen;
    const reached = contrast(over(ink, ground), ground);
    // A preview's tiles and accents are marks beside words, or bold, and held to 3 : 1 by its own test.
    const least = getComputedStyle(element).fontSize === '0px' ? 0 : element.closest('.nbsq i, .nbsq .risk') ? 3 : 4.5;
    if (reached < least) {
      const name = element.closest('[data-from]')?.dataset.from + ': ' + mark + ' ' + reached.toFixed(1);
      if (!found.has(name)) found.set(name, words.slice(0, 60)); } }
  return [...found].map(each => each.join(' ')); })()"""


def pages() -> dict[str, str]:
    """The HTML of an output, by what it is of."""
    found = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        outputs = [out for cell in nbformat.read(path, as_version=4).cells for out in cell.get("outputs", [])]
        found |= {
            f"{path.stem} {n}": out["data"].get("text/html", "") for n, out in enumerate(outputs) if "data" in out
        }
    states = ({"done": 2}, {"done": 1, "failed": 1}, {"leased": 1}, {})
    none = {"files": 2, "rows": 10, "read_bytes": 2_000, "done": 0, "failed": 0, "leased": 0}
    parts = [{"partition": f"month={n}", **none, **state} for n, state in enumerate(states)]
    found["grid"] = PartitionGrid({"id": "spend@3", "state": "staging"}, parts).html
    return found | {"session form": session_form(session="etl").html, "environment form": environment_form().html}


@pytest.mark.parametrize("theme", GROUNDS)
def test_every_word_can_be_read(page, served, theme):
    """Each word of every committed output, grid, error and form has a contrast of 4.5 : 1 with what is behind it.

    Letters in the coloured tiles of a sequence, and its bold warnings, have one of 3 : 1.
    """
    folder, address = served
    ground, ink = GROUNDS[theme]
    blocks = "".join(f'<section data-from="{name}">{html}</section>' for name, html in pages().items())
    head = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">'
    (folder / "all.html").write_text(f'{head}<body style="background:{ground};color:{ink}">{blocks}', encoding="utf-8")
    page.prefer(prefers_color_scheme=theme)
    page.size(1200, 900)
    page.open(f"{address}/all.html")
    page.wait("document.readyState == 'complete' && document.querySelectorAll('section').length > 50")
    found = page.value(FAINT)
    assert not found, "\n".join(found)
    assert [] == page.faults
