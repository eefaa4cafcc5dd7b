"""What the tests of this folder read: the sources, and what a fresh interpreter loads."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Imported:
    """One imported module: ``from a import b`` gives ``a.b``; `lazy` inside functions and for type checkers only."""

    file: Path
    line: int
    name: str
    lazy: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.name}"


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def imports_of() -> Callable[[Path], list[Imported]]:
    """Reads the imports of every Python file below a path, or of one file; none when the path does not exist."""

    def read(path: Path) -> list[Imported]:
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        return [found for file in files for found in _imports(file, ast.parse(file.read_text("utf-8")), lazy=False)]

    return read


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[str], object]:
    """Runs code in a fresh interpreter, in an empty folder, and returns what it assigned to `answer`."""

    def run(code: str) -> object:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("NBPLAT_", "PYTEST", "COVERAGE"))}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", f"{code}\nimport json as _j\nprint('\\nanswer=' + _j.dumps(answer))"],
            cwd=tmp_path,
            env=environment | {"IPYTHONDIR": str(tmp_path / "ipython")},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.rpartition("answer=")[2])

    return run


def _imports(file: Path, node: ast.AST, *, lazy: bool) -> Iterator[Imported]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Imported(file, child.lineno, alias.name, lazy)
        elif isinstance(child, ast.ImportFrom):
            module = child.module
            if child.level:
                # Code for other interpreters travels with its package; siblings there are named by a dot.
                package = "nbplat" + ".".join(file.parts[:-1]).rpartition("nbplat")[2]
                beside = package.startswith("nbplat.remote") and child.level == 1
                assert beside, f"{file}:{child.lineno}: a relative import; write the full name"
                module = f"{package}.{child.module}" if child.module else package
            for alias in child.names:
                yield Imported(file, child.lineno, f"{module}.{alias.name}", lazy)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or (
                isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
            )
            yield from _imports(file, child, lazy=lazy or inside)
