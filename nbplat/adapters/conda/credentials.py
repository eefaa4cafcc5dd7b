"""Look up the credentials of channels at the moment of use, in the form that the conda library reads."""

from __future__ import annotations

import json
import netrc
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nbplat.environment.channels import Login
from nbplat.errors import SetupError

__all__ = ["secrets_of"]


def secrets_of(names: Iterable[str], logins: Mapping[str, Login], environ: Mapping[str, str]) -> dict[str, Any]:
    """Credentials by host, for those logins that are used now.

    Args:
        names: Logins of the channels that are asked; empty ones count for nothing.
        environ: Where variables, ``NETRC`` and the user's own ``RATTLER_AUTH_FILE`` are looked up.

    Returns:
        The content of a ``RATTLER_AUTH_FILE``: the user's own entries, and ours before them. What the library finds
        by itself (its keyring, ``~/.netrc``) stays with it.

    Raises:
        SetupError: ``env.login``: a place that a login names has nothing.
    """
    ours = {name: _secret(logins[name], environ) for name in sorted({name for name in names if name})}
    if not ours:
        return {}
    return {**_own_file(environ), **ours}


def _own_file(environ: Mapping[str, str]) -> dict[str, Any]:
    path = environ.get("RATTLER_AUTH_FILE", "")
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        raise SetupError(
            "env.login", f"RATTLER_AUTH_FILE={path} cannot be read as JSON", fix="mend or unset that variable"
        ) from None
    return dict(found)


def _secret(login: Login, environ: Mapping[str, str]) -> dict[str, Any]:
    if login.netrc:
        user, password = _from_netrc(login, environ)
        return {"BasicHTTP": {"username": user, "password": password}}
    secret = _from_variable(login, environ) if login.variable else _from_file(login)
    match login.kind:
        case "bearer":
            return {"BearerToken": secret}
        case "token":
            return {"CondaToken": secret}
        case _:
            return {"BasicHTTP": {"username": login.user, "password": secret}}


def _from_variable(login: Login, environ: Mapping[str, str]) -> str:
    secret = environ.get(login.variable, "").strip()
    if not secret:
        raise _nothing(
            login,
            f"the variable {login.variable} is not set",
            f"set {login.variable} and start the service anew, which keeps the variables that it was started with "
            "(nbplat service stop)",
        )
    return secret


def _from_file(login: Login) -> str:
    path = Path(login.file).expanduser()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise _nothing(login, f"the file {path} cannot be read: {exc.strerror}", f"write it into {path}") from None
    if not lines or not lines[0].strip():
        raise _nothing(login, f"the file {path} has an empty first line", f"write it into {path}")
    return lines[0].strip()


def _from_netrc(login: Login, environ: Mapping[str, str]) -> tuple[str, str]:
    path = Path(environ.get("NETRC") or os.path.expanduser("~/.netrc"))  # noqa: PTH111 - the field's own rule
    try:
        found = netrc.netrc(str(path)).authenticators(login.host)
    except (OSError, netrc.NetrcParseError) as exc:
        why = exc.msg if isinstance(exc, netrc.NetrcParseError) else exc.strerror
        raise _nothing(login, f"{path} cannot be read: {why}", f"add machine {login.host} to {path}") from None
    if found is None:
        raise _nothing(login, f"{path} has no machine {login.host}", f"add it to {path}")
    return found[0], found[2] or ""


def _nothing(login: Login, why: str, fix: str) -> SetupError:
    return SetupError("env.login", f"the login of {login.host} is missing: {why}", fix=f"{fix}, then run it again")
