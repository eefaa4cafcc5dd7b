"""From the configuration to the ways to log in."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from nbplat.config import Config
from nbplat.errors import SetupError, did_you_mean
from nbplat.service.logins.hub import HubTokens
from nbplat.service.logins.kerberos import KerberosTickets
from nbplat.service.logins.login import Login, Roles
from nbplat.service.logins.oidc import OidcTokens
from nbplat.service.logins.passwords import PasswordFile

__all__ = ["WAYS", "logins_of", "names_in", "secret_of"]

WAYS = ("token", "basic", "jupyterhub", "oidc", "kerberos")


def names_in(text: str) -> list[str]:
    """Names between commas or spaces."""
    return [name for name in re.split(r"[,\s]+", text) if name]


def logins_of(config: Config) -> list[Login]:
    """The ways that ``service.auth`` names, in that order; none for ``token`` alone.

    Raises:
        SetupError: ``service.auth``: an unknown way, or one that lacks a setting.
    """
    roles = Roles(frozenset(names_in(config.service_admins)))
    return [login for way in names_in(config.service_auth) if (login := _login(way, config, roles)) is not None]


def secret_of(reference: str, key: str) -> str:
    """What a reference leads to: ``file:PATH`` or ``env:NAME``.

    Raises:
        SetupError: ``service.secret``: it is no reference, or leads nowhere; without its text, which may be a secret.
    """
    kind, _, place = reference.partition(":")
    try:
        if kind == "file":
            return Path(place).expanduser().read_text().strip()
        if kind == "env":
            return os.environ[place]
    except (OSError, UnicodeDecodeError, KeyError):
        raise SetupError(
            "service.secret", f"{key} leads nowhere", fix=f"see to what {key} names: {kind}:…", where=key
        ) from None
    raise SetupError("service.secret", f"{key} is no reference", fix="write file:PATH or env:NAME", where=key)


def _login(way: str, config: Config, roles: Roles) -> Login | None:
    if way == "basic":
        return PasswordFile(Path(_needed(config.service_users_file, "service.users_file", way)).expanduser(), roles)
    if way == "jupyterhub":
        url = _needed(config.service_hub_api_url, "service.hub_api_url", way)
        return HubTokens(url, roles, scope=config.service_auth_scope)
    if way == "oidc":
        reference = _needed(config.service_oidc_client_secret, "service.oidc_client_secret", way)
        secret_of(reference, "service.oidc_client_secret")
        return OidcTokens(
            _needed(config.service_oidc_introspection_url, "service.oidc_introspection_url", way),
            _needed(config.service_oidc_client_id, "service.oidc_client_id", way),
            lambda: secret_of(reference, "service.oidc_client_secret"),
            roles,
            now_s=time.time,
            claim=config.service_oidc_name_claim,
            audience=config.service_oidc_audience,
            scope=config.service_auth_scope,
        )
    if way == "kerberos":
        return KerberosTickets(config.service_kerberos_service, config.service_kerberos_realm, roles)
    if way == "token":
        return None
    raise SetupError(
        "service.auth", f"service.auth names {way!r}, which is no way to log in", fix=did_you_mean(way, WAYS)
    )


def _needed(value: str, key: str, way: str) -> str:
    if not value:
        raise SetupError("service.auth", f"service.auth names {way}, which needs {key}", fix=f"set {key}", where=key)
    return value
