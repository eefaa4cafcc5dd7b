"""A preview of any size, seeded: what the picture and the widget are measured and looked at with."""

from __future__ import annotations

import numpy as np

from nbplat.sequence.preview import (
    Enriched,
    Grid,
    Headline,
    Histogram,
    LeakCheck,
    LeakPanel,
    Looked,
    ModelView,
    SequencePreview,
    Share,
    Step,
    Strip,
    Token,
    TypeSummary,
)

TYPES = ("click", "repin", "purchase")
T0 = 1_323_000_000_000_000
DAY = 86_400_000_000


def made_preview(
    users: int = 20, tokens: int = 100, *, leaking: bool = False, full: bool = False, name: str = "home_v3"
) -> SequencePreview:
    """`users` strips of up to `tokens` events before the instant (with `full` all of as many), and a few after it."""
    draw = np.random.default_rng(7)
    strips = tuple(_strip(draw, place, users, tokens, leaking, full) for place in range(users))
    selected = sum(token.selected for strip in strips for token in strip.tokens)
    future = sum(strip.future for strip in strips)
    return SequencePreview(
        name=name,
        version="0a1b2c3d4e5f" * 5 + "0000",
        variant="",
        definition={"entity": ["user_id"], "source": "lake.events"},
        examples="lake.train (snapshot 8123)",
        headline=Headline(
            source="lake.events",
            pin="snapshot 5521",
            rows_read=20_400_000,
            rows_indexed=20_000_000,
            duplicates=400_000,
            late=408_812,
            entities=957_982,
            types=(("click", 16_000_000), ("purchase", 1_000_000), ("repin", 3_000_000)),
            first_us=T0 - 370 * DAY,
            last_us=T0 + 20 * DAY,
            index_bytes=327_000_000,
            build_s=41.2,
        ),
        looked=Looked(12, 64, 361_002, 2_000_000, 3_750_112),
        steps=(
            Step("read", 20_400_000, 20_400_000, (), "lake.events"),
            Step("dedupe", 20_400_000, 20_000_000, (("copies of another", 400_000),), "first by event_id"),
            Step("retrieve", 9_812_113, 7_400_221, (("at or after the instant", 2_400_000), ("not known yet", 11_892))),
            Step("filter", 7_400_221, 4_300_000, (("beyond last N", 3_000_000), ("where is false", 100_221))),
            Step("enrich", 4_300_000, 4_300_000, (), "category 98.2 %"),
            Step("size", 4_300_000, 4_200_000, (("cut by size", 100_000),), "12.4 % of the users truncated"),
            Step("featurize", 4_200_000, 7_220_040, (), "[361,002, 200], 41.8 % of the cells padding"),
        ),
        types=tuple(
            TypeSummary(
                each,
                rule,
                count,
                count // 9,
                count / 9 / 361_002,
                12_000,
                4_100,
                Histogram(
                    f"{each} before the instant",
                    ("0", "1", "2-3", "4-7", "8-15", "16-31", "32-63", "64-127", "128-255", "256+"),
                    tuple(int(n) for n in draw.integers(10, 4_000, 10)),
                    mark=7,
                    mark_text=rule,
                    note="12.4 % of the examples at the cap",
                ),
            )
            for each, rule, count in zip(
                TYPES,
                ("last 100 · within 90d", "last 50", "last 10 · where amount > 0"),
                (16_000_000, 3_000_000, 1_000_000),
                strict=True,
            )
        ),
        staleness=Histogram(
            "age of the newest token",
            ("< 1m", "1m", "10m", "1h", "6h", "1d", "7d", "30d", "90d", "1y"),
            (12, 90, 400, 1_900, 4_100, 9_200, 12_000, 4_000, 900, 30),
            note="median 2d4h",
        ),
        hits=(Share("category", 4_223_000, 4_300_000), Share("emb", 4_100_000, 4_300_000, "latest")),
        vocab=(Share("item_id", 4_000_000, 4_200_000, "31,022 values"),),
        leak=LeakPanel(
            strict=not leaking,
            at="example",
            gap_us=300_000_000,
            examples=361_002,
            examples_touched=4_100 * leaking,
            tokens=max(selected, 1),
            future=future,
            checks=(
                LeakCheck(
                    "rule", "risk" if leaking else "ok", 0, 0, "only events strictly before the instant are let in"
                ),
                LeakCheck("boundary", "ok", 14, 4_200_000, "14 events at the very instant, all of them left out"),
                LeakCheck(
                    "arrival", "leak" if leaking else "ok", future, selected, "tokens known only after the example"
                ),
                LeakCheck("own_event", "ok", 0, 361_002, "no example's own event is among its tokens"),
                LeakCheck("enrichment_after_event", "ok", 0, 8_400_000, "no value from after the event"),
                LeakCheck("enrichment_after_example", "unchecked", 0, 0, "emb has no time column: add `by valid_from`"),
            ),
        ),
        shown=("item_id", "amount"),
        strips=strips,
        models=(_model(draw, strips, 200),),
        padding=0.418,
        tokens_bytes=1_200_000_000,
        defaults=("as_of.strict: true", "type: event_type", "size.pad: right"),
        warnings=("no event is of type 'hide': did you mean 'hidden'?",),
        seconds=1.42,
    )


