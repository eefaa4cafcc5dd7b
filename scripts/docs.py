"""Writes the generated pages and blocks again and checks every relative link of the Markdown files.

``--check`` writes nothing and fails when a page is out of date.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from nbplat.backfill import states as run_states
from nbplat.backfill.audit import RULES, Rule
from nbplat.backfill.dialect import SUBSET, SubsetEntry
from nbplat.backfill.types import COLUMN_TYPES
from nbplat.config import load_config
from nbplat.environment.keys import KEYS as ENVIRONMENT_KEYS
from nbplat.job import states as job_states
from nbplat.sequence.keys import FUNCTIONS, KEYS
from nbplat.ui.options_page import options_page

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_ANYWHERE = re.compile(r"[a-z]+:")
_BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

_SUBSET = """# The SQL of the local engine

<!-- Written by `make docs` from nbplat/backfill/dialect; edits here are lost. -->

A backfill's body is one Spark-SQL `SELECT`. The `local` engine runs a declared subset of it on DuckDB. Whatever is not
listed here is refused while planning, before any effect, with the nearest name that is. A line stands here only when
`tests/spark/test_sql_subset.py` has shown equal types, values and errors against Spark, with nulls, NaN and ANSI mode;
where plain transpilation would give another result, the expression is rewritten first.

Values are equal to Spark's. Where a difference is given, doubles may differ by that much, relatively: they are added in
another order, or the last bit comes from another library. The session's time zone is UTC.
"""

_GROUPS = {
    "function": "Functions",
    "aggregate": "Aggregates",
    "window": "Window functions",
    "operator": "Operators",
    "cast": "Casts",
    "query": "The query around them",
}

_REFUSED = """## What is refused

| error | what it means |
| --- | --- |
| `sql.function`, `sql.operator`, `sql.cast`, `sql.interval` | not on this page |
| `sql.types` | arguments of types the line does not list |
| `sql.argument` | an argument that must be a literal, or has another value than those listed |
| `sql.query` | a clause, or a shape of one, that is not on this page |
| `sql.nondeterministic` | a result that would differ from run to run |
| `sql.decimal` | `0.5` is a DECIMAL in Spark: write `0.5D` for a double, or cast it |
| `body.result_type` | a result type that a new column cannot have |
"""


def subset_page() -> str:
    """docs/sql-subset.md from the dialect's own entries."""
    unknown = {entry.group for entry in SUBSET} - _GROUPS.keys()
    assert not unknown, f"name the groups {unknown} in _GROUPS"  # noqa: S101 - a page must not lose lines
    lines = [_SUBSET]
    for group, title in _GROUPS.items():
        lines += [f"## {title}", "", "| name | how it is written | notes | difference |", _rule(4)]
        lines += [_entry(entry) for entry in SUBSET if entry.group == group] + [""]
    lines += ["## Types of a new column", "", ", ".join(f"`{kind}`" for kind in COLUMN_TYPES) + ".", "", _REFUSED]
    return "\n".join(lines).rstrip() + "\n"


def _entry(entry: SubsetEntry) -> str:
    difference = f"{entry.tolerance:g}" if entry.tolerance else ""
    cells = (f"`{entry.name}`", f"`{entry.signature}`", entry.notes, difference)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


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
        default = (
            "the platform's user data folder" if each.key == "home" else f"`{each.value}`" if each.value != "" else ""
        )
        rows.append(f"| `{each.key}` | `{each.variable}` | {default} | {each.help} |")
    return ["| setting | variable | default | meaning |", _rule(4), *rows]


def _audit_rules() -> list[str]:
    rows = []
    for rule in RULES:
        level = "`block`, always" if rule.fixed else f"`{rule.level}`"
        rows.append(f"| `{rule.code}` | {rule.title} | {level} | {_thresholds(rule)} |")
    table = ["| rule | what holds when it passes | level | thresholds |", _rule(4), *rows]
    for rule in RULES:
        table += ["", f"### {rule.code}", "", rule.why, "", f"- Breaks it: {rule.example}", f"- Then: {rule.fix}."]
        table += [f"- `{rule.code}.{t.name}`: {t.help} ({_default(t.default, t.unit)})." for t in rule.thresholds]
    return table


def _thresholds(rule: type[Rule]) -> str:
    return ", ".join(f"`{t.name}` {_default(t.default, t.unit)}" for t in rule.thresholds)


def _default(value: float | None, unit: str) -> str:
    return "no limit" if value is None else f"{value:,.10g} {unit}".strip()


def _sequence_keys() -> list[str]:
    rows = []
    for each in KEYS:
        default = "**required**" if each.default is None else each.default
        rows.append(f"| `{each.path}` | {each.takes} | {default} | {each.meaning} |")
    return ["| key | value | default | meaning |", _rule(4), *rows]


def _environment_keys() -> list[str]:
    rows = []
    for each in ENVIRONMENT_KEYS:
        default = "**required**" if each.default is None else each.default
        rows.append(f"| `{each.path}` | {each.takes} | {default} | {each.meaning} |")
    return ["| key | value | default | meaning |", _rule(4), *rows]


def _sequence_functions() -> list[str]:
    rows = []
    for each in FUNCTIONS:
        options = (
            f"`{option.name}`: {option.takes}"
            + ("" if option.required else f" ({'none' if option.default is None else option.default})")
            for option in each.options
        )
        rows.append(f"| `{each.name}` | {each.columns} | {'; '.join(options)} | {each.meaning} |")
    return ["| function | columns | options (default) | a token is |", _rule(4), *rows]


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
    "audit-rules": _audit_rules,
    "sequence-keys": _sequence_keys,
    "environment-keys": _environment_keys,
    "sequence-functions": _sequence_functions,
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
