"""Conda packages by py-rattler, each call in a child process of its own: a crash there never takes us along."""
