"""Files say what happens in them, and hold nothing of the machine they were written on."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SMELLS = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
# Written so that this file does not hold them itself.
MACHINE_PATHS = re.compile("/" + "root/" + "|/" + "work/")


def _tracked(root: Path) -> list[Path]:
    """Files that git knows or would add; every file below the sources where there is no git (an unpacked archive)."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0 and done.stdout:
        return [path for name in done.stdout.splitlines() if (path := root / name).is_file()]
    return [
        path for part in ("nbplat", "tests", "scripts", "docs") for path in (root / part).rglob("*") if path.is_file()
    ]


def test_no_file_is_named_for_what_it_is_made_of(root):
    """No module is called utils, helpers, common, manager or base."""
    wrong = [
        str(p.relative_to(root)) for p in _tracked(root) if p.suffix in {".py", ".ts", ".tsx"} and p.stem in SMELLS
    ]

    assert [] == wrong


def test_no_text_file_holds_a_path_of_a_machine(root):
    """No tracked text names a folder of the machine it was written on."""
    wrong = []
    for path in _tracked(root):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        wrong += [f"{path.relative_to(root)}: {match[0]}" for match in MACHINE_PATHS.finditer(text)]

    assert [] == wrong


def test_the_lock_holds_no_address_and_every_dependency(root):
    """scripts/check_lock.py finds nothing."""
    done = subprocess.run(
        [sys.executable, root / "scripts" / "check_lock.py"], capture_output=True, text=True, timeout=60, check=False
    )

    assert (0, "") == (done.returncode, done.stdout)


def test_make_help_lists_every_command(root):
    """`make help` names each command that the README and CI use."""
    text = (root / "Makefile").read_text(encoding="utf-8")

    listed = re.findall(r"^([a-z-]+):.*## ", text, flags=re.MULTILINE)

    assert {
        "help",
        "setup",
        "demo",
        "envs",
        "test",
        "test-cluster",
        "test-airflow",
        "test-papermill",
        "test-torch",
        "test-fast",
        "chaos",
        "lint",
        "bench",
        "lab",
        "labextension",
        "test-lab",
        "docs",
        "notebooks",
        "lock",
        "jars",
    } == set(listed)
