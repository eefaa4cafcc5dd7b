"""The preview as text for terminals and logs: one greppable line, then the same parts as the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nbplat.sequence.default_lines import default_lines
from nbplat.sequence.preview.compare_record import Comparison, Measure
from nbplat.sequence.preview.figures import bytes_text, letters, moment_text, seconds_text, share_text
from nbplat.sequence.preview.model_record import ModelView
from nbplat.sequence.preview.record import Histogram, SequencePreview, Strip, Token
from nbplat.sequence.preview.signs import MARKS, instant_text, legend, sign
from nbplat.terms import counted

__all__ = [
    "NO_DEFAULTS",
    "explain_comparison",
    "explain_preview",
    "facts",
    "headline",
    "heat",
    "measure_texts",
    "side_names",
    "verdict",
]

NO_DEFAULTS = "none, all is written"

_TOKENS = 72
_FIRST = 8
_FUTURE = 12
_MODEL_ROWS = 4
_MODEL_PLACES = 72
_BARS = " ▁▂▃▄▅▆▇█"


def explain_preview(preview: SequencePreview) -> list[str]:
    """Lines; the first says what was seen and whether it leaks, and stands for the whole in a log."""
    chars = letters([each.event_type for each in preview.types])
    lines = [headline(preview)]
    lines += [f"  {name:<10}{text}" for name, text in facts(preview)]
    lines += _named("defaults", default_lines(preview.defaults) or [NO_DEFAULTS])
    lines += _funnel(preview)
    lines += _leak(preview)
    lines += [f"  {'warning':<10}{text}" for text in preview.warnings]
    lines += _charts(preview, chars)
    lines += _strips(preview, chars)
    for view in preview.models:
        lines += _model(view, preview, chars)
    return lines


def headline(preview: SequencePreview) -> str:
    """``sequence home_v3 0123456789ab: no token of 12,345 from the future · 2,000 examples · …``."""
    name = preview.name + (f"/{preview.variant}" if preview.variant else "")
    return (
        f"sequence {name} {preview.version[:12]}: {verdict(preview)} · {preview.examples}"
        f" · {preview.looked.text()} · {seconds_text(preview.seconds)}"
    )


def verdict(preview: SequencePreview) -> str:
    """``LEAK: 1,234 of 9,999 tokens (12.3 %) from the future``; ``no leak: 0 of …``; without a token no judgement."""
    leak = preview.leak
    counted = f"{leak.future:,} of {leak.tokens:,} tokens"
    if leak.future:
        return f"LEAK: {counted} ({share_text(leak.future, leak.tokens)}) from the future"
    if leak.verdict == "risk":
        return f"AT RISK: {counted} from the future here, and the definition does not rule it out"
    return f"no leak: {counted} from the future" if leak.tokens else "nothing to judge: no example has a token"


def facts(preview: SequencePreview) -> list[tuple[str, str]]:
    """What the headline says of the events and the types, as name and text."""
    head = preview.headline
    said = [f"{head.source}{f' ({head.pin})' if head.pin else ''}"]
    if head.rows_read is not None:
        said.append(f"{counted(head.rows_read, 'row')} read")
    said += [f"{head.rows_indexed:,} indexed", f"{counted(head.duplicates, 'duplicate')} dropped"]
    if head.late is not None:
        said.append(f"{head.late:,} late")
    said.append(counted(head.entities, "user"))
    if head.first_us is not None and head.last_us is not None:
        said.append(f"{moment_text(head.first_us)} to {moment_text(head.last_us)}")
    said.append(bytes_text(head.index_bytes))
    if head.build_s is not None:
        said.append(f"built in {seconds_text(head.build_s)}")
    types = " · ".join(f"{name} {count:,}" for name, count in head.types)
    return [("events", " · ".join(said)), ("types", types or "none")]


def measure_texts(measure: Measure) -> tuple[str, str, str]:
    """A line of the comparison's table as texts: name, left, right."""

    def shown(value: float | None) -> str:
        if value is None:
            return "-"
        if measure.unit == "bytes":
            return bytes_text(int(value))
        if measure.unit == "s":
            return seconds_text(value)
        if measure.unit == "per example":
            return f"{value:,.1f}"
        return f"{100 * value:.1f} %" if measure.unit == "%" else f"{value:,.0f}"

    return measure.name, shown(measure.left), shown(measure.right)


