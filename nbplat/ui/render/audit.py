"""An audit as a picture: the verdict, and per column its distribution, its coverage by date and its drift."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from nbplat.ui.render.charts import Bar, bars_svg
from nbplat.ui.render.figures import share_text

__all__ = ["audit_html", "audit_line", "run_picture"]

_DRAWN_MEASURES = 12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def audit_line(audit: Mapping[str, Any]) -> str:
    """``31 of 33 findings ok, 1 warns, 1 blocks``."""
    findings = audit["findings"]
    bad = [finding for finding in findings if not finding["passed"]]
    blocks = sum(1 for finding in bad if finding["blocks"])
    said = [f"{len(findings) - len(bad)} of {len(findings)} findings ok"]
    said += [f"{count} {word}" for count, word in ((len(bad) - blocks, "warn"), (blocks, "block")) if count]
    return ", ".join(said)


def run_picture(run: Mapping[str, Any]) -> str:
    """The picture of a run's audit; empty before there is one."""
    audit = run["outputs"].get("audit")
    return audit_html(audit) if audit else ""


def audit_html(audit: Mapping[str, Any]) -> str:
    """The picture of an audit record; what was broken stands first, in words.

    Records of versions that kept no profile show the findings alone.
    """
    bad = sorted((f for f in audit["findings"] if not f["passed"]), key=lambda finding: not finding["blocks"])
    items = "".join(
        f"<li><b>{'blocks' if f['blocks'] else 'warns'}</b> {html.escape(_subject(f))}: {html.escape(f['message'])}"
        f"{_fix(f)}</li>"
        for f in bad
    )
    listed = f'<ul style="margin:4px 0;padding-left:20px">{items}</ul>' if items else ""
    verdict = "passed" if audit["passed"] else "rejected"
    profile: Sequence[Mapping[str, Any]] = audit.get("profile") or ()
    rows = "".join(_measure(measure) for measure in profile[:_DRAWN_MEASURES])
    left = len(profile) - _DRAWN_MEASURES
    more = f"<div>{left} more measures are in the record (--json)</div>" if left > 0 else ""
    notes = "".join(f'<div style="opacity:.8">{html.escape(note)}</div>' for note in audit.get("notes") or ())
    head = f"<div><b>audit {verdict}</b>: {html.escape(audit_line(audit))}</div>"
    return f'<section aria-label="audit" style="margin-top:8px">{head}{listed}{rows}{more}{notes}</section>'


def _measure(measure: Mapping[str, Any]) -> str:
    charts = [_distribution(measure)]
    if measure["dates"]:
        charts.append(_coverage(measure))
    if len(measure["dates"]) > 1 and measure["kind"] != "time":
        charts.append(_drift(measure))
    return (
        f'<div style="margin-top:8px"><div>{html.escape(_facts(measure))}</div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:14px">{"".join(charts)}</div></div>'
    )


def _facts(measure: Mapping[str, Any]) -> str:
    said = [f"{measure['rows']:,} rows", f"{share_text(measure['nulls'], measure['rows'])} null"]
    if measure["distinct"] is not None:
        said.append(f"{measure['distinct']:,} distinct")
    if measure["least"] is not None:
        said.append(f"from {_value(measure['least'])} to {_value(measure['most'])}")
    if measure["mean"] is not None and measure["kind"] == "number":
        said.append(f"mean {_number(measure['mean'])} ± {_number(measure['deviation'] or 0.0)}")
    return f"{measure['column']}: {', '.join(said)}"


def _distribution(measure: Mapping[str, Any]) -> str:
    after, before = _shares(measure["after"]), _shares(measure["before"])
    names = _bin_names(measure)
    bars = []
    for number, name in enumerate(names):
        share = after[number] if number < len(after) else 0.0
        old = before[number] if number < len(before) else None
        was = "" if old is None else f", before {old:.1%}"
        bars.append(Bar(share, f"{name}: {share:.1%}{was}", outline=old))
    most = max([*after, *before], default=0.0)
    against = f" (frame: {measure['before_name']})" if before else ""
    ends = (names[0], names[-1]) if names else ("", "")
    return bars_svg(f"{measure['column']}: distribution{against}", bars, ends=ends, top_text=f"{most:.0%}")


def _coverage(measure: Mapping[str, Any]) -> str:
    bars = []
    for date in measure["dates"]:
        share = (date["rows"] - date["nulls"]) / date["rows"] if date["rows"] else 0.0
        title = f"{date['label']}: {share_text(date['rows'] - date['nulls'], date['rows'])} of {date['rows']:,} rows"
        bars.append(Bar(share, title, warns=not share))
    heading = f"{measure['column']}: rows with a value, by date"
    return bars_svg(heading, bars, ends=_ends(measure), top=1.0, top_text="100%")


def _drift(measure: Mapping[str, Any]) -> str:
    limit = measure["drift_limit"]
    bars = [
        Bar(
            date["drift"],
            _drift_title(date, measure["kind"]),
            warns=limit is not None and (date["drift"] or 0.0) > limit,
        )
        for date in measure["dates"]
    ]
    most = max([limit or 0.0, *(bar.value or 0.0 for bar in bars)])
    return bars_svg(
        f"{measure['column']}: drift from the date before",
        bars,
        ends=_ends(measure),
        top_text=f"{most:.2g}",
        line=limit,
        line_title="" if limit is None else f"limit: PSI {limit:g} beyond chance",
    )


def _drift_title(date: Mapping[str, Any], kind: str) -> str:
    gap = "nothing before it" if date["drift"] is None else f"PSI {date['drift']:.3f}"
    mean = "" if date["mean"] is None or kind != "number" else f", mean {_number(date['mean'])}"
    return f"{date['label']}: {gap}{mean}"


def _ends(measure: Mapping[str, Any]) -> tuple[str, str]:
    labels = [date["label"] for date in measure["dates"]]
    return (labels[0], labels[-1] if len(labels) > 1 else "")


def _bin_names(measure: Mapping[str, Any]) -> list[str]:
    """What each bin of the histogram holds."""
    if measure["kind"] == "category":
        return [*(_short(str(name)) for name in measure["names"]), "others"]
    edges = [_edge(edge, measure["kind"]) for edge in measure["edges"]]
    if not edges:
        return ["all"]
    middle = [f"{low} to {high}" for low, high in pairwise(edges)]
    return [f"< {edges[0]}", *middle, f"≥ {edges[-1]}"]


def _edge(edge: float | None, kind: str) -> str:
    if edge is None:
        return "?"
    if kind != "time":
        return _number(edge)
    # Dates are counted in days, timestamps in seconds; no date of use lies beyond day 200,000.
    moment = _EPOCH + (timedelta(days=edge) if abs(edge) < 200_000 else timedelta(seconds=edge))
    return moment.strftime("%Y-%m-%d")


def _shares(counts: Sequence[int] | None) -> list[float]:
    total = sum(counts or ())
    return [count / total for count in counts or ()] if total else []


def _subject(finding: Mapping[str, Any]) -> str:
    return f"{finding['rule']} {finding['column']}".strip()


def _fix(finding: Mapping[str, Any]) -> str:
    fix = finding.get("fix")
    return f"<br><i>{html.escape(fix)}</i>" if fix else ""


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def _value(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _short(str(value))
    return f"{value:,}" if isinstance(value, int) else _number(value)


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:23]}…"
