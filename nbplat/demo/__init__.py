"""The demo lakehouse: a real, dirty retail sample (or a seeded one of any size) as two Iceberg tables."""

from nbplat.demo.clean import CleaningReport, clean, read_sample
from nbplat.demo.examples import build_examples, invoices_of
from nbplat.demo.generate import generate_months
from nbplat.demo.load import EVENTS, TRAIN, DemoReport, TableReport, load_demo

__all__ = [
    "EVENTS",
    "TRAIN",
    "CleaningReport",
    "DemoReport",
    "TableReport",
    "build_examples",
    "clean",
    "generate_months",
    "invoices_of",
    "load_demo",
    "read_sample",
]
