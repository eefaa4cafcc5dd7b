"""The explorer in a real browser: pointed at, walked through by keys, told to a screen reader, on light and dark."""

from __future__ import annotations

import shutil
import zlib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from nbplat.sequence.preview import SequencePreview
from nbplat.ui.widgets.packed_preview import packed_preview
from tests.fixtures.browser import Page
from tests.sequence.made_preview import made_preview

pytestmark = pytest.mark.process

# What anywidget does: bytes as a DataView, a model with get, on and off, and an element to draw in.
_HOST = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<link rel="stylesheet" href="sequence_explorer.css">
<body><div id="el"></div><script type="module">
import view from "./sequence_explorer.js";
const get = async () => new DataView(await (await fetch("packed.bin", { cache: "no-store" })).arrayBuffer());
let packed = await get();
const heard = {};
const model = { get: () => packed, on: (name, act) => { heard[name] = act; }, off: (name) => { delete heard[name]; } };
const stop = await view.render({ model, el: document.getElementById("el") });
window.again = async () => { packed = await get(); await heard["change:packed"](); };
window.stop = () => { stop(); return Object.keys(heard).length; };
document.body.dataset.ready = 1;
</script>"""
_CANVAS = "document.querySelector('canvas[tabindex]')"
_CHIPS = "[...document.querySelectorAll('.chip')]"
_LIVE = "document.querySelector('[aria-live=polite]').textContent"


def shown(page: Page, served: tuple[Path, str], preview: SequencePreview, *, limit: str = "1") -> None:
    """Open the explorer of a preview."""
    folder, address = served
    for name in ("sequence_explorer.js", "sequence_explorer.css"):
        shutil.copy(str(files("nbplat.ui.widgets").joinpath(name)), folder)
    (folder / "packed.bin").write_bytes(packed_preview(preview))
    (folder / "page.html").write_text(_HOST, encoding="utf-8")
    page.size(1100, 1000)
    page.open(f"{address}/page.html")
    page.wait(f"document.body && document.body.dataset.ready == {limit}")


def ink(page: Page, x: float, y: float) -> list[int]:
    """Colour of the strips' canvas at a point, red green blue alpha."""
    found = page.value(f"[...{_CANVAS}.getContext('2d').getImageData({x}, {y}, 1, 1).data]")
    assert isinstance(found, list)
    return found


def choose(page: Page, label: str, value: str) -> None:
    """Choose in the list whose label begins so."""
    found = f"[...document.querySelectorAll('label')].find((each) => each.textContent.startsWith('{label}'))"
    change = f"list.value = '{value}'; list.dispatchEvent(new Event('change'))"
    page.value(f"{{ const list = {found}.querySelector('select'); {change}; }}")


def test_keys_walk_from_event_to_event_and_from_user_to_user(page, served):
    """The canvas takes the focus, arrows move, each move is told in words, Enter pins and Escape lets go."""
    preview = made_preview(20, 100, leaking=True)
    shown(page, served, preview)

    page.value("document.querySelector('canvas[tabindex]').focus()")
    assert "13000" in page.value(_LIVE)
    page.key("ArrowDown")
    page.key("End")
    strip = preview.strips[1]
    told = page.value(_LIVE)
    assert told.startswith(
        f"13017, event {len(strip.tokens)} of {len(strip.tokens)}: type {strip.tokens[-1].event_type}; "
    )
    page.key("Home")
    token = strip.tokens[0]
    told = page.value(_LIVE)
    assert f"event 1 of {len(strip.tokens)}: type {token.event_type}" in told
    assert f"item_id {token.values[0]}; amount {token.values[1]}" in told
    assert "before the instant" in told
    page.key("ArrowRight")
    assert "event 2 of" in page.value(_LIVE)
    page.key("ArrowLeft")
    assert "event 1 of" in page.value(_LIVE)

    page.key("Enter")
    tip = page.value("document.querySelector('.tip').textContent")
    assert "13017 as of" in tip
    assert "pinned" in tip
    assert str(token.values[0]) in tip
    assert page.value("document.querySelector('.tip').classList.contains('pinned')")
    page.key("Escape")
    assert page.value("document.querySelector('.tip').hidden")
    assert [] == page.faults


def test_users_without_an_instant_are_as_of_the_end(page, served):
    """Neither the table for readers nor the words of an event name a moment that there is not."""
    preview = made_preview(3, 20)
    bare = tuple(replace(strip, timeless=True) for strip in preview.strips)
    shown(page, served, replace(preview, strips=bare))

    table = "[...document.querySelectorAll('.hidden table td:nth-child(3), .hidden table th:nth-child(3)')]"
    assert ["as of", "end", "end", "end"] == page.value(f"{table}.map((each) => each.textContent)")
    assert [] == page.faults


