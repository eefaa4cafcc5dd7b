"""Makes drafts of checked requests, with refusals in Livy's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from nbplat.errors import NbplatError
from nbplat.session.files import bad_file
from nbplat.session.livy_request import refused

__all__ = ["drafted", "taken_files"]

Draft = TypeVar("Draft")


def drafted(draft: Callable[[dict[str, Any], str], Draft], fields: dict[str, Any], owner: str) -> Draft:
    """Make a draft.

    Raises:
        LivyRefusal: 400: the environment that the conf names is not built, or no driver can run in it; or the site's
            profile does not allow a value.
    """
    try:
        return draft(fields, owner)
    except NbplatError as error:
        if not error.code.startswith(("env.", "profile.")):
            raise
        raise refused(f"{error.message} ({error.fix})") from None


def taken_files(fields: Mapping[str, Any], refusal: Callable[[str], str | None]) -> None:
    """Return when every file that a request names may be taken.

    Raises:
        LivyRefusal: 400: one must not.
    """
    if found := bad_file(fields, refusal):
        raise refused(f"requirement failed: {found.why}")
