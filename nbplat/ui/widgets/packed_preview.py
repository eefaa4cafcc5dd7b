"""A preview as one block of bytes for the explorer: a JSON head, then columns of numbers, deflated."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nbplat.sequence.preview import REASONS, Histogram, SequencePreview, Share, Token
from nbplat.sequence.preview.explain_text import NO_DEFAULTS, facts, headline, verdict
from nbplat.sequence.preview.figures import letters
from nbplat.sequence.preview.html_leak import CHECK_NAMES
from nbplat.sequence.preview.signs import REASON_SIGNS

__all__ = ["PACKED_LIMIT_BYTES", "packed_preview"]

PACKED_LIMIT_BYTES = 150_000
_KEPT_BYTES = 145_000
_NONE = -(2**31)
_KINDS = {
    "uint8": "u8",
    "int8": "i8",
    "uint16": "u16",
    "int32": "i32",
    "uint32": "u32",
    "float32": "f32",
    "float64": "f64",
}
_FLAGS = ("time", "arrival", "own", "enrichment")


def packed_preview(preview: SequencePreview) -> bytes:
    """Under 150 kB: where it would be more, features of the model's view are left out, then the lightest strips.

    The form: deflate of the head's length (uint32, little endian), the head as JSON, and the columns that the head
    names with their kind, place and count; every column begins at a multiple of eight.
    """
    grids = max((len(view.grids) for view in preview.models), default=0)
    strips = len(preview.strips)
    while True:
        packed = _packed(preview, strips, grids)
        if len(packed) <= _KEPT_BYTES or not (grids or strips > 1):
            return packed
        if grids:
            grids -= 1
        else:
            strips = max(strips // 2, 1)


def _packed(preview: SequencePreview, strips: int, grids: int) -> bytes:
    head: dict[str, Any] = _head(preview, strips)
    columns = _token_columns(preview, strips, head)
    columns |= _model_columns(preview, strips, grids, head)
    blocks: list[bytes] = []
    size = 0
    at: dict[str, list[Any]] = {}
    for name, values in columns.items():
        raw = values.tobytes()
        at[name] = [_KINDS[values.dtype.name], size, len(values)]
        blocks.append(raw + bytes(-len(raw) % 8))
        size += len(blocks[-1])
    head["columns"] = at
    text = _shifted(head)
    return zlib.compress(len(text).to_bytes(4, "little") + text + b"".join(blocks), 9)


def _shifted(head: dict[str, Any]) -> bytes:
    """The head with the columns' places counted from the start of the block; blanks fill it up to them."""
    plain = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    # The places are written in more digits than before, so some room is left and filled up.
    start = (4 + len(plain) + 16 * len(head["columns"]) + 7) // 8 * 8
    moved = {name: [kind, start + place, count] for name, (kind, place, count) in head["columns"].items()}
    text = json.dumps({**head, "columns": moved}, ensure_ascii=False, separators=(",", ":")).encode()
    return text + b" " * (start - 4 - len(text))


def _head(preview: SequencePreview, strips: int) -> dict[str, Any]:
    kept = preview.strips[len(preview.strips) - strips :]
    chars = letters([each.event_type for each in preview.types])
    met = {reason for strip in kept for reason, _ in strip.counts}
    leak = preview.leak
    said = f"{verdict(preview)} · {leak.examples_touched:,} of {leak.examples:,} examples touched"
    warnings = list(preview.warnings)
    if left := len(preview.strips) - strips:
        warnings.append(f"{left} of {len(preview.strips)} strips are left out here: they are too large")
    return {
        "name": preview.name,
        "title": headline(preview),
        "facts": [
            *(list(each) for each in facts(preview)),
            ["defaults", " · ".join(preview.defaults) or NO_DEFAULTS],
        ],
        "warnings": warnings,
        "looked": preview.looked.text(),
        "leak": {
            "verdict": leak.verdict,
            "said": said,
            "checks": [
                {
                    "title": CHECK_NAMES[check.name],
                    "verdict": check.verdict,
                    "count": check.count,
                    "of": check.of,
                    "text": check.text,
                }
                for check in leak.checks
            ],
        },
        "steps": [
            {
                "name": step.name,
                "rows_in": step.rows_in,
                "rows_out": step.rows_out,
                "why": " · ".join([*(f"{count:,} {why}" for why, count in step.left_out), *filter(None, [step.note])]),
            }
            for step in preview.steps
        ],
        "types": [
            {
                "name": each.event_type,
                "letter": chars[each.event_type],
                "rule": each.rule,
                "lengths": _histogram(
                    each.lengths, f"{each.mean_length:.1f} tokens an example, {each.examples_empty:,} empty"
                ),
            }
            for each in preview.types
        ],
        "reasons": [
            {"key": key, "text": text, "sign": REASON_SIGNS.get(key, ""), "met": key in met and key != "selected"}
            for key, text in REASONS.items()
        ],
        "staleness": _histogram(preview.staleness),
        "hits": [_share(each) for each in preview.hits],
        "vocab": [_share(each) for each in preview.vocab],
        "shown": list(preview.shown),
        "none": _NONE,
        "strips": [
            {
                "kind": strip.kind,
                "entity": strip.entity,
                "as_of": strip.as_of_us / 1e6,
                "timeless": strip.timeless,
                "tokens": len(strip.tokens),
                "omitted": [list(each) for each in strip.omitted],
                "selected": dict(strip.counts).get("selected", 0),
                "leaks": strip.future,
                "counts": [[REASONS[reason], count] for reason, count in strip.counts],
            }
            for strip in kept
        ],
    }


