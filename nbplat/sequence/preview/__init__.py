"""A definition seen on real rows: what each step keeps, what is in and out and why, and what leaks."""

from nbplat.sequence.preview.compare_record import Comparison, Measure
from nbplat.sequence.preview.leak_record import LeakCheck, LeakPanel
from nbplat.sequence.preview.model_record import Grid, ModelView
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

__all__ = [
    "REASONS",
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
]
