"""What `import nbplat` and `%load_ext nbplat` load: nothing heavy. Seconds are a benchmark's business."""

from __future__ import annotations

HEAVY = [
    "IPython",
    "alembic",
    "duckdb",
    "fastapi",
    "httpx",
    "jinja2",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "pyiceberg",
    "pyspark",
    "ray",
    "sklearn",
    "sqlalchemy",
    "sqlglot",
    "yaml",
]
LOADED = f"answer = sorted({{m.split('.')[0] for m in sys.modules}} & set({HEAVY!r}))"


def test_import_nbplat_loads_nothing_heavy(fresh):
    """`import nbplat` in a fresh interpreter loads none of the engines, nor IPython."""
    assert [] == fresh(f"import sys, nbplat\n{LOADED}")


def test_the_command_line_loads_nothing_heavy(fresh):
    """`nbplat backfill --help` loads the standard library only."""
    assert [] == fresh(f"import sys\nfrom nbplat.ui.cli import main\nmain(['backfill', '--help'])\n{LOADED}")


def test_loading_the_extension_adds_nothing_heavy(fresh):
    """`%load_ext nbplat` adds no engine to what IPython has loaded by itself."""
    answer = fresh(
        "import sys\n"
        "from traitlets.config import Config\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "config = Config()\nconfig.HistoryManager.enabled = False\n"
        "shell = InteractiveShell.instance(config=config)\n"
        "before = {m.split('.')[0] for m in sys.modules}\n"
        "shell.run_line_magic('load_ext', 'nbplat')\n"
        "assert shell.find_cell_magic('backfill') is not None\n"
        f"added = {{m.split('.')[0] for m in sys.modules}} - before\nanswer = sorted(added & set({HEAVY!r}))"
    )

    assert [] == answer


def test_loading_the_extension_adds_few_modules(fresh):
    """A guard for the 0.2 s promise that does not depend on the machine: at most 70 modules are added."""
    answer = fresh(
        "import sys\n"
        "from traitlets.config import Config\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "config = Config()\nconfig.HistoryManager.enabled = False\n"
        "shell = InteractiveShell.instance(config=config)\n"
        "before = set(sys.modules)\nshell.run_line_magic('load_ext', 'nbplat')\n"
        "answer = len(set(sys.modules) - before)"
    )

    assert 70 >= answer
