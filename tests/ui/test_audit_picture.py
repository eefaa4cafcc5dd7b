"""The picture of an audit: self-contained, script-free, named for screen readers, safe with any text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from nbplat.ui.render.audit import audit_html, audit_line
from nbplat.ui.render.charts import ACCENT, WARNING, Bar, bars_svg

_SVG = "{http://www.w3.org/2000/svg}"


def measure(**changes: Any) -> dict[str, Any]:
    dates = [
        {"label": "2024-01", "rows": 10, "nulls": 0, "mean": 1.0, "drift": None},
        {"label": "2024-02", "rows": 10, "nulls": 10, "mean": None, "drift": None},
        {"label": "2024-03", "rows": 10, "nulls": 5, "mean": 2.5, "drift": 0.9},
    ]
    return {
        "column": "spend",
        "kind": "number",
        "rows": 30,
        "nulls": 15,
        "distinct": 12,
        "least": 0.5,
        "most": 99.0,
        "mean": 1.75,
        "deviation": 0.5,
        "edges": [1.0, 2.0],
        "names": [],
        "after": [5, 5, 5],
        "before": [10, 0, 0],
        "before_name": "spend@1",
        "drift_limit": 0.5,
        "dates": dates,
        **changes,
    }


def record(*measures: dict[str, Any], **changes: Any) -> dict[str, Any]:
    findings = [
        {"rule": "rows", "column": "", "passed": True, "blocks": True, "message": "30 rows"},
        {"rule": "range", "column": "spend", "passed": False, "blocks": False, "message": "1 value is NaN"},
        {
            "rule": "nulls",
            "column": "spend",
            "passed": False,
            "blocks": True,
            "message": "a < b & c",
            "fix": "mend <it>",
        },
    ]
    return {"passed": False, "findings": findings, "profile": list(measures), "notes": ["kept in t"], **changes}


def charts(html: str) -> list[ET.Element]:
    return [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]  # noqa: S314 - our own text


def titles(svg: ET.Element) -> list[str]:
    return [title.text or "" for title in svg.iter(f"{_SVG}title")]


def test_three_charts_a_column_each_with_a_name() -> None:
    """Distribution, coverage and drift; every svg is an image with a title, every bar says its figure."""
    found = charts(audit_html(record(measure())))
    assert 3 == len(found)
    for svg in found:
        assert "img" == svg.get("role")
        assert titles(svg)[0]
    distribution, coverage, drift = map(titles, found)
    assert "spend: distribution (frame: spend@1)" == distribution[0]
    assert ["< 1: 33.3%, before 100.0%", "1 to 2: 33.3%, before 0.0%", "≥ 2: 33.3%, before 0.0%"] == distribution[1:]
    assert ["2024-01: 100.0 % of 10 rows", "2024-02: 0.0 % of 10 rows", "2024-03: 50.0 % of 10 rows"] == coverage[1:]
    assert "2024-01: nothing before it, mean 1" == drift[1]
    assert "2024-03: PSI 0.900, mean 2.5" == drift[3]
    assert "limit: PSI 0.5 beyond chance" == drift[4]


def test_the_page_holds_no_script_no_address_and_no_raw_text() -> None:
    """Names and messages are escaped; colours come from the theme or hold on both."""
    html = audit_html(record(measure(column='<script>alert("x")</script>', before_name="a&b")))
    assert "<script" not in html
    assert "a &lt; b &amp; c" in html
    assert "mend &lt;it&gt;" in html
    assert set() == set(re.findall(r"https?://[^\"]+", html)) - {"http://www.w3.org/2000/svg"}
    assert {"transparent", "none", "currentColor", ACCENT, WARNING} >= set(
        re.findall(r'(?:fill|stroke)="([^"]+)"', html)
    )


def test_what_blocks_stands_first() -> None:
    """The verdict line counts, blocking findings come before warnings."""
    html = audit_html(record())
    assert "1 of 3 findings ok, 1 warn, 1 block" == audit_line(record())
    assert html.index("<b>blocks</b> nulls spend") < html.index("<b>warns</b> range spend")
    assert "audit rejected" in html
    assert "kept in t" in html


@pytest.mark.parametrize(
    "changes",
    [
        {"dates": [], "before": None},
        {"kind": "category", "edges": [], "names": ["a", "b"], "after": [3, 2, 1], "before": None, "mean": None},
        {"kind": "category", "edges": [], "names": [], "after": [], "before": None, "least": None, "most": None},
        {"kind": "time", "edges": [19723.0, 19800.0], "least": "2024-01-01", "most": "2024-03-18"},
        {
            "edges": [],
            "after": [0],
            "before": None,
            "rows": 0,
            "nulls": 0,
            "distinct": None,
            "mean": None,
            "least": None,
        },
        {"edges": [None, 2.0]},
        {"drift_limit": None},
    ],
)
def test_every_kind_of_measure_can_be_drawn(changes: dict[str, Any]) -> None:
    """Categories, times, empty columns, a column without dates, infinite edges and no limit."""
    found = charts(audit_html(record(measure(**changes))))
    assert 1 <= len(found) <= 3
    assert all(float(rect.get("height", "-1")) >= 0 for svg in found for rect in svg.iter(f"{_SVG}rect"))


def test_many_measures_are_cut_and_old_records_still_show() -> None:
    """Twelve are drawn, the rest is counted; a record without a profile shows its findings."""
    assert "2 more measures are in the record (--json)" in audit_html(record(*[measure()] * 14))
    assert [] == charts(audit_html(record(profile=[], notes=[])))
    assert "audit passed" in audit_html({"passed": True, "findings": []})


def test_an_empty_place_that_warns_is_shaded() -> None:
    """A date without any value is seen, not only left out."""
    [svg] = charts(bars_svg("h", [Bar(0.0, "none", warns=True), Bar(1.0, "all")], top=1.0))
    shaded = [rect for rect in svg.iter(f"{_SVG}rect") if rect.get("opacity")]
    assert [WARNING] == [rect.get("fill") for rect in shaded]
