"""nbplat: feature backfills, user sequences and training joins on Iceberg tables, from a notebook.

``import nbplat as nb`` gives `nb.backfill`, `nb.sequence`, `nb.Sequence`, `nb.environment`, `nb.Environment`,
`nb.session`, `nb.training_join` and `nb.local`;
``%load_ext nbplat`` gives the same as magics. Nothing is imported before its first use.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbplat.errors import NbplatError
    from nbplat.ui.python import backfill, environment, local, sequence, session, training_join
    from nbplat.ui.python_environment import Environment
    from nbplat.ui.python_sequence import Sequence

    __version__: str

__all__ = [
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
]

_CLASSES = {"Environment": "nbplat.ui.python_environment", "Sequence": "nbplat.ui.python_sequence"}
_FUNCTIONS = ("local", "training_join")
# Functions and subpackages at once: docs/decisions/0003-public-names-and-packages.md.
_CALLABLE_PACKAGES = ("backfill", "environment", "sequence", "session")
# `nb.backfill.promote("spend_90d")`; some are modules of the package at once.
_BACKFILL_VERBS = (
    "attach",
    "audit",
    "cancel",
    "diff",
    "expire",
    "extend",
    "grid",
    "list",
    "logs",
    "pause",
    "plan",
    "promote",
    "resume",
    "retry",
    "rollback",
    "show",
    "status",
)


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext nbplat``: add the magics. Imports no engine."""
    from nbplat.ui.magics import register

    register(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """``%unload_ext nbplat``: take the magics out again."""
    from nbplat.ui.magics import unregister

    unregister(ipython)


def __getattr__(name: str) -> Any:
    import importlib

    if name in _CALLABLE_PACKAGES:
        return importlib.import_module(f"nbplat.{name}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module("nbplat.ui.python"), name)
    if name in _CLASSES:
        return getattr(importlib.import_module(_CLASSES[name]), name)
    if name == "NbplatError":
        return importlib.import_module("nbplat.errors").NbplatError
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("nbplat")
    raise AttributeError(f"module 'nbplat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_DOC = property(lambda self: _public_function(self).__doc__)


class _CallableModule(ModuleType):
    # `nb.backfill?` shows the function's sentence; the package's own is for those who read its source.
    __doc__ = _DOC

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _public_function(self).__call__(*args, **kwargs)

    @property
    def __signature__(self) -> Any:
        import inspect

        return inspect.signature(_public_function(self))


class _CallablePackage(_CallableModule):
    __doc__ = _DOC  # a class does not inherit it

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _BACKFILL_VERBS and type(value) is ModuleType and self.__name__ == "nbplat.backfill":
            value.__class__ = _CallableModule
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        import importlib.util

        if self.__name__ != "nbplat.backfill" or name not in _BACKFILL_VERBS:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if importlib.util.find_spec(f"nbplat.backfill.{name}"):
            return importlib.import_module(f"nbplat.backfill.{name}")
        return getattr(importlib.import_module("nbplat.ui.python_backfill"), name)


def _public_function(module: ModuleType) -> Any:
    import importlib

    package, _, name = module.__name__.rpartition(".")
    place = "nbplat.ui.python" if package == "nbplat" else "nbplat.ui.python_backfill"
    return getattr(importlib.import_module(place), name)


class _Root(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        # The import system sets a subpackage on its parent: the moment to make it callable.
        if name in _CALLABLE_PACKAGES and type(value) is ModuleType:
            value.__class__ = _CallablePackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Root
