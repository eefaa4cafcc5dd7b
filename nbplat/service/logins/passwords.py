"""Names and passwords of a file: ``ann:scrypt$14$8$1$SALT$HASH``, one a line."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from pathlib import Path

from nbplat.errors import RequestError, SetupError
from nbplat.service.logins.login import Roles, Sent
from nbplat.session.access import Principal

__all__ = ["PasswordFile", "hashed", "with_user"]

_LOG_N, _R, _P = 14, 8, 1
_MOST_LOG_N = 20
_MIB = 1 << 20


def hashed(password: str) -> str:
    """What the file keeps of a password: scrypt (RFC 7914) of it with a fresh salt."""
    salt = os.urandom(16)
    return f"scrypt${_LOG_N}${_R}${_P}${_text(salt)}${_text(_scrypt(password, salt, _LOG_N, _R, _P))}"


def with_user(lines: str, name: str, password: str) -> str:
    """The file's text with a user's password set.

    Raises:
        RequestError: ``service.user``: no line could hold the name.
    """
    if not name or ":" in name or not name.isprintable() or name.startswith("#"):
        raise RequestError("service.user", f"{name[:50]!r} cannot be a user's name", fix="leave out ':' and line ends")
    kept = [line for line in lines.splitlines() if line.partition(":")[0] != name]
    return "\n".join([*kept, f"{name}:{hashed(password)}"]) + "\n"


class PasswordFile:
    """Basic authentication against a file, which is read again when it changes.

    Raises:
        SetupError: ``service.users_file``: it cannot be read, or a line is not understood; at once, and at a request
            after a change.
    """

    challenge = 'Basic realm="nbplat", charset="UTF-8"'
    lasts = True

    def __init__(self, path: Path, roles: Roles) -> None:
        self._path = path
        self._roles = roles
        self._stamp: tuple[int, int] | None = None
        self._users: dict[str, str] = {}
        # Somebody unknown takes as long as somebody known.
        self._nobody = hashed(_text(os.urandom(16)))
        self._read()

    def principal(self, sent: Sent) -> Principal | None:
        """Who that is; None: no such user, or another password."""
        if sent.scheme != "basic":
            return None
        self._read()
        kept = self._users.get(sent.user)
        right = _fits(sent.secret, kept or self._nobody)
        return self._roles.principal(sent.user, "basic") if kept and right else None

    def _read(self) -> None:
        try:
            found = self._path.stat()
            if (found.st_mtime_ns, found.st_ino) == self._stamp:
                return
            users = dict(self._line(number, line) for number, line in _lines(self._path.read_text()))
        except (OSError, UnicodeDecodeError) as exc:
            raise SetupError(
                "service.users_file", f"the file of users cannot be read: {exc}", fix="set service.users_file"
            ) from exc
        self._users, self._stamp = users, (found.st_mtime_ns, found.st_ino)

    def _line(self, number: int, line: str) -> tuple[str, str]:
        name, _, kept = line.partition(":")
        if not name or _parts(kept) is None:
            raise SetupError(
                "service.users_file",
                f"line {number} is no NAME:HASH",
                fix="write it with: nbplat service user NAME",
                where=f"{self._path}:{number}",
            )
        return name, kept


def _lines(text: str) -> list[tuple[int, str]]:
    lines = enumerate((line.strip() for line in text.splitlines()), 1)
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _fits(password: str, kept: str) -> bool:
    parts = _parts(kept)
    if parts is None:
        return False
    log_n, r, p, salt, digest = parts
    return hmac.compare_digest(_scrypt(password, salt, log_n, r, p), digest)


def _parts(kept: str) -> tuple[int, int, int, bytes, bytes] | None:
    try:
        name, log_n, r, p, salt, digest = kept.split("$")
        numbers = int(log_n), int(r), int(p)
        found = (*numbers, base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True))
    except (ValueError, binascii.Error):
        return None
    fits = name == "scrypt" and 1 <= numbers[0] <= _MOST_LOG_N and 1 <= numbers[1] <= 32 and 1 <= numbers[2] <= 16
    return found if fits and found[4] else None


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    need = 128 * r * ((1 << log_n) + p + 2)
    return hashlib.scrypt(password.encode(), salt=salt, n=1 << log_n, r=r, p=p, maxmem=need + _MIB, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
