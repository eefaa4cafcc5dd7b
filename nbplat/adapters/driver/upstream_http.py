"""Requests to another Livy server, with a login by reference."""

from __future__ import annotations

import base64
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbplat.errors import RemoteError, SetupError

__all__ = ["LivyAnswer", "LivyHttp", "secret_of"]

_LIMIT_S = 20.0


class LivyAnswer(Exception):
    """An answer that is no success.

    Args:
        status: HTTP status.
        text: What it said, cut.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


class LivyHttp:
    """Speaks JSON; safe between threads.

    Args:
        url: Of the server.
        user: Of the login; used when there is a password.
        password: A reference, see `secret_of`; empty sends no login.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._user = user
        self._password = password

    def get(self, path: str) -> Any:
        """Raises as `call`."""
        return self.call("GET", path)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Raises as `call`."""
        return self.call("POST", path, body)

    def call(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON of the answer.

        Raises:
            LivyAnswer: it refuses.
            RemoteError: ``session.upstream``: it does not answer, or not as Livy does.
            SetupError: ``session.livy_password``.
        """
        headers = {"Content-Type": "application/json", "X-Requested-By": "nbplat", "Prefer": "wait=0"}
        if self._password:
            login = f"{self._user}:{secret_of(self._password)}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=verb)  # noqa: S310 - the platform's word
        try:
            with urllib.request.urlopen(request, timeout=_LIMIT_S) as answer:  # noqa: S310
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as exc:
            with exc:
                raise LivyAnswer(exc.code, exc.read(4000).decode("utf-8", "replace")) from None
        except (OSError, ValueError, http.client.HTTPException) as exc:
            raise RemoteError(
                "session.upstream",
                f"the Livy server at {self.url} does not answer: {exc}",
                fix="look whether it runs, and check session.master",
                where=self.url,
            ) from None


def secret_of(reference: str) -> str:
    """The value behind ``file:PATH`` or ``env:NAME``; the last line end of a file does not count.

    Raises:
        SetupError: ``session.livy_password``: it is no reference, or nothing is there.
    """
    kind, _, name = reference.partition(":")
    try:
        if kind == "file":
            return Path(name).expanduser().read_text().rstrip("\n")
        if kind == "env":
            return os.environ[name]
    except (OSError, KeyError):
        raise SetupError(
            "session.livy_password",
            f"there is no {'file' if kind == 'file' else 'variable'} {name}",
            fix="write the password there, or change session.livy_password",
        ) from None
    raise SetupError(
        "session.livy_password",
        "the password of a Livy server is named by reference only",
        fix="set session.livy_password to file:PATH or env:NAME",
    )
