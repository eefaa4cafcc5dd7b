"""What a notebook gets of a preview: the explorer, and the record behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbplat.sequence.preview import Comparison, SequencePreview
from nbplat.ui.render.result import Result
from nbplat.ui.widgets.sequence_explorer import SequenceExplorer

if TYPE_CHECKING:
    from nbplat.sequence.preview.leak_record import LeakPanel
    from nbplat.ui.sequence_place import Subject

__all__ = ["PreviewView", "viewed"]


class PreviewView(SequenceExplorer):
    """A preview, or two held against each other.

    Attributes:
        shown: The record, or that of the comparison.
    """

    @property
    def preview(self) -> SequencePreview:
        """The record; of a comparison its left side."""
        return self.shown.left if isinstance(self.shown, Comparison) else self.shown

    @property
    def leak(self) -> LeakPanel:
        """The leak panel: ``verdict``, ``share`` of the tokens that come from the future, and each check."""
        return self.preview.leak

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return self.shown.record()

    def result(self, value: Any) -> Result:
        """As a verb gives it back; `value` is what ``--out`` binds."""
        parts = self.bundle()
        return Result(parts.pop("text/plain"), parts.pop("text/html"), value=value, data=self.record(), more=parts)

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
