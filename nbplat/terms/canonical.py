"""Content is named by SHA-256 over canonical JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = ["canonical_json", "content_hash"]


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces and no escapes but the required ones; NaN is refused.

    Follows the shape of RFC 8785 for what we hash: strings, integers, booleans, lists, objects.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(value: Any) -> str:
    """64 hex digits that name the content of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
