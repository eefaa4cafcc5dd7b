"""The public surface of `nbplat`, and the two names that are packages and functions at once."""

from __future__ import annotations

import nbplat

FAKE_PYTHON = """
import sys, types
_fake = types.ModuleType("nbplat.ui.python")
def _backfill(name, *, table):
    "Run a backfill."
    return ["backfill", name, table]
_fake.backfill = _backfill
sys.modules["nbplat.ui.python"] = _fake
"""


def test_the_public_names_are_these():
    """A new public name is a decision, not an accident."""
    assert [
        "Environment",
        "NbplatError",
        "Sequence",
        "__version__",
        "backfill",
        "environment",
        "load_ipython_extension",
        "local",
        "sequence",
        "session",
        "training_join",
        "unload_ipython_extension",
    ] == nbplat.__all__


def test_every_public_name_resolves(fresh):
    """Each name of `__all__` is there, and is listed by `dir`."""
    expected = [[], []]

    answer = fresh(
        "import nbplat\n"
        "missing = [n for n in nbplat.__all__ if not hasattr(nbplat, n)]\n"
        "answer = [missing, [n for n in nbplat.__all__ if n not in dir(nbplat)]]"
    )

    assert expected == answer


def test_an_unknown_name_is_an_attribute_error(fresh):
    """A misspelt name fails as on any module."""
    answer = fresh("import nbplat\ntry:\n  nbplat.backfil\nexcept AttributeError as e:\n  answer = str(e)")

    assert "module 'nbplat' has no attribute 'backfil'" == answer


def test_the_function_works_before_and_after_its_package_is_imported(fresh):
    """`nb.backfill(...)` calls the function whether or not something imported the package `nbplat.backfill`."""
    answer = fresh(
        f"{FAKE_PYTHON}\nimport nbplat as nb\nbefore = nb.backfill('a', table='t.x')\n"
        "import nbplat.backfill\nanswer = [before, nb.backfill('b', table='t.y')]"
    )

    assert [["backfill", "a", "t.x"], ["backfill", "b", "t.y"]] == answer


def test_the_function_works_when_the_package_came_first(fresh):
    """Importing a module of the package first does not take the function away."""
    answer = fresh(
        f"{FAKE_PYTHON}\nfrom nbplat.backfill import spec\nfrom nbplat import backfill\n"
        "answer = [backfill('a', table='t.x'), spec.__name__]"
    )

    assert [["backfill", "a", "t.x"], "nbplat.backfill.spec"] == answer


def test_every_form_of_import_of_the_package_works(fresh):
    """`import nbplat.backfill.spec as s`, attribute walks and `from … import` all reach the package's modules."""
    answer = fresh(
        "import nbplat\nimport nbplat.backfill.spec as one\nfrom nbplat.backfill import spec as two\nimport sys\n"
        "three = nbplat.backfill.spec\n"
        "answer = [one is two is three, nbplat.backfill is sys.modules['nbplat.backfill']]"
    )

    assert [True, True] == answer


def test_help_on_the_name_is_the_functions(fresh):
    """Signature and docstring are the function's, so that `nb.backfill?` helps."""
    answer = fresh(
        f"{FAKE_PYTHON}\nimport inspect, nbplat as nb\n"
        "answer = [str(inspect.signature(nb.backfill)), nb.backfill.__doc__]"
    )

    assert ["(name, *, table)", "Run a backfill."] == answer
