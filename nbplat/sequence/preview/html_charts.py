"""Small multiples: how long, how stale, how often enriched, how much of the vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from nbplat.sequence.preview.figures import share_text
from nbplat.sequence.preview.record import Histogram, SequencePreview, Share

__all__ = ["charts_html"]


def charts_html(preview: SequencePreview, chars: Mapping[str, str]) -> str:
    """All charts in one row that wraps."""
    drawn = [
        _figure(each.lengths, f"{each.mean_length:.1f} an example, {each.examples_empty:,} empty")
        for each in preview.types
    ]
    drawn.append(_figure(preview.staleness, ""))
    shares = _shares("Enrichment hits", preview.hits) + _shares("In the vocabulary", preview.vocab)
    return (
        f'<h4>Over {escape(preview.looked.text())}</h4><div class="m">{"".join(drawn)}</div>'
        f'<div class="m r">{shares}</div>'
    )


def _figure(chart: Histogram, note: str) -> str:
    top = max(chart.counts, default=0) or 1
    total = sum(chart.counts)
    columns = "".join(
        f'<i style="height:{100 * count / top:.0f}%"{" class=k" if place == chart.mark else ""}'
        f' title="{escape(label)}: {count:,} ({share_text(count, total)})">{escape(label)}: {count:,} </i>'
        for place, (label, count) in enumerate(zip(chart.labels, chart.counts, strict=True))
    )
    ends = (chart.labels[0], chart.labels[-1]) if chart.labels else ("", "")
    notes = " · ".join(each for each in (chart.mark_text, chart.note, note) if each)
    return (
        f'<div role="img" aria-label="{escape(chart.name)}: {escape(notes)}"><b>{escape(chart.name)}</b>'
        f'<div class="h">{columns}</div><div class="l" style="width:{14 * len(chart.labels)}px">'
        f'<span>{escape(ends[0])}</span><span>{escape(ends[1])}</span></div><div class="d">{escape(notes)}</div></div>'
    )


def _shares(title: str, shares: tuple[Share, ...]) -> str:
    if not shares:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(each.name)}<td><span class="z"><i style="width:{100 * each.share:.0f}%"></i>'
        f'</span>{share_text(each.count, each.of)}<td class="d">{escape(each.note)}'
        for each in shares
    )
    return f"<div><b>{title}</b><table>{rows}</table></div>"
