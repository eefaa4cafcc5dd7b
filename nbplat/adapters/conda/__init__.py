"""Conda packages: solved, installed, indexed and written; py-rattler works in child processes."""
