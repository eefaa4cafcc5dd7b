"""Kerberos by SPNEGO (RFC 4559): ``Authorization: Negotiate TICKET``, through the extra package gssapi."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from nbplat.errors import SetupError
from nbplat.service.logins.login import Roles, Sent
from nbplat.session.access import Principal

__all__ = ["KerberosTickets"]


class KerberosTickets:
    """Tickets for this service, checked with the keys of its keytab (``KRB5_KTNAME``).

    Args:
        service: ``HTTP@host.example``; empty: any key of the keytab.
        realm: Whose names lose their ``@REALM``; others keep it, so that no two people are one. Empty: all keep it.
        gssapi: Stands in for the package in tests.

    Raises:
        SetupError: ``service.kerberos``: the package is not there, or there is no key for the service.
    """

    challenge = "Negotiate"
    lasts = False

    def __init__(self, service: str, realm: str, roles: Roles, *, gssapi: Any = None) -> None:
        self._gssapi = gssapi if gssapi is not None else _package()
        self._realm = realm
        self._roles = roles
        try:
            name = self._gssapi.Name(service, self._gssapi.NameType.hostbased_service) if service else None
            self._credentials = self._gssapi.Credentials(name=name, usage="accept")
        except self._gssapi.exceptions.GSSError as exc:
            raise SetupError(
                "service.kerberos",
                f"there is no Kerberos key for {service or 'any service'}: {exc}",
                fix="set KRB5_KTNAME to its keytab, and service.kerberos_service to HTTP@this.host",
            ) from exc

    def principal(self, sent: Sent) -> Principal | None:
        """Who that is; None: no ticket, or none for us."""
        if sent.scheme != "negotiate":
            return None
        try:
            ticket = base64.b64decode(sent.secret, validate=True)
            context = self._gssapi.SecurityContext(creds=self._credentials, usage="accept")
            context.step(ticket)
        except (binascii.Error, ValueError, self._gssapi.exceptions.GSSError):
            return None
        # One that needs another round would need the same connection again: browsers' and curl's tickets do not.
        if not context.complete:
            return None
        name, _, realm = str(context.initiator_name).rpartition("@")
        full = str(context.initiator_name)
        return self._roles.principal(name if self._realm and realm == self._realm else full, "kerberos")


def _package() -> Any:
    try:
        import gssapi
    except (ImportError, OSError) as exc:
        raise SetupError(
            "service.kerberos",
            f"service.auth names kerberos, and the package gssapi cannot be loaded ({exc})",
            fix="pip install gssapi (which needs libkrb5-dev), or leave kerberos out of service.auth",
        ) from exc
    return gssapi
