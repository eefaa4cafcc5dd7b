"""The preview as one self-contained block: no script, under 80 KB, readable on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from nbplat.sequence.default_lines import default_lines
from nbplat.sequence.preview.compare_record import Comparison
from nbplat.sequence.preview.explain_text import NO_DEFAULTS, facts, headline, measure_texts, side_names
from nbplat.sequence.preview.figures import letters
from nbplat.sequence.preview.html_charts import charts_html
from nbplat.sequence.preview.html_leak import leak_html
from nbplat.sequence.preview.html_model import model_html
from nbplat.sequence.preview.html_strips import Look, main_style, main_type, strip_html, strips_html
from nbplat.sequence.preview.html_style import STYLE
from nbplat.sequence.preview.record import SequencePreview, Strip

__all__ = ["HTML_LIMIT_BYTES", "comparison_html", "explain_html"]

HTML_LIMIT_BYTES = 80_000
_KEPT_BYTES = HTML_LIMIT_BYTES - 500

# From the richest to the barest; the first that fits is taken.
_LOOKS = (
    Look(titles="full", tokens=160, rows=8),
    Look(titles="full", tokens=110, rows=8),
    Look(titles="short", tokens=110, rows=8),
    Look(titles="short", tokens=110),
    Look(titles="short", tokens=90),
    Look(titles="age", tokens=110),
    Look(titles="age", tokens=80),
    Look(titles="none", tokens=80),
    Look(titles="none", tokens=40),
    Look(titles="none", tokens=12),
)


def explain_html(preview: SequencePreview) -> str:
    """The whole preview; hover texts get shorter, then strips do, where it would not fit otherwise.

    Without its style (GitHub leaves it out) what is left reads as tables and rows of letters.
    """
    return _fit(lambda look, strips: _page(preview, look, strips), len(preview.strips))


def comparison_html(comparison: Comparison) -> str:
    """Two variants: the table, and their strips above each other."""
    return _fit(lambda look, strips: _compared(comparison, look, strips), len(comparison.left.strips))


def _fit(page: Callable[[Look, int], str], strips: int) -> str:
    for look in _LOOKS:
        html = page(look, strips)
        if len(html.encode()) <= _KEPT_BYTES:
            return html
    while strips > 1:
        strips = strips // 2
        html = page(_LOOKS[-1], strips)
        if len(html.encode()) <= _KEPT_BYTES:
            return html
    return html


def _page(preview: SequencePreview, look: Look, strips: int) -> str:
    chars = letters([each.event_type for each in preview.types])
    told = "".join(f'<tr><th scope="row" class="d">{name}<td class="w">{escape(text)}' for name, text in facts(preview))
    groups = "<br>".join(map(escape, default_lines(preview.defaults))) or NO_DEFAULTS
    defaults = f"<details><summary>defaults ({len(preview.defaults)})</summary>{groups}</details>"
    warnings = "".join(f'<div class="risk">! {escape(text)}</div>' for text in preview.warnings)
    steps = "".join(
        f'<tr><th scope="row">{escape(step.name)}<td class="n">{step.rows_in:,}<td class="n">{step.rows_out:,}'
        f'<td class="d w">{escape(_notes(step.left_out, step.note))}'
        for step in preview.steps
    )
    return (
        f'<section class="nbsq" aria-label="Preview of sequence {escape(preview.name)}"><style>{STYLE}</style>'
        f"<div><b>{escape(headline(preview))}</b></div>{leak_html(preview)}{warnings}<table>{told}</table>{defaults}"
        '<h4>Steps</h4><div class="x"><table><thead><tr><th scope="col">step<th scope="col" class="n">in'
        f'<th scope="col" class="n">out<th scope="col">why</thead>{steps}</table></div>'
        f"{strips_html(preview, chars, look, strips)}{charts_html(preview, chars)}"
        f"{''.join(model_html(view, preview, chars, look.rows) for view in preview.models)}</section>"
    )


def _notes(left_out: tuple[tuple[str, int], ...], note: str) -> str:
    return " · ".join([*(f"{count:,} {why}" for why, count in left_out), *([note] if note else [])])


def _compared(comparison: Comparison, look: Look, strips: int) -> str:
    left, right = comparison.left, comparison.right
    chars = letters(list(dict.fromkeys(each.event_type for each in (*left.types, *right.types))))
    names = [escape(name) for name in side_names(comparison)]
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}<td class="n">{escape(one)}<td class="n">{escape(two)}'
        for name, one, two in map(measure_texts, comparison.measures)
    )
    main = main_type(left.strips)
    pairs = "".join(
        _pair(one, two, names, chars, look, main)
        for one, two in list(zip(left.strips, right.strips, strict=True))[len(left.strips) - strips :]
    )
    return (
        f'<section class="nbsq" aria-label="Two variants of {escape(left.name)}"><style>{STYLE}</style>'
        f"<div><b>sequence {escape(left.name)}: {names[0]} against {names[1]}</b> ·"
        f" {100 * comparison.overlap:.1f} % of the tokens shared · {comparison.examples_equal:,} of"
        f" {left.looked.examples:,} examples equal · {escape(left.looked.text())}</div>"
        f'<table><thead><tr><td><th scope="col" class="n">{names[0]}<th scope="col" class="n">{names[1]}</thead>'
        f'{rows}</table><h4>The same users, above each other</h4><table class="t" style="{main_style(main, chars)}">'
        f"{pairs}</table></section>"
    )


def _pair(one: Strip, two: Strip, names: list[str], chars: dict[str, str], look: Look, main: str) -> str:
    return (
        f'<tr><th scope="row" rowspan="2">{escape(one.entity)}<td class="d">{names[0]}'
        f'{strip_html(one, chars, look, main)}<tr><td class="d">{names[1]}{strip_html(two, chars, look, main)}'
    )