def test_keys_reach_the_last_user_and_scroll_there(page, served):
    """With more users than fit the one that is walked to comes into view."""
    shown(page, served, made_preview(50, 200))

    page.value(f"{_CANVAS}.focus()")
    for _ in range(49):
        page.key("ArrowDown")

    assert page.value(_LIVE).startswith("13833, event ")
    assert 0 < page.value("document.querySelector('.scroll').scrollTop")
    page.key("ArrowDown")
    assert page.value(_LIVE).startswith("13833, event ")
    assert [] == page.faults


def test_a_pointer_sees_what_a_key_sees(page, served):
    """Hovering shows everything of the token beside it; a click keeps it there while the pointer goes on."""
    preview = made_preview(4, 12)
    shown(page, served, preview)
    box = page.value(f"(({{x, y}}) => [x, y])({_CANVAS}.getBoundingClientRect())")
    row = 3 * 24 + 12
    at = next(
        x for x in range(240, 1080) if page.value(f"{_CANVAS}.getContext('2d').getImageData({x}, {row}, 1, 1).data[3]")
    )

    page.point(box[0] + at + 3, box[1] + row)

    tip = page.value("document.querySelector('.tip').textContent")
    assert "13051 as of" in tip
    assert any(str(token.values[0]) in tip for token in preview.strips[3].tokens)
    assert "holds from" in tip or "null" in tip
    page.point(box[0] + at + 3, box[1] + row, click=True)
    assert page.value("document.querySelector('.tip').classList.contains('pinned')")
    page.point(box[0] + 5, box[1] + 5)
    assert tip[:20] == page.value("document.querySelector('.tip').textContent")[:20]
    assert [] == page.faults


def test_the_axis_the_alignment_and_the_order_change_the_picture(page, served):
    """Each axis draws differently; aligned on the first purchase users without one say so; sorting sorts."""
    preview = made_preview(8, 30, leaking=True)
    shown(page, served, preview)
    picture = f"{_CANVAS}.toDataURL()"
    drawn = {page.value(picture)}

    for mode in ("age", "calendar"):
        page.value(f"document.querySelector('input[value={mode}]').click()")
        drawn.add(page.value(picture))
    assert 3 == len(drawn)
    assert "time, UTC" == page.value("document.querySelector('.caption').textContent")
    choose(page, "align on", "2")
    assert "from the aligned event" == page.value("document.querySelector('.caption').textContent")
    page.value(f"{_CANVAS}.focus()")
    without = [strip for strip in preview.strips if not any(each.event_type == "purchase" for each in strip.tokens)]
    assert without
    assert without[0] is preview.strips[0]
    assert "nothing to point at" in page.value(_LIVE)
    choose(page, "align on", "as_of")
    choose(page, "sort by", "heavy")
    page.value(f"{_CANVAS}.blur()")
    page.value(f"{_CANVAS}.focus()")
    assert page.value(_LIVE).startswith(f"{preview.strips[-1].entity}, ")
    assert [] == page.faults


def test_types_and_what_is_out_can_be_hidden(page, served):
    """A chip is a toggle with its state told; what it hides is neither drawn nor walked through."""
    preview = made_preview(6, 40)
    shown(page, served, preview)
    strip = preview.strips[-1]
    clicks = [token for token in strip.tokens if token.event_type == "click"]

    page.value(f"{_CANVAS}.focus()")
    for _ in range(5):
        page.key("ArrowDown")
    assert f" of {len(strip.tokens)}: " in page.value(_LIVE)
    for name in ("repin", "purchase"):
        page.value(
            f"[...document.querySelectorAll('.chip')].find((each) => each.textContent.includes('{name}')).click()"
        )
    page.key("End")
    assert f" of {len(clicks)}: type click" in page.value(_LIVE)
    page.value(f"{_CHIPS}.at(-1).click()")
    page.key("End")
    assert f" of {sum(token.selected for token in clicks)}: type click" in page.value(_LIVE)
    assert ["true", "false", "false", "false"] == page.value(
        f"{_CHIPS}.map((each) => each.getAttribute('aria-pressed'))"
    )


