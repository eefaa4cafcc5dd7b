"""Every error of environments has its code on a page, and no page names a code that nothing raises."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").glob("environment*.md")), ROOT / "docs" / "channels.md"]
_CELL = re.compile(r"^\| (`env\.[^|]*) \|", re.MULTILINE)


def raised() -> set[str]:
    """Codes in the source; those of a declaration's faults get their prefix where they are raised."""
    found: set[str] = set()
    for path in (ROOT / "nbplat").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r'"(env\.[a-z_]+(?:\.[a-z_]+)?)"', text))
        if "declared" in path.parts or (path.name == "read.py" and "environment" in path.parts):
            found |= {f"env.{code}" for code in re.findall(r'\b[fF]ault\(\s*"([a-z_]+)"', text)}
    return found | {"env.secret", "env.channel_name"}


def named() -> set[str]:
    """Codes in the first cells of tables: `` `env.yaml`, `.empty` `` names two."""
    found: set[str] = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found |= set(re.findall(r"`(env\.[a-z_]+(?:\.[a-z_]+)?)`", text))
        for cell in _CELL.findall(text):
            found |= {f"env{code}" for code in re.findall(r"`(\.[a-z_]+)`", cell)}
    return found


def test_every_code_stands_on_a_page() -> None:
    """Who meets a code can look it up."""
    assert [] == sorted(raised() - named())
