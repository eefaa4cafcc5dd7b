"""A definition seen on real rows: what each step keeps, what is in and out and why, and what leaks."""

from nbplat.sequence.preview.compare import comparison_of
from nbplat.sequence.preview.compare_record import Comparison, Measure
from nbplat.sequence.preview.explain_html import comparison_html, explain_html
from nbplat.sequence.preview.explain_text import explain_comparison, explain_preview
from nbplat.sequence.preview.leak_record import LeakCheck, LeakPanel
from nbplat.sequence.preview.model_record import Grid, ModelView
from nbplat.sequence.preview.preview_of import preview_of
from nbplat.sequence.preview.record import (
    REASONS,
    Enriched,
    Headline,
    Histogram,
    Looked,
    SequencePreview,
    Share,
    Step,
    Strip,
    Token,
    TypeSummary,
)
from nbplat.sequence.preview.staged import Budget

__all__ = [
    "REASONS",
    "Budget",
    "Comparison",
    "Enriched",
    "Grid",
    "Headline",
    "Histogram",
    "LeakCheck",
    "LeakPanel",
    "Looked",
    "Measure",
    "ModelView",
    "SequencePreview",
    "Share",
    "Step",
    "Strip",
    "Token",
    "TypeSummary",
    "comparison_html",
    "comparison_of",
    "explain_comparison",
    "explain_html",
    "explain_preview",
    "preview_of",
]