def _strip(draw: np.random.Generator, place: int, users: int, most: int, leaking: bool, full: bool) -> Strip:
    share = place / max(users - 1, 1)
    count = most if full else max(int(most * (0.02 + share) / 1.02), 1) if place else 0
    as_of = T0 + int(draw.integers(0, 10)) * DAY + int(draw.integers(0, DAY))
    ages = np.sort(draw.exponential(12 * DAY, count).astype(np.int64))[::-1] + 300_000_000
    tokens = []
    for number, age in enumerate(ages):
        reason = "selected" if draw.random() < 0.97 or not number else str(draw.choice(["not_known", "where_false"]))
        future = ("arrival",) if leaking and reason == "selected" and draw.random() < 0.05 else ()
        tokens.append(_token(draw, as_of - int(age), reason, as_of, future))
    tokens += [_token(draw, as_of + int(n) * 3_600_000_000, "not_before", as_of, ()) for n in range(place % 4)]
    oldest = [_token(draw, as_of - 400 * DAY + n, "beyond_last", as_of, ()) for n in range(3)] if share > 0.6 else []
    counts: dict[str, int] = {}
    for token in (*oldest, *tokens):
        counts[token.reason] = counts.get(token.reason, 0) + 1
    omitted = ((3, 1_203),) if oldest else ()
    if omitted:
        counts["beyond_last"] += 1_203
    return Strip(
        kind="heaviest" if place == users - 1 else "short" if share < 1 / 3 else "median" if share < 2 / 3 else "long",
        entity=str(13_000 + place * 17),
        as_of_us=as_of,
        cutoff_us=as_of - 300_000_000,
        tokens=(*oldest, *tokens),
        omitted=omitted,
        counts=tuple(counts.items()),
        future=sum(bool(token.future) for token in tokens),
    )


def _token(draw: np.random.Generator, at: int, reason: str, as_of: int, future: tuple[str, ...]) -> Token:
    found = draw.random() < 0.95
    return Token(
        event_type=str(draw.choice(TYPES, p=(0.75, 0.17, 0.08))),
        time_us=at,
        reason=reason,
        values=(str(draw.integers(20_000, 23_000)), f"{draw.integers(1, 900) / 10:.2f}"),
        enriched=(
            Enriched(
                "category",
                str(draw.choice(["home", "garden", "kids", "art"])) if found else None,
                at - 30 * DAY if found else None,
            ),
        ),
        seen_us=as_of + DAY if reason == "not_known" or future else at + 1_000_000,
        future=future,
    )


def _model(draw: np.random.Generator, strips: tuple[Strip, ...], length: int) -> ModelView:
    kept = [[token for token in reversed(strip.tokens) if token.selected][:length] for strip in strips]
    mask = tuple(tuple(place < len(tokens) for place in range(length)) for tokens in kept)
    types = tuple(
        tuple(TYPES.index(tokens[place].event_type) if place < len(tokens) else -1 for place in range(length))
        for tokens in kept
    )
    ages = tuple(
        tuple(
            float(np.log1p((strip.as_of_us - tokens[place].time_us) / 1e6)) if place < len(tokens) else 0.0
            for place in range(length)
        )
        for strip, tokens in zip(strips, kept, strict=True)
    )
    items = tuple(
        tuple(float(draw.integers(1, 3_000)) if place < len(tokens) else 0.0 for place in range(length))
        for tokens in kept
    )
    return ModelView(
        event_type="",
        rows=tuple(strip.entity for strip in strips),
        length=length,
        places=tuple(range(length)),
        order="newest_first",
        pad="right",
        mask=mask,
        types=types,
        grids=(Grid("item_id", "vocab", "int32", items), Grid("age", "age_log", "float32", ages)),
    )
