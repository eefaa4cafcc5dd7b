"""The digest of a file's keys, for domains; aligning itself is in `nbplat.remote.align`."""

from __future__ import annotations

from nbplat.remote.align import key_digest

__all__ = ["key_digest"]
