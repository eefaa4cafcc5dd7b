"""The composition root: a Config becomes adapters, adapters become domains. Only this package imports adapters."""

from __future__ import annotations

from nbplat.compose.platform import Platform, open_platform

__all__ = ["Platform", "open_platform"]