def test_the_leak_panel_is_in_it_in_words(page, served):
    """Verdict, share and every check stand in the page, and a table for screen readers has a row a user."""
    preview = made_preview(20, 100, leaking=True)
    shown(page, served, preview)

    panel = page.value("document.querySelector('[aria-label=\"Leak panel\"]').innerText")

    assert f"LEAK: {preview.leak.future} of {preview.leak.tokens} tokens" in panel
    assert all(check.text in panel for check in preview.leak.checks)
    assert page.value("document.querySelector('.panel details').open")
    hidden = page.value("[...document.querySelectorAll('.hidden tbody tr')].map((row) => row.textContent)")
    assert 20 == len(hidden)
    assert hidden[-1].startswith("13323heaviest")
    assert "1,203" not in hidden[0]
    assert "beyond last N" in hidden[-1]


def test_a_right_definition_is_green(page, served):
    """Zero is told as well, and the checks are folded away."""
    shown(page, served, made_preview(3, 5))

    assert "✓ no leak: 0 of" in page.value("document.querySelector('.verdict').textContent")
    assert not page.value("document.querySelector('.panel details').open")


@pytest.mark.parametrize("how", ["system", "jupyterlab"])
def test_a_dark_page_gets_light_ink(page, served, how):
    """By the system's wish and by JupyterLab's theme; a change while it is open is followed."""
    shown(page, served, made_preview(4, 10))
    dark = "document.querySelector('.nb-explorer').hasAttribute('data-dark')"
    light_ink = ink(page, 8, 12)
    before = page.value(f"{_CANVAS}.toDataURL()")
    assert not page.value(dark)

    if how == "system":
        page.prefer(prefers_color_scheme="dark")
    else:
        page.value(
            "document.body.style.setProperty('--jp-ui-font-color1', '#e0e0e0');"
            "document.body.style.setProperty('--jp-layout-color1', '#111');"
            "document.body.dataset.jpThemeLight = 'false'"
        )

    page.wait(dark)
    assert before != page.value(f"{_CANVAS}.toDataURL()")
    red = page.value("getComputedStyle(document.querySelector('.nb-explorer')).getPropertyValue('--nb-red').trim()")
    assert "#f0625f" == red
    assert light_ink[3] == 0 or light_ink[:3] != ink(page, 8, 12)[:3]


def test_reduced_motion_has_no_transition(page, served):
    """Who asked for less motion gets none."""
    page.prefer(prefers_reduced_motion="reduce")
    shown(page, served, made_preview(2, 3))

    assert page.value("getComputedStyle(document.querySelector('.chip')).transitionDuration") in {"0s", ""}


def test_the_batch_is_drawn_and_read(page, served):
    """The model's view shows shape and padding side, a feature can be chosen, and a cell says its value."""
    preview = made_preview(5, 20)
    shown(page, served, preview)

    page.value("[...document.querySelectorAll('details')].at(-1).open = true")
    page.wait("document.querySelector('.wide canvas').width > 300")
    label = page.value("document.querySelector('.wide canvas').getAttribute('aria-label')")
    assert "[5, 200] newest_first, padded on the right" == label
    page.value(
        "{ const list = document.querySelector('select[aria-label]');"
        " list.value = '0:0'; list.dispatchEvent(new Event('change')); }"
    )
    page.value("document.querySelector('.wide').scrollIntoView()")
    box = page.value("(({x, y}) => [x, y])(document.querySelector('.wide canvas').getBoundingClientRect())")
    page.point(box[0] + 98, box[1] + 4 * 11 + 6)
    grid = preview.models[0].grids[0]
    said = page.value("document.querySelector('details:last-of-type > .dim').textContent")
    assert f"13068 [0]: {preview.types[preview.models[0].types[4][0]].event_type} {grid.values[4][0]:g}" == said


def test_a_new_preview_replaces_the_old_one_and_nothing_is_left_behind(page, served):
    """The kernel sends another block: it is drawn; when the view goes, so do its listeners."""
    shown(page, served, made_preview(3, 5))
    (served[0] / "packed.bin").write_bytes(packed_preview(made_preview(7, 5, name="other")))

    page.value("window.again()")

    assert 7 == page.value("document.querySelectorAll('.hidden tbody tr').length")
    assert "sequence other" in page.value("document.querySelector('.title').textContent")
    assert 0 == page.value("window.stop()")
    assert [] == page.faults


def test_a_block_that_cannot_be_read_says_so(page, served):
    """A page that gets something else shows a sentence instead of nothing."""
    folder, address = served
    shown(page, served, made_preview(1, 1))
    (folder / "packed.bin").write_bytes(zlib.compress(b"\x05\x00\x00\x00{not}"))

    page.open(f"{address}/page.html?2")

    page.wait("document.querySelector('#el') && document.querySelector('#el').textContent.includes('cannot be drawn')")
