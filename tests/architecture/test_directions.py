"""Words, then domains, then adapters, then compose, then service and ui; nothing looks upward."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

WORDS = ("errors", "terms", "declared", "clock", "config", "job")
DOMAINS = ("backfill", "environment", "sequence", "training")
# What a word or a domain may import besides the standard library, and what of that only inside a function.
ARRAYS = {"numpy", "pyarrow"}
LAZY_ONLY = {"sqlglot", "yaml", "jinja2", "packaging"}
CONFIG_ONLY = {"platformdirs"}


def _word_files(root: Path) -> list[Path]:
    return [
        path for word in WORDS for path in (root / "nbplat" / word, root / "nbplat" / f"{word}.py") if path.exists()
    ]


def test_the_layers_hold_by_import_linter(root, tmp_path):
    """import-linter finds every contract of pyproject.toml kept."""
    linter = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run(
        [linter, "--cache-dir", tmp_path, "--config", root / "pyproject.toml"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_imports_words_itself_and_light_parsers(root, imports_of, domain):
    """A domain's files import words, remote code, their own package, the standard library, numpy and pyarrow."""
    ours = tuple(f"nbplat.{name}" for name in (*WORDS, "remote", domain))

    wrong = [str(found) for found in imports_of(root / "nbplat" / domain) if not _allowed(found, ours)]

    assert [] == wrong


def test_words_import_only_words(root, imports_of):
    """Words import words and the standard library; numpy only for types, the user's folders only in config."""
    ours = tuple(f"nbplat.{name}" for name in WORDS)

    wrong = [
        str(found)
        for path in _word_files(root)
        for found in imports_of(path)
        if not _allowed(found, ours) and not (path.name == "config" and _top(found) in CONFIG_ONLY and found.lazy)
    ]

    assert [] == wrong


def test_code_for_other_interpreters_imports_nothing_of_nbplat(root, imports_of):
    """nbplat/remote runs where nbplat is not installed: standard library, numpy, pyarrow; the rest on use only."""
    allowed = {"numpy", "pyarrow", *sys.stdlib_module_names}
    on_use = {"duckdb", "numba", "pyspark", "ray", "boto3", "botocore", "sklearn", "torch", "xgboost"}

    wrong = [
        str(found)
        for found in imports_of(root / "nbplat" / "remote")
        if _top(found) not in allowed
        and not found.name.startswith("nbplat.remote.")
        and not (found.lazy and _top(found) in on_use)
    ]

    assert [] == wrong


def test_code_for_other_interpreters_is_python_3_9(root):
    """No syntax, and none of the later names we are used to, that Python 3.9 has not."""
    later = {"strict", "slots", "kw_only"}

    for path in sorted((root / "nbplat" / "remote").glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"), feature_version=(3, 9))
        assert not any(isinstance(node, ast.Match) for node in ast.walk(tree)), path
        named = {(keyword.arg, keyword.value.lineno) for keyword in ast.walk(tree) if isinstance(keyword, ast.keyword)}
        assert [] == [(path.name, line) for name, line in named if name in later]
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert not imported & {"UTC", "StrEnum", "Self", "TypeAlias", "NotRequired", "pairwise", "annotations_"}, path
        first = [node for node in tree.body if isinstance(node, ast.ImportFrom)][:1]
        assert not first or "__future__" == first[0].module, path


def test_one_heavy_library_belongs_to_one_folder(root, imports_of):
    """The libraries that adapters own are imported at the top of a module nowhere else."""
    owners = {
        "pyiceberg": ("adapters/iceberg", "service/iceberg_rest"),
        "duckdb": ("adapters/duckdb",),
        # The REST catalog moves the embedded catalog's pointers by compare-and-swap in its own database.
        "sqlalchemy": ("adapters/store", "adapters/iceberg", "service/iceberg_rest"),
        "alembic": ("adapters/store",),
        "thriftpy2": ("adapters/parquet",),
        "fastapi": ("service",),
        "uvicorn": ("service",),
        "IPython": ("ui/magics", "testing"),
    }

    wrong = [
        str(found)
        for found in imports_of(root / "nbplat")
        if not found.lazy
        and _top(found) in owners
        and not found.file.relative_to(root / "nbplat").as_posix().startswith(owners[_top(found)])
    ]

    assert [] == wrong


def _top(found) -> str:
    return found.name.split(".")[0]


def _allowed(found, ours: tuple[str, ...]) -> bool:
    if _top(found) == "nbplat":
        return any(found.name == name or found.name.startswith(f"{name}.") for name in ours)
    if _top(found) in LAZY_ONLY:
        return found.lazy
    return _top(found) in ARRAYS or _top(found) in sys.stdlib_module_names
