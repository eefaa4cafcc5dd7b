"""The explorer of a sequence: strips to point at and to walk through, with the static preview behind it."""

from __future__ import annotations

import importlib.util
from functools import cache
from importlib.resources import files
from typing import Any

from nbplat.sequence.preview import Comparison, SequencePreview
from nbplat.sequence.preview.explain_html import comparison_html, explain_html
from nbplat.sequence.preview.explain_text import explain_comparison, explain_preview
from nbplat.ui.widgets.packed_preview import packed_preview

__all__ = ["SequenceExplorer", "explorer"]

_VIEW_MIME = "application/vnd.jupyter.widget-view+json"


class SequenceExplorer:
    """What a cell shows of a preview or of a comparison.

    The display always holds ``text/plain`` and ``text/html``, which need neither a kernel nor a script. Where a kernel
    is running and anywidget can be imported, a preview's display holds the interactive view as well, and front ends
    that can show it prefer it; a page that is opened without a kernel falls back to the HTML.
    """

    def __init__(self, shown: SequencePreview | Comparison) -> None:
        self.shown = shown
        self._widget: Any = None

    @property
    def text(self) -> str:
        """Lines of text; the first one is the whole in short."""
        shown = self.shown
        return "\n".join(explain_comparison(shown) if isinstance(shown, Comparison) else explain_preview(shown))

    @property
    def html(self) -> str:
        """One block without a script."""
        shown = self.shown
        return comparison_html(shown) if isinstance(shown, Comparison) else explain_html(shown)

    @property
    def widget(self) -> Any:
        """The interactive view, an anywidget; None where there can be none."""
        if self._widget is None and isinstance(self.shown, SequencePreview) and _possible():
            self._widget = _widget_class()(packed=packed_preview(self.shown))
        return self._widget

    def view_part(self) -> dict[str, Any]:
        """The part that front ends draw the view from; empty where there can be none."""
        if self.widget is None:
            return {}
        return {_VIEW_MIME: {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}}

    def bundle(self) -> dict[str, Any]:
        """The display's parts by MIME type."""
        return {"text/plain": self.text, "text/html": self.html, **self.view_part()}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self.bundle()

    def __str__(self) -> str:
        return self.text


def explorer(shown: SequencePreview | Comparison) -> SequenceExplorer:
    """The display of a preview or a comparison, complete in every front end."""
    return SequenceExplorer(shown)


def _possible() -> bool:
    """Whether a kernel is there to talk to the view, and anywidget to draw it."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return getattr(shell, "kernel", None) is not None and importlib.util.find_spec("anywidget") is not None


@cache
def _widget_class() -> Any:
    import anywidget
    import traitlets

    folder = files(__package__)

    class ExplorerView(anywidget.AnyWidget):
        _esm = folder.joinpath("sequence_explorer.js").read_text(encoding="utf-8")
        _css = folder.joinpath("sequence_explorer.css").read_text(encoding="utf-8")
        packed = traitlets.Bytes().tag(sync=True)

    return ExplorerView
