"""Livy's REST dialect at the root of the service: an app of its own, with its own codes and bodies."""

from nbplat.service.livy.app import make_livy

__all__ = ["make_livy"]
