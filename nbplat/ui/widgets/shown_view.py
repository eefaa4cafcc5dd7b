"""The display of a view: always text and HTML, and where a kernel runs the widget as well."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from typing import Any

__all__ = ["ShownView", "can_show", "kernel_runs"]

_VIEW_MIME = "application/vnd.jupyter.widget-view+json"


class ShownView(ABC):
    """What a cell shows of a thing to look at or to fill in.

    The display always holds ``text/plain`` and ``text/html``, which need neither a kernel nor a script. Where a kernel
    runs and the widget's package is installed, it holds the widget as well, and front ends that can draw it prefer
    it; a page that is opened without a kernel falls back to the HTML.
    """

    @property
    @abstractmethod
    def text(self) -> str:
        """Lines of text; the first one is the whole in short."""

    @property
    @abstractmethod
    def html(self) -> str:
        """One block without a script."""

    @property
    @abstractmethod
    def widget(self) -> Any:
        """The interactive view; None where its package is not installed."""

    def view_part(self) -> dict[str, Any]:
        """The part that front ends draw the widget from; empty where no kernel runs, or there is no widget."""
        if not kernel_runs() or self.widget is None:
            return {}
        return {_VIEW_MIME: {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}}

    def bundle(self) -> dict[str, Any]:
        """The display's parts by MIME type."""
        return {"text/plain": self.text, "text/html": self.html, **self.view_part()}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self.bundle()

    def __str__(self) -> str:
        return self.text


def can_show(package: str) -> bool:
    """Whether the package that a widget is made of is installed."""
    return importlib.util.find_spec(package) is not None


def kernel_runs() -> bool:
    """Whether there is a kernel that a widget could talk to."""
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None
