"""The explorer of a sequence: strips to point at and to walk through, with the static preview behind it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from nbplat.sequence.preview import Comparison, SequencePreview
from nbplat.sequence.preview.explain_html import comparison_html, explain_html
from nbplat.sequence.preview.explain_text import explain_comparison, explain_preview
from nbplat.ui.spoken import spoken
from nbplat.ui.widgets.packed_preview import packed_preview
from nbplat.ui.widgets.shown_view import ShownView, can_show, kernel_runs

__all__ = ["SequenceExplorer", "explorer"]


class SequenceExplorer(ShownView):
    """What a cell shows of a preview or of a comparison; only a preview can be walked through."""

    def __init__(self, shown: SequencePreview | Comparison) -> None:
        self.shown = shown
        self._widget: Any = None

    @property
    def text(self) -> str:
        """Lines of text; the first one is the whole in short."""
        if isinstance(self.shown, Comparison):
            return "\n".join(explain_comparison(self.shown))
        warnings = tuple(spoken(each) for each in self.shown.warnings)
        return "\n".join(explain_preview(replace(self.shown, warnings=warnings)))

    @property
    def html(self) -> str:
        """One block without a script."""
        shown = self.shown
        return comparison_html(shown) if isinstance(shown, Comparison) else explain_html(shown)

    @property
    def widget(self) -> Any:
        """The interactive view, an anywidget; None for a comparison, without a kernel, and without anywidget."""
        if self._widget is None and isinstance(self.shown, SequencePreview) and kernel_runs() and can_show("anywidget"):
            self._widget = _widget_class()(packed=packed_preview(self.shown))
        return self._widget


def explorer(shown: SequencePreview | Comparison) -> SequenceExplorer:
    """The display of a preview or a comparison, complete in every front end."""
    return SequenceExplorer(shown)


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
