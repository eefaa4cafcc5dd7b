"""The preview as text for terminals and logs, and as HTML that lives without a script, a server or a theme."""

from __future__ import annotations

from html import escape

from nbplat.sequence.early_preview import SequencePreview, Strip, Token

__all__ = ["explain_html", "explain_preview"]

_TEXT_TOKENS = 60
_HTML_TOKENS = 48
_HTML_FUTURE = 8
_HTML_LIMIT_BYTES = 80_000

# Mid tones that stand out on white and on black; more types than colours share the last.
_COLOURS = ("#3b82c4", "#d9772b", "#4a9d5b", "#b0529a", "#8a7bd1", "#c2a63a", "#4aa3a3", "#888888")


def explain_preview(preview: SequencePreview) -> list[str]:
    """Lines: the definition, funnel, types, leak, warnings, and a strip of one character a token per example."""
    letters = _letters([summary.event_type for summary in preview.types])
    lines = [_headline(preview)]
    lines += [f"  {step.name:<12} {step.rows_in:>12,} → {step.rows_out:>12,}  {step.note}" for step in preview.steps]
    lines += [
        f"  {letters[t.event_type]} = {t.event_type}: last {t.last} · {t.events:,} events"
        f" · {t.mean_length:.1f} tokens an example · {t.examples_cut:,} examples cut · {t.examples_empty:,} empty"
        for t in preview.types
    ]
    lines.append("  " + _leak(preview))
    lines += [f"  warning: {warning}" for warning in preview.warnings]
    lines.append("  defaults: " + (" · ".join(preview.defaults) or "none, all is written"))
    width = max((len(strip.entity) for strip in preview.strips), default=0)
    for strip in preview.strips:
        older, tokens, cut = _newest(strip, _TEXT_TOKENS)
        text = older + "".join(letters[token.event_type] for token in tokens)
        future = "·" * min(strip.hidden, 10) + ("…" if strip.hidden > 10 else "")
        lines.append(f"  {strip.kind:<8} {strip.entity:>{width}}  {strip.as_of}  {text}|{future}{cut}")
    return lines


def explain_html(preview: SequencePreview) -> str:
    """One self-contained block, no script, under 80 KB; hover texts are left out when they would exceed it."""
    html = _html(preview, titles=True)
    return html if len(html.encode()) <= _HTML_LIMIT_BYTES else _html(preview, titles=False)


def _html(preview: SequencePreview, *, titles: bool) -> str:
    colour = {t.event_type: min(i, len(_COLOURS) - 1) for i, t in enumerate(preview.types)}
    style = (
        ".nbsq{font:13px/1.5 system-ui,sans-serif}.nbsq table{border-collapse:collapse;margin:.4em 0}"
        ".nbsq td,.nbsq th{padding:1px 10px 1px 0;text-align:left;border:0;background:none;white-space:nowrap}"
        ".nbsq .n{text-align:right;font-variant-numeric:tabular-nums}.nbsq .s{display:flex;align-items:center}"
        ".nbsq i{width:6px;height:14px;margin-right:1px;flex:none}.nbsq b.w{width:2px;height:20px;margin:0 3px;"
        "background:currentColor;flex:none}.nbsq i.f{border:1px solid currentColor;opacity:.4;width:4px;height:12px}"
        ".nbsq .d{opacity:.7}.nbsq .ok{color:#4a9d5b}.nbsq .bad{color:#d0453b;font-weight:600}"
        + "".join(f".nbsq .c{i}{{background:{c}}}" for i, c in enumerate(_COLOURS))
    )
    good = preview.leak.at_or_after == 0
    legend = " ".join(
        f'<span class="s" style="display:inline-flex"><i class="c{colour[t.event_type]}"></i>{escape(t.event_type)}'
        f" · last {t.last} · {t.mean_length:.1f} an example · {t.examples_cut:,} cut · {t.examples_empty:,} empty"
        "</span>&emsp;"
        for t in preview.types
    )
    steps = "".join(
        f'<tr><td>{escape(s.name)}</td><td class="n">{s.rows_in:,}</td><td>→</td><td class="n">{s.rows_out:,}</td>'
        f'<td class="d">{escape(s.note)}</td></tr>'
        for s in preview.steps
    )
    strips = "".join(_html_strip(strip, colour, titles) for strip in preview.strips)
    warnings = "".join(f'<div class="bad">{escape(text)}</div>' for text in preview.warnings)
    return (
        f'<div class="nbsq"><style>{style}</style><div>{escape(_headline(preview))}</div>'
        f"<table>{steps}</table><div>{legend}</div>"
        f'<div class="{"ok" if good else "bad"}">{escape(_leak(preview))}</div>{warnings}'
        f"<table><tr><th></th><th>{escape(preview.definition['entity'])}</th><th>as of</th>"
        f"<th>oldest → newest | hidden</th></tr>{strips}</table>"
        f'<div class="d">defaults: {escape(" · ".join(preview.defaults) or "none, all is written")}</div></div>'
    )


