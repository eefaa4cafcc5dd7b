"""One spelling of a distribution's name: ``Ranker_Core`` and ``ranker.core`` are ``ranker-core``."""

from __future__ import annotations

import re

__all__ = ["plain_name"]


def plain_name(name: str) -> str:
    """The name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
