"""Take credentials out of texts that leave a child process: messages of libraries hold whole addresses."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

__all__ = ["Redactor"]

_USERINFO = re.compile(r"(?<=://)[^/@\s\"'\\]+@")
_TOKEN = re.compile(r"(?<=/t/)[^/\s\"'\\]+")
_MASK = "***"


class Redactor:
    """Replaces known secrets, passwords in addresses and tokens in paths of channels.

    Args:
        secrets: Texts that must not appear; those under four characters are left out, they would mask words.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        kept = {form for secret in secrets if len(secret) >= 4 for form in (secret, quote(secret, safe=""))}
        self._secrets = sorted(kept, key=len, reverse=True)

    @classmethod
    def of_this_process(cls) -> Redactor:
        """With the secrets of the library's credential file, when this process was given one."""
        path = os.environ.get("RATTLER_AUTH_FILE", "")
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
        except (OSError, ValueError):
            found = {}
        return cls(_texts(found))

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return _TOKEN.sub(_MASK, _USERINFO.sub(f"{_MASK}@", text))


def _texts(found: Any) -> Iterator[str]:
    """Every text below a key; hosts are keys and no secrets, nor are user names."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key != "username":
                yield from _texts(value)
    elif isinstance(found, str):
        yield found
