"""User sequences: the last events of each type, as of each example, strict in time."""

from nbplat.sequence.asof import AsOfRanges, ranges_as_of
from nbplat.sequence.early_preview import Leak, SequencePreview, Step, Strip, Token, TypeSummary
from nbplat.sequence.explain import explain_html, explain_preview
from nbplat.sequence.ports import RowSource

# Loaded first: a module of the package would otherwise hide the function `preview` below.
from nbplat.sequence.preview import SequencePreview as _SequencePreview  # noqa: F401
from nbplat.sequence.retrieve import SequenceIndex, build_index
from nbplat.sequence.run import features, preview
from nbplat.sequence.spec import EventRule, SequenceSpec, parse_spec

__all__ = [
    "AsOfRanges",
    "EventRule",
    "Leak",
    "RowSource",
    "SequenceIndex",
    "SequencePreview",
    "SequenceSpec",
    "Step",
    "Strip",
    "Token",
    "TypeSummary",
    "build_index",
    "explain_html",
    "explain_preview",
    "features",
    "parse_spec",
    "preview",
    "ranges_as_of",
]
