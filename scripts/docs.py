"""Writes the generated pages and blocks again and checks every relative link of the Markdown files.

``--check`` writes nothing and fails when a page is out of date.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from nbplat.backfill import dialect
from nbplat.backfill import states as run_states
from nbplat.backfill.types import NEW_COLUMN_TYPES
from nbplat.config import load_config
from nbplat.job import states as job_states
from nbplat.ui.options_page import options_page

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_ANYWHERE = re.compile(r"[a-z]+:")
_BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

_SUBSET = """# The SQL of the local engine

<!-- Written by `make docs` from nbplat/backfill/dialect.py; edits here are lost. -->

A backfill's body is one Spark-SQL `SELECT`. The `local` engine runs a declared subset of it on DuckDB. Whatever is not
listed here is refused while planning, before any effect, with the nearest name that is: a function enters the list only
when `tests/spark/test_sql_subset.py` has shown equal types and equal values against Spark, with nulls, NaN and errors.

Where plain transpilation would give another result, the tree is rewritten first: `/` raises on zero and gives a double,
`floor` and `ceil` give a bigint, a cast to an integer cuts off instead of rounding, `ln` is null at and below zero,
`sqrt` below zero is NaN. Values are equal; float sums may be added in another order, so they agree within a relative
1e-9, which is also the tolerance of the audit's determinism rule. The session's time zone is UTC.
"""


def subset_page() -> str:
    """docs/sql-subset.md from the dialect's own lists."""
    lines = [_SUBSET]
    for name, title in (
        ("FUNCTIONS", "Functions"),
        ("CASTS", "Cast to"),
        ("INTERVALS", "Interval units"),
    ):
        # A list may still be private to its module.
        found: Collection[str] = getattr(dialect, name, None) or getattr(dialect, f"_{name}", ())
        if found:
            lines += [f"## {title}", "", *_listed(found), ""]
    lines += ["## Types of a new column", "", ", ".join(f"`{kind}`" for kind in NEW_COLUMN_TYPES) + ".", ""]
    lines += [
        "## What is refused",
        "",
        "| error | what it means |",
        "| --- | --- |",
        "| `sql.function` | a function outside the list; the message names the nearest |",
        "| `sql.operator` | a construct outside the list: lateral views, pivots, array and map access, … |",
        "| `sql.cast` | a cast to another type |",
        "| `sql.interval` | an interval of months or years, or of a unit outside the list |",
        "| `sql.decimal` | arithmetic with a literal such as `0.5`, a DECIMAL in Spark: write `0.5D` |",
        "| `body.result_type` | a result type that a new column cannot have |",
    ]
    return "\n".join(lines).rstrip() + "\n"


def _listed(found: Collection[str]) -> list[str]:
    if isinstance(found, Mapping) and all(isinstance(note, str) for note in found.values()):
        return ["| name | note |", "| --- | --- |", *(f"| `{name.lower()}` | {found[name]} |" for name in sorted(found))]
    return [", ".join(f"`{name.lower()}`" for name in sorted(found)) + "."]


def _run_moves() -> list[str]:
    rows = [f"| `{state}` | {_names(after)} |" for state, after in run_states.MOVES.items()]
    return ["| run is | may become |", "| --- | --- |", *rows]


def _run_steps() -> list[str]:
    rows = []
    for step, (allowed, doing) in run_states.STEPS.items():
        done = run_states.DONE[step]
        ends = {run_states.AFTER_JOB[step, end] for end in (job_states.JobState.FAILED, job_states.JobState.CANCELLED)}
        back = " or ".join(f"`{state}`" if state else "where it came from" for state in ends)
        rows.append(f"| `{step}` | {_names(allowed)} | `{doing}` | `{done}` | {back} |")
    return ["| job | starts from | run meanwhile | when it succeeds | when it fails or is cancelled |", _rule(5), *rows]


def _job_moves() -> list[str]:
    rows = [f"| `{state}` | {_names(after)} |" for state, after in job_states.MOVES.items()]
    return ["| job is | may become |", "| --- | --- |", *rows]


def _settings() -> list[str]:
    settings = load_config(environ={}, cwd=ROOT / "docs", user_file=ROOT / "docs" / "none.toml").settings()
    rows = []
    for each in settings:
        # Where the state folder lies is the platform's choice.
        default = "the platform's user data folder" if each.key == "home" else f"`{each.value}`" if each.value != "" else ""
        rows.append(f"| `{each.key}` | `{each.variable}` | {default} | {each.help} |")
    return ["| setting | variable | default | meaning |", _rule(4), *rows]


def _layout() -> list[str]:
    rows = []
    for path in sorted((ROOT / "nbplat").iterdir()):
        if path.suffix == ".py":
            rows.append(f"| `{path.name}` | {_sentence(path)} | |")
        elif (path / "__init__.py").exists():
            parts = sorted(
                part.stem if part.is_file() else f"{part.name}/"
                for part in path.iterdir()
                if (part.suffix == ".py" and part.stem != "__init__") or (part / "__init__.py").exists()
            )
            rows.append(f"| `{path.name}/` | {_sentence(path / '__init__.py')} | {' '.join(parts)} |")
    return ["| `nbplat/` | what it is | parts |", _rule(3), *rows]


def _sentence(path: Path) -> str:
    text = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    return re.split(r"(?<=\.)\s", " ".join(text.split()))[0].replace("|", "\\|")


def _names(states: Collection[str]) -> str:
    return ", ".join(f"`{state}`" for state in sorted(states)) or "nothing: it is an end"


def _rule(columns: int) -> str:
    return "| " + " | ".join(["---"] * columns) + " |"


PAGES: dict[str, Callable[[], str]] = {"docs/options.md": options_page, "docs/sql-subset.md": subset_page}
BLOCKS: dict[str, Callable[[], list[str]]] = {
    "run-moves": _run_moves,
    "run-steps": _run_steps,
    "job-moves": _job_moves,
    "settings": _settings,
    "layout": _layout,
}


def with_blocks(text: str) -> str:
    """A page with every ``<!-- generated: NAME -->`` block filled anew."""
    return _BLOCK.sub(lambda m: f"{m[1]}" + "\n".join(BLOCKS[m[2]]()) + f"\n{m[3]}", text)


def write_pages(*, check: bool) -> list[str]:
    """Write what is generated; with `check`, name what differs instead."""
    stale = []
    wanted = {ROOT / name: make() for name, make in PAGES.items()}
    for page in sorted(ROOT.glob("docs/**/*.md")):
        if page not in wanted:
            wanted[page] = with_blocks(page.read_text(encoding="utf-8"))
    for path, text in wanted.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        name = path.relative_to(ROOT)
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
