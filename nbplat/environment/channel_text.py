"""How a channel is named in a declaration: ``conda-forge``, an address, or a folder; never with a password."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

__all__ = ["ChannelError", "parse_channel"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/(?:label/)?[A-Za-z0-9._-]+)*\Z")
_SCHEMES = ("https", "http", "file", "s3", "gs", "oci")


class ChannelError(ValueError):
    """A text names no channel; `code` is the second part of the error's code, `fix` what to write instead."""

    def __init__(self, message: str, fix: str, code: str = "channel_name") -> None:
        super().__init__(message)
        self.fix, self.code = fix, code


def parse_channel(text: str) -> str:
    """The channel without a trailing slash.

    Raises:
        ChannelError: no channel, or an address that holds a secret.
    """
    text = text.strip().rstrip("/") or text.strip()
    if "://" not in text:
        # A path begins as one; conda's own channels may hold a slash too (conda-forge/label/dev).
        if text.startswith(("/", "./", "../", "~")) or text in (".", ".."):
            return text
        if _NAME.match(text):
            return text
        raise ChannelError(f"{text!r} names no channel", "write a name, https://…, or a folder as ./channel")
    parts = urlsplit(text)
    if parts.scheme not in _SCHEMES:
        raise ChannelError(f"{parts.scheme}:// is no channel", f"addresses begin with {', '.join(_SCHEMES)}")
    if parts.username or parts.password:
        raise ChannelError(f"the address of {parts.hostname} holds a login", _BY_REFERENCE, "secret")
    if re.match(r"/t/[^/]+/", parts.path + "/"):
        raise ChannelError(f"the address of {parts.hostname} holds a token (/t/…)", _BY_REFERENCE, "secret")
    if parts.query or parts.fragment:
        raise ChannelError("a channel's address has no ? and no #", "write it without", "secret")
    return text


_BY_REFERENCE = (
    "write the address without it; credentials are given by reference where the channels are reached "
    "(docs/environments.md, private channels)"
)
