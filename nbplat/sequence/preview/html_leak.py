"""The leak panel: one verdict in words, sign and colour, and a line for each way to leak."""

from __future__ import annotations

from html import escape

from nbplat.sequence.preview.explain_text import verdict
from nbplat.sequence.preview.figures import share_text
from nbplat.sequence.preview.record import SequencePreview
from nbplat.sequence.preview.signs import MARKS

__all__ = ["CHECK_NAMES", "leak_html"]

CHECK_NAMES = {
    "rule": "rule",
    "boundary": "ties at the boundary",
    "arrival": "arrival after the example",
    "own_event": "the label's own event",
    "enrichment_after_event": "enrichment from after the event",
    "enrichment_after_example": "enrichment from after the example",
}


def leak_html(preview: SequencePreview) -> str:
    """The panel as a bordered table."""
    leak = preview.leak
    rows = "".join(
        f'<tr><td class="{check.verdict}">{MARKS[check.verdict]} {check.verdict}<th scope="row">'
        f'{escape(CHECK_NAMES[check.name])}<td class="n">{check.count:,}<td class="n">'
        f'{share_text(check.count, check.of)}<td class="w">{escape(check.text)}'
        for check in leak.checks
    )
    return (
        f'<div class="v {leak.verdict}v" role="group" aria-label="Leak panel"><div class="{leak.verdict}">'
        f"{MARKS[leak.verdict]} {escape(verdict(preview))} · {leak.examples_touched:,} of {leak.examples:,} examples"
        f' touched</div><div class="x"><table>{rows}</table></div></div>'
    )
