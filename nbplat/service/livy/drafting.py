"""Makes drafts of checked requests, with refusals in Livy's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from nbplat.errors import NbplatError
from nbplat.session.livy_request import refused

__all__ = ["drafted"]

Draft = TypeVar("Draft")


def drafted(draft: Callable[[dict[str, Any], str], Draft], fields: dict[str, Any], owner: str) -> Draft:
    """Make a draft. Impersonation is off: `owner` alone says whose it is.

    Raises:
        LivyRefusal: 400: the environment that the conf names is not built, or no driver can run in it.
    """
    try:
        return draft(fields, owner)
    except NbplatError as error:
        if not error.code.startswith("env."):
            raise
        raise refused(f"{error.message} ({error.fix})") from None
