"""What a notebook draws of a preview: the explorer where a widget can live, a page without a script, and text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbplat.ui.render.result import Result

if TYPE_CHECKING:
    from nbplat.sequence.preview import Comparison, SequencePreview
    from nbplat.ui.sequence_place import Subject
    from nbplat.ui.widgets.sequence_explorer import SequenceExplorer

__all__ = ["PreviewView", "viewed"]


class PreviewView:
    """A preview, or two held against each other.

    Attributes:
        preview: The record; of a comparison its left side.
        comparison: None when there is nothing to compare with.
    """

    def __init__(self, shown: SequencePreview | Comparison) -> None:
        from nbplat.sequence.preview import Comparison

        self.comparison = shown if isinstance(shown, Comparison) else None
        self.preview = shown.left if isinstance(shown, Comparison) else shown
        self._explorer: SequenceExplorer | None = None

    @property
    def leak(self) -> Any:
        """The leak panel: ``verdict``, ``share`` of tokens from the future, and each check."""
        return self.preview.leak

    @property
    def text(self) -> str:
        """Lines for a terminal or a log."""
        from nbplat.sequence.preview.explain_text import explain_comparison, explain_preview

        lines = explain_preview(self.preview) if self.comparison is None else explain_comparison(self.comparison)
        return "\n".join(lines)

    @property
    def html(self) -> str:
        """One block without a script, under 80 KB."""
        from nbplat.sequence.preview.explain_html import comparison_html, explain_html

        return explain_html(self.preview) if self.comparison is None else comparison_html(self.comparison)

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return self.preview.record() if self.comparison is None else self.comparison.record()

    def bundle(self) -> dict[str, Any]:
        """The display's parts by MIME type."""
        return {"text/plain": self.text, "text/html": self.html, **self.widget_part()}

    def widget_part(self) -> dict[str, Any]:
        """The part that shows the explorer; empty where no widget can live, and for a comparison."""
        from nbplat.ui.widgets.sequence_explorer import explorer

        if self._explorer is None:
            self._explorer = explorer(self.comparison or self.preview)
        return self._explorer.view_part()

    def result(self, value: Any) -> Result:
        """As a verb gives it back."""
        return Result(self.text, self.html, value=value, data=self.record(), more=self.widget_part())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self.bundle()

    def __repr__(self) -> str:
        return self.text.splitlines()[0]


def viewed(
    subject: Subject,
    on: Any = None,
    *,
    count: int = 20,
    compare: str | Subject | None = None,
    everything: bool = False,
) -> PreviewView:
    """Hold a definition against examples, and with `compare` a variant of it, or another definition, as well."""
    opened, examples = subject.open(on)
    clock = subject.place.platform.clock
    if compare is None:
        return PreviewView(opened.preview(examples, count=count, clock=clock, everything=everything))
    other = subject.of(compare) if isinstance(compare, str) else compare
    theirs, _ = other.open(subject.on)
    return PreviewView(opened.compare(theirs, examples, count=count, clock=clock, everything=everything))
