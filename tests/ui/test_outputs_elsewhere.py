"""The outputs of the committed notebooks as VS Code, nbconvert and GitHub show them: without our page's code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
# What a page of somebody else's would fetch or run. A link that a person follows is none of these.
FETCHED = re.compile(
    r"<(script|link|iframe|object|embed)\b|\bsrc\s*=\s*[\"']?(?!data:)|url\(|@import|\son\w+\s*=", re.IGNORECASE
)
# White or black paper of its own is a hole in a page of the other theme; marks may have their colours.
GROUND = re.compile(r"background(-color)?\s*:\s*(#f{3}\b|#f{6}|#0{3}\b|#0{6}|white|black)", re.IGNORECASE)


def outputs(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every output with data, with the cell's first line."""
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            if "data" in output:
                yield cell.source.split("\n")[0], output["data"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_html_of_every_output_stands_by_itself(path: Path) -> None:
    """It fetches nothing, runs nothing, and puts no paper of its own under the text."""
    for line, data in outputs(path):
        html = data.get("text/html", "")
        assert None is FETCHED.search(html), line
        assert None is GROUND.search(html), line


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_text_of_every_output_can_be_searched(path: Path) -> None:
    """Each output has words as text: neither the name of an object in memory nor codes of a terminal's colours."""
    for line, data in outputs(path):
        text = data.get("text/plain", "")
        assert text.strip(), line
        assert None is re.search(r"<[\w.]+ object at 0x|\x1b\[", text), line


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_job_is_never_alone(path: Path) -> None:
    """Where an output names a job for the panel, its words and its picture stand beside it."""
    for line, data in outputs(path):
        if "application/vnd.nbplat.job.v1+json" in data:
            assert {"text/plain", "text/html"} <= set(data), line