def side_names(comparison: Comparison) -> list[str]:
    """What the two sides are called: their variants, the name for what is no variant, and the versions where equal."""
    sides = (comparison.left, comparison.right)
    names = [each.variant or each.name for each in sides]
    if names[0] != names[1]:
        return names
    return [f"{name} {each.version[:8]}" for name, each in zip(names, sides, strict=True)]


def explain_comparison(comparison: Comparison) -> list[str]:
    """Two variants: one greppable line, the table, and their strips above each other."""
    left, right = comparison.left, comparison.right
    names = side_names(comparison)
    same = f"{comparison.examples_equal:,} of {left.looked.examples:,} examples equal"
    lines = [
        f"sequence {left.name}: {names[0]} against {names[1]}: {100 * comparison.overlap:.1f} % of the tokens shared"
        f" · {same} · {left.looked.text()}"
    ]
    rows = [("", *names), *(measure_texts(each) for each in comparison.measures)]
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    lines += [f"  {row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows]
    chars = letters([each.event_type for each in (*left.types, *right.types)])
    wide = max(len(name) for name in names)
    for one, two in zip(left.strips, right.strips, strict=True):
        lines.append(f"  {one.kind} {one.entity} as of {instant_text(one)}")
        lines += [f"    {name:<{wide}}  {_drawn(strip, chars)}" for name, strip in zip(names, (one, two), strict=True)]
    return lines


def _funnel(preview: SequencePreview) -> list[str]:
    lines, wide = [], max((len(step.name) + 1 for step in preview.steps), default=0)
    for step in preview.steps:
        notes = [f"{count:,} {why}" for why, count in step.left_out] + [step.note] * bool(step.note)
        lines.append(
            f"  {step.name:<{max(wide, 10)}}{step.rows_in:>14,} → {step.rows_out:>14,}  {' · '.join(notes)}".rstrip()
        )
    return lines


def _leak(preview: SequencePreview) -> list[str]:
    leak = preview.leak
    touched = f"{leak.examples_touched:,} of {leak.examples:,} examples touched"
    # Checks of what is not declared say the same: once will do.
    checks = dict.fromkeys(f"{MARKS[check.verdict]} {check.text}" for check in leak.checks)
    return _named("leak", [f"{MARKS[leak.verdict]} {verdict(preview)} · {touched}", *checks])


def _named(name: str, texts: Sequence[str]) -> list[str]:
    """Lines of which the first has the name."""
    return [f"  {name if not at else '':<10}{text}" for at, text in enumerate(texts)]


def _charts(preview: SequencePreview, chars: Mapping[str, str]) -> list[str]:
    lines = []
    for each in preview.types:
        counts = (
            f"{each.tokens:,} tokens, {each.mean_length:.1f} an example · {each.examples_cut:,} examples cut"
            f" · {each.examples_empty:,} empty"
        )
        lines.append(f"  {chars[each.event_type]} = {each.event_type}: {each.rule} · {counts}")
        lines.append(f"    {_histogram(each.lengths)}")
    lines.append(f"  {_histogram(preview.staleness)}")
    lines += [
        f"  {each.name}: {share_text(each.count, each.of)} of {each.of:,} tokens"
        + (f" ({each.note})" if each.note else "")
        for each in (*preview.hits, *preview.vocab)
    ]
    return lines


def _histogram(chart: Histogram) -> str:
    ends = f"{chart.labels[0]} … {chart.labels[-1]}" if chart.labels else "nothing"
    notes = [each for each in (chart.mark_text, chart.note) if each]
    return f"{chart.name} {_bars(chart.counts)} ({ends})" + (f" · {', '.join(notes)}" if notes else "")


def _bars(values: Sequence[float]) -> str:
    top = max(values, default=0) or 1
    return "".join(_BARS[-int(-8 * max(value, 0) // top)] for value in values)


def _strips(preview: SequencePreview, chars: Mapping[str, str]) -> list[str]:
    if not preview.strips:
        return []
    signs = " ".join(f"{char} {text};" for char, text in legend(preview.strips)).rstrip(";")
    lines = [f"  {'strips':<10}oldest to newest, | is the instant; LETTER: from the future; {signs}".rstrip("; ")]
    wide = max(len(strip.entity) for strip in preview.strips)
    for strip in preview.strips:
        when = instant_text(strip)
        lines.append(f"  {strip.kind:<10}{strip.entity:>{wide}}  {when}  {_drawn(strip, chars)}")
    return lines


def _drawn(strip: Strip, chars: Mapping[str, str]) -> str:
    """The strip around its instant: at most so many signs on either side, the number of the others in figures."""
    omitted = dict(strip.omitted)
    parts: list[tuple[str, int, Token | None]] = []
    for place, token in enumerate(strip.tokens):
        if place in omitted:
            parts.append((f"(+{omitted[place]:,})", omitted[place], None))
        parts.append((sign(token, chars), 1, token))
    if (end := omitted.get(len(strip.tokens))) is not None:
        parts.append((f"(+{end:,})", end, None))
    before = [at for at, (_, _, token) in enumerate(parts) if token is not None and token.time_us < strip.as_of_us]
    split = before[-1] + 1 if before else 0
    old, new = parts[:split], parts[split:]
    text = _ends(old, _FIRST, _TOKENS - _FIRST) + "|" + _ends(new, _FUTURE, 0)
    tokens = dict(strip.counts).get("selected", 0)
    return f"{text}  {tokens:,} tokens" + (f", {strip.future:,} FROM THE FUTURE" if strip.future else "")


def _ends(parts: list[tuple[str, int, Token | None]], first: int, last: int) -> str:
    """The first and the last ones, and how many events are between them."""
    if len(parts) <= first + last:
        return "".join(each[0] for each in parts)
    middle = parts[first : len(parts) - last]
    kept = [*parts[:first], (f"(+{sum(each[1] for each in middle):,})", 0, None), *parts[len(parts) - last :]]
    return "".join(each[0] for each in kept)


def _model(view: ModelView, preview: SequencePreview, chars: Mapping[str, str]) -> list[str]:
    names = [each.event_type for each in preview.types]
    name = f" {view.event_type}" if view.event_type else ""
    lines = [
        f"  batch{name} [{len(view.rows)}, {view.length}] {view.order}, padded on the {view.pad}; _ is padding"
        + (f"; {len(view.places)} of the places" if len(view.places) < view.length else "")
    ]
    wide = max((len(each) for each in (*view.rows, *(grid.name for grid in view.grids))), default=0)
    for row, entity in list(enumerate(view.rows))[-_MODEL_ROWS:]:
        cells = "".join("_" if each < 0 else chars[names[each]] for each in view.types[row][:_MODEL_PLACES])
        more = "…" if len(view.places) > _MODEL_PLACES else ""
        lines.append(f"    {entity:<{wide}}  {cells}{more}")
        for grid in view.grids:
            bars = heat(grid.values[row][:_MODEL_PLACES], view.mask[row][:_MODEL_PLACES])
            lines.append(f"    {grid.name:<{wide}}  {bars}{more}")
    return lines


def heat(values: Sequence[float], mask: Sequence[bool]) -> str:
    real = [value for value, kept in zip(values, mask, strict=True) if kept]
    low, high = min(real, default=0.0), max(real, default=0.0)
    span = (high - low) or 1.0
    return "".join(
        _BARS[1 + round(7 * (value - low) / span)] if kept else "_" for value, kept in zip(values, mask, strict=True)
    )
