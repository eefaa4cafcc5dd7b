"""Conda packages written from interpreters, installed distributions and wheels, and the folder they lie in."""
