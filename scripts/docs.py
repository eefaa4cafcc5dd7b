"""Writes the generated pages again and checks every relative link of the Markdown files.

``--check`` writes nothing and fails when a page is out of date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from nbplat.ui.options_page import options_page

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"docs/options.md": options_page}
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_ANYWHERE = re.compile(r"[a-z]+:")


def write_pages(*, check: bool) -> list[str]:
    """Write what is generated; with `check`, name what differs instead."""
    stale = []
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if check:
            stale.append(f"{name} is out of date. Fix: make docs")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return stale


def broken_links() -> list[str]:
    """Relative links to a file or a heading that is not there."""
    faults = []
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]):
        text = _FENCE.sub("", page.read_text(encoding="utf-8"))
        for target in _LINK.findall(text):
            if _ANYWHERE.match(target):
                continue
            file, _, heading = target.partition("#")
            found = (page.parent / file).resolve() if file else page
            if not found.exists():
                faults.append(f"{page.relative_to(ROOT)}: no file {file}")
            elif heading and found.suffix == ".md" and heading not in _headings(found):
                faults.append(f"{page.relative_to(ROOT)}: no heading #{heading} in {file or 'this page'}")
    return faults


def _headings(page: Path) -> set[str]:
    lines = _FENCE.sub("", page.read_text(encoding="utf-8")).splitlines()
    titles = (line.lstrip("#").strip().lower() for line in lines if line.startswith("#"))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def main(arguments: list[str]) -> int:
    faults = write_pages(check="--check" in arguments) + broken_links()
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