def _histogram(chart: Histogram, note: str = "") -> dict[str, Any]:
    return {
        "name": chart.name,
        "labels": list(chart.labels),
        "counts": list(chart.counts),
        "mark": chart.mark,
        "mark_text": chart.mark_text,
        "note": " · ".join(each for each in (chart.note, note) if each),
    }


def _share(each: Share) -> dict[str, Any]:
    return {"name": each.name, "count": each.count, "of": each.of, "note": each.note}


def _token_columns(preview: SequencePreview, strips: int, head: dict[str, Any]) -> dict[str, npt.NDArray[Any]]:
    kept = preview.strips[len(preview.strips) - strips :]
    tokens = [token for strip in kept for token in strip.tokens]
    place = {each.event_type: number for number, each in enumerate(preview.types)}
    code = {key: number for number, key in enumerate(REASONS)}
    age_us = [strip.as_of_us - token.time_us for strip in kept for token in strip.tokens]
    columns: dict[str, npt.NDArray[Any]] = {
        "age_s": _whole(age // 1_000_000 for age in age_us),
        "age_us": np.array([age % 1_000_000 for age in age_us], np.int32),
        "type": np.array([place[token.event_type] for token in tokens], np.uint8),
        "reason": np.array([code[token.reason] for token in tokens], np.uint8),
        "future": np.array([sum(1 << _FLAGS.index(name) for name in token.future) for token in tokens], np.uint8),
    }
    head["arrival"] = any(token.seen_us is not None for token in tokens)
    if head["arrival"]:
        columns["late_s"] = _whole(((token.seen_us or token.time_us) - token.time_us) // 1_000_000 for token in tokens)
    head["texts"] = []
    for number in range(len(preview.shown)):
        texts, codes = _coded(token.values[number] for token in tokens)
        head["texts"].append(texts)
        columns[f"value_{number}"] = codes
    return columns | _added_columns(tokens, head)


def _added_columns(tokens: Sequence[Token], head: dict[str, Any]) -> dict[str, npt.NDArray[Any]]:
    names = [each.name for each in tokens[0].enriched] if tokens else []
    head["enriched"], head["enriched_texts"] = names, []
    columns = {}
    for number in range(len(names)):
        texts, codes = _coded(token.enriched[number].value for token in tokens)
        head["enriched_texts"].append(texts)
        columns[f"added_{number}"] = codes
        held = [token.enriched[number].valid_from_us for token in tokens]
        if any(each is not None for each in held):
            columns[f"from_{number}"] = _whole(
                _NONE if each is None else (token.time_us - each) // 1_000_000
                for token, each in zip(tokens, held, strict=True)
            )
    return columns


def _model_columns(
    preview: SequencePreview, strips: int, grids: int, head: dict[str, Any]
) -> dict[str, npt.NDArray[Any]]:
    columns: dict[str, npt.NDArray[Any]] = {}
    head["models"] = []
    for number, view in enumerate(preview.models):
        first = len(view.rows) - strips
        columns[f"model_{number}"] = np.array(view.types[first:], np.int8).reshape(-1)
        shown = view.grids[:grids]
        for place, grid in enumerate(shown):
            columns[f"grid_{number}_{place}"] = _small(np.array(grid.values[first:], np.float64).reshape(-1))
        head["models"].append(
            {
                "event_type": view.event_type,
                "rows": list(view.rows[first:]),
                "length": view.length,
                "places": list(view.places),
                "order": view.order,
                "pad": view.pad,
                "grids": [{"name": grid.name, "function": grid.function, "dtype": grid.dtype} for grid in shown],
            }
        )
    return columns


def _whole(values: Iterable[int]) -> npt.NDArray[Any]:
    """int32, or doubles where a number does not fit."""
    found = list(values)
    fits = all(_NONE <= value < 2**31 for value in found)
    return np.array(found, np.int32 if fits else np.float64)


def _small(values: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """The smallest kind that holds whole numbers exactly; float32 of all others."""
    if len(values) and (values == np.floor(values)).all() and values.min() >= 0:
        for kind, most in ((np.uint8, 2**8), (np.uint16, 2**16), (np.uint32, 2**32)):
            if values.max() < most:
                return values.astype(kind)
    return values.astype(np.float32)


def _coded(values: Iterable[str | None]) -> tuple[list[str | None], npt.NDArray[Any]]:
    """Distinct texts, and the place of each value among them."""
    places: dict[str | None, int] = {}
    codes = [places.setdefault(value, len(places)) for value in values]
    kind = np.uint8 if len(places) <= 2**8 else np.uint16 if len(places) <= 2**16 else np.uint32
    return list(places), np.array(codes, kind)
