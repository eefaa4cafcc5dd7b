"""Strips: a row an example, a small lettered box a token, a bar at the instant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from nbplat.sequence.preview.figures import age_text, moment_text
from nbplat.sequence.preview.html_style import COLOURS
from nbplat.sequence.preview.record import REASONS, SequencePreview, Strip, Token
from nbplat.sequence.preview.signs import instant_text, legend, sign

__all__ = ["Look", "main_style", "main_type", "strip_html", "strips_html"]


# Of what is out so many boxes before the instant, the first ones of all, and so many at or after it.
_OUT, _FIRST, _AFTER = 24, 4, 6


@dataclass(frozen=True, slots=True)
class Look:
    """How much of each token is written.

    Attributes:
        titles: ``full``: time, age, values, enrichments, reason; ``short``: age, first value, reason; ``age``;
            ``none``.
        tokens: At most so many boxes a strip; both ends and what is around the instant stay.
        rows: At most so many examples in the model's view.
    """

    titles: str
    tokens: int
    rows: int = 4


def strips_html(preview: SequencePreview, chars: Mapping[str, str], look: Look, count: int) -> str:
    """The table of strips with its legend; the last `count`, the heaviest among them."""
    strips = preview.strips[len(preview.strips) - count :]
    if not strips:
        return ""
    types = "".join(
        f'<span class="s y" style="display:inline-flex"><i class="{_colour(place)}">{chars[each.event_type]}</i></span>'
        f" {escape(each.event_type)} · {escape(each.rule)} &emsp;"
        for place, each in enumerate(preview.types)
    )
    reasons = " &emsp;".join(f"<code>{char}</code> {text}" for char, text in legend(strips))
    main = main_type(strips)
    rows = "".join(
        f'<tr><td class="d">{strip.kind}<th scope="row">{escape(strip.entity)}<td class="d" title='
        f'{instant_text(strip)}>{_minute(strip)}<td class="n">'
        f'{dict(strip.counts).get("selected", 0):,}<td class="n{" leak" if strip.future else ""}">{strip.future:,}'
        f"{strip_html(strip, chars, look, main)}"
        for strip in strips
    )
    left = len(preview.strips) - len(strips)
    more = f'<div class="d">{left} more strips are in the record</div>' if left else ""
    return (
        f"<h4>Strips: oldest to newest, the bar is the instant</h4><div>{types}</div>"
        f'<div class="d">filled: the model sees it; red and in capitals: from the future; hollow:'
        f' {reasons or "none"}</div><table class="t" style="{main_style(main, chars)}"><thead><tr>'
        f'<th scope="col">history<th scope="col">'
        f'{escape(" · ".join(_entity(preview)))}<th scope="col">as of<th scope="col" class="n">tokens'
        f'<th scope="col" class="n">leaks<th scope="col" class="n">before the instant<th scope="col">after</thead>'
        f"{rows}</table>{more}"
    )


def main_type(strips: Sequence[Strip]) -> str:
    """The type of most tokens: its boxes need no mark of their own, which is where most of the bytes are saved."""
    counts = Counter(token.event_type for strip in strips for token in strip.tokens if token.selected)
    return counts.most_common(1)[0][0] if counts else ""


def main_style(main: str, chars: Mapping[str, str]) -> str:
    """What makes boxes without a mark those of the main type."""
    return f"--m:{COLOURS[int(_colour(list(chars).index(main)))]}" if main in chars else ""


def strip_html(strip: Strip, chars: Mapping[str, str], look: Look, main: str) -> str:
    """One strip: a cell of boxes for what is before the instant, and one for the rest; their border is the instant."""
    sides: tuple[list[str], list[str]] = ([], [])
    for token, hidden, after in _kept(strip, look.tokens):
        box = f"<u>+{hidden:,}</u>" if token is None else _box(token, strip, chars, look, main)
        sides[after].append(box)
    before, rest = ("".join(side) for side in sides)
    return f'<td class="p"><div class="s e">{before}</div><td class="a"><div class="s">{rest}</div>'


def _box(token: Token, strip: Strip, chars: Mapping[str, str], look: Look, main: str) -> str:
    kind = "" if token.event_type == main else _colour(list(chars).index(token.event_type))
    if not token.selected:
        kind = "o q" if token.reason == "not_known" else "o"
    elif token.future:
        kind = f"{kind} f".strip()
    title = _title(token, strip, look.titles)
    return f"<i{_attribute('class', kind)}{_attribute('title', title)}>{sign(token, chars)}</i>"


def _title(token: Token, strip: Strip, titles: str) -> str:
    if titles == "none":
        return ""
    age = age_text(strip.as_of_us - token.time_us, 2 if titles == "full" else 1)
    if titles == "age":
        return age
    why = [] if token.selected else [REASONS[token.reason]]
    if token.future:
        why = [f"LEAK {' '.join(token.future)}"]
    if titles == "short":
        return "·".join([age, *(value or "null" for value in token.values[:1]), *why])
    enriched = [
        f"{each.name} {each.value}" + ("" if each.valid_from_us is None else f" from {moment_text(each.valid_from_us)}")
        for each in token.enriched
    ]
    known = [] if token.seen_us in (None, token.time_us) else [f"known {moment_text(token.seen_us or 0)}"]
    values = [value or "null" for value in token.values]
    return " ".join([token.event_type, moment_text(token.time_us), age, *values, *enriched, *known, *why])


def _attribute(name: str, text: str) -> str:
    if not text:
        return ""
    bare = not any(char in " \t\n\"'=<>`&" for char in text)
    return f" {name}={text}" if bare else f' {name}="{escape(text)}"'


def _kept(strip: Strip, limit: int) -> Iterator[tuple[Token | None, int, bool]]:
    """Tokens to draw, or None with how many are left out, and whether that is at or after the instant.

    The oldest few stay, then tokens and what is out nearest to the instant on both sides, and the very last one.
    """
    omitted = dict(strip.omitted)
    tokens = strip.tokens
    split = next((at for at, token in enumerate(tokens) if token.time_us >= strip.as_of_us), len(tokens))
    kept = [at for at in range(split) if tokens[at].selected]
    out = [at for at in range(split) if not tokens[at].selected]
    before = sorted([*kept, *out[-_OUT:]])[-limit:]
    drawn = {*range(min(_FIRST, split)), *before, *range(split, min(split + _AFTER, len(tokens))), len(tokens) - 1}
    waiting = 0
    for place, token in enumerate(tokens):
        waiting += omitted.get(place, 0)
        if place not in drawn:
            waiting += 1
            continue
        if waiting:
            yield None, waiting, place > split
            waiting = 0
        yield token, 0, place >= split
    waiting += omitted.get(len(tokens), 0)
    if waiting:
        yield None, waiting, split < len(tokens)


def _minute(strip: Strip) -> str:
    text = instant_text(strip)
    return f"{text[:10]} {text[11:16]}" if text[10:11] == "T" else text


def _colour(place: int) -> str:
    return str(min(place, len(COLOURS) - 1))


def _entity(preview: SequencePreview) -> list[str]:
    return [str(name) for name in preview.definition["entity"]]
