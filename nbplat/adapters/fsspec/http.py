"""Reading by HTTP with the standard library: fsspec's own client would need another package."""

from __future__ import annotations

import errno
import os
import urllib.error
import urllib.request
from typing import Any

from fsspec.spec import AbstractFileSystem

__all__ = ["PlainHttp"]

_LIMIT_S = 60.0


class PlainHttp(AbstractFileSystem):  # type: ignore[misc]
    """An fsspec file system that asks for one file at a time, and lists nothing."""

    protocol = ("http", "https")

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Size and tag of a file, as the server says.

        Raises:
            FileNotFoundError: 404 or 410.
        """
        with self._ask(path, "HEAD") as answer:
            headers = answer.headers
            size = headers.get("Content-Length")
            return {
                "name": path,
                "type": "file",
                "size": int(size) if size is not None else 0,
                "ETag": headers.get("ETag"),
                "last_modified": headers.get("Last-Modified"),
            }

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        """The body of the file as a stream."""
        if mode != "rb":
            raise PermissionError(errno.EROFS, "HTTP is read only here", path)
        return self._ask(path, "GET")

    @staticmethod
    def _ask(url: str, method: str) -> Any:
        if not url.startswith(("http://", "https://")):
            raise ValueError(url)
        # Never a packed body: what is hashed is the file itself.
        request = urllib.request.Request(url, method=method, headers={"Accept-Encoding": "identity"})  # noqa: S310
        try:
            return urllib.request.urlopen(request, timeout=_LIMIT_S)  # noqa: S310 - the scheme was looked at
        except urllib.error.HTTPError as exc:
            exc.close()
            if exc.code in (404, 410):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url) from None
            if exc.code in (401, 403):
                raise PermissionError(errno.EACCES, f"HTTP {exc.code}", url) from None
            raise OSError(errno.EIO, f"HTTP {exc.code} {exc.reason}", url) from None