def _html_strip(strip: Strip, colour: dict[str, int], titles: bool) -> str:
    older, tokens, cut = _newest(strip, _HTML_TOKENS)
    bars = ""
    for older_than, token in zip(range(len(tokens), 0, -1), tokens, strict=True):
        title = f' title="{escape(" ".join((token.time, *token.values))[:48])}"' if titles else ""
        late = ' style="outline:2px solid #d0453b"' if older_than <= strip.leaked else ""
        bars += f"<i class=c{colour[token.event_type]}{title}{late}></i>"
    future = "<i class=f></i>" * min(strip.hidden, _HTML_FUTURE)
    return (
        f'<tr><td class="d">{strip.kind}</td><td>{escape(strip.entity)}</td><td class="d">{escape(strip.as_of)}</td>'
        f'<td><div class="s">{escape(older)}{bars}<b class=w></b>{future}'
        f'<span class="d">{escape(cut)}</span></div></td></tr>'
    )


def _newest(strip: Strip, limit: int) -> tuple[str, tuple[Token, ...], str]:
    """How many older tokens are not drawn, the drawn ones, and what `last` and the instant left out."""
    older = len(strip.tokens) - limit
    said = [f"{strip.cut:,} beyond last N"] * (strip.cut > 0) + [f"{strip.hidden:,} hidden"] * (strip.hidden > 0)
    said += [f"{strip.leaked:,} LEAKED"] * (strip.leaked > 0)
    return f"+{older:,} " if older > 0 else "", strip.tokens[-limit:], f"  ({', '.join(said)})" if said else ""


def _headline(preview: SequencePreview) -> str:
    events, examples = preview.events, preview.examples
    return (
        f"sequence {preview.name} {preview.version[:12]} · {events.table} (snapshot {events.snapshot_id}) as of"
        f" {preview.example_rows:,} examples of {examples.table} (snapshot {examples.snapshot_id})"
        f" · {preview.leak.tokens:,} tokens · {preview.seconds:.2f} s"
    )


def _leak(preview: SequencePreview) -> str:
    leak = preview.leak
    verdict = "no leak" if leak.at_or_after == 0 else "LEAK"
    rule = "strictly before" if leak.strict else "at or before"
    return (
        f"{verdict}: {leak.at_or_after:,} of {leak.tokens:,} tokens at or after the as-of instant (rule: {rule});"
        f" {leak.hidden:,} later events hidden"
    )


def _letters(types: list[str]) -> dict[str, str]:
    """A distinct character for each type: the first letter of its name that is free, else a digit, else ``?``."""
    found: dict[str, str] = {}
    for name in types:
        wanted = (
            [c for c in name.lower() if c.isalnum()] + [c for c in name.upper() if c.isalnum()] + list("0123456789")
        )
        found[name] = next((c for c in wanted if c not in found.values()), "?")
    return found
