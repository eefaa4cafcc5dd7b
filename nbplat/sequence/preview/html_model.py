"""The batch as a heat strip: a line of letters an example for the mask and the types, a line of bars a feature."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import groupby

from nbplat.sequence.preview.explain_text import heat
from nbplat.sequence.preview.html_style import COLOURS
from nbplat.sequence.preview.model_record import ModelView
from nbplat.sequence.preview.record import SequencePreview

__all__ = ["model_html"]

_PLACES, _GRIDS = 120, 4


def model_html(view: ModelView, preview: SequencePreview, chars: Mapping[str, str], count: int) -> str:
    """What the model gets of the last `count` strips' examples."""
    names = [each.event_type for each in preview.types]
    rows = list(enumerate(view.rows))[-count:]
    wide = max((len(entity) for _, entity in rows), default=0)
    mask = "\n".join(
        f"{escape(f'{entity:<{wide}}')}  {_cells(view.types[row][:_PLACES], names, chars)}" for row, entity in rows
    )
    shown = view.grids[:_GRIDS]
    features = "".join(
        f"<div><b>{escape(grid.name)}</b> <span class=d>{escape(grid.function)}, {escape(grid.dtype)}</span>"
        "<pre class=d>"
        + "\n".join(
            f"{escape(f'{entity:<{wide}}')}  {heat(grid.values[row][:_PLACES], view.mask[row][:_PLACES])}"
            for row, entity in rows
        )
        + "</pre></div>"
        for grid in shown
    )
    title = f"The model's view{f' of {view.event_type}' if view.event_type else ''}"
    cut = f", the first {_PLACES} places" if len(view.places) > _PLACES else ""
    more = f" {len(view.grids) - len(shown)} more features are in the record." if len(view.grids) > len(shown) else ""
    return (
        f"<h4>{escape(title)}: [{len(view.rows)}, {view.length}], {view.order.replace('_', ' ')}, padded on the"
        f" {view.pad}{cut}</h4><div class=d>A letter is a token, _ is padding.{more}</div><pre>{mask}</pre>"
        f'<div class="m r">{features}</div>'
    )


def _cells(types: tuple[int, ...], names: list[str], chars: Mapping[str, str]) -> str:
    parts = []
    for place, run in groupby(types):
        count = len(list(run))
        kind = min(place, len(COLOURS) - 1)
        parts.append("_" * count if place < 0 else f"<i class={kind}>{chars[names[place]] * count}</i>")
    return "".join(parts)
