"""A catalog that cannot be reached, is locked or refuses us, told as an error of ours, whatever client it has."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.errors import NbplatError, RemoteError, SetupError

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

__all__ = ["our_errors", "reachable"]

_CALLS = (
    "commit_table",
    "create_namespace",
    "create_namespace_if_not_exists",
    "create_table",
    "drop_table",
    "list_namespaces",
    "list_tables",
    "load_table",
    "register_table",
    "table_exists",
)

# By name, so that no client is imported for the look.
_AWAY = frozenset(
    {
        "botocore.exceptions.BotoCoreError",
        "pyiceberg.exceptions.ServerError",
        "pyiceberg.exceptions.ServiceUnavailableError",
        "pyiceberg.exceptions.TooManyRequestsError",
        "requests.exceptions.RequestException",
        "sqlalchemy.exc.SQLAlchemyError",
        "thrift.transport.TTransport.TTransportException",
    }
)
_REFUSED = frozenset(
    {
        "botocore.exceptions.ClientError",
        "pyiceberg.exceptions.AuthorizationExpiredError",
        "pyiceberg.exceptions.ForbiddenError",
        "pyiceberg.exceptions.OAuthError",
        "pyiceberg.exceptions.UnauthorizedError",
    }
)
_UNKNOWN = frozenset({"pyiceberg.exceptions.CommitStateUnknownException"})


def reachable(catalog: Catalog, file: Path | None = None) -> Catalog:
    """Make the catalog's calls raise our errors where its server or file is the cause; returns the catalog.

    Args:
        file: The embedded catalog's; None for any other. A process that has it open would else go on
            with a file that nobody can find any more.

    The errors are ``catalog.missing``, ``catalog.unreachable``, ``catalog.locked``, ``catalog.refused``, and
    ``catalog.unknown`` when it does not say whether a commit counted.
    """
    for name in _CALLS:
        setattr(catalog, name, _told(getattr(catalog, name), catalog.name, file))
    return catalog


def _told(call: Callable[..., Any], catalog: str, file: Path | None) -> Callable[..., Any]:
    @functools.wraps(call)
    def told(*args: Any, **kwargs: Any) -> Any:
        if file is not None and not file.exists():
            raise SetupError(
                "catalog.missing",
                f"the embedded catalog's file is gone: {file}",
                fix="put the file back; the tables' own files are still there",
            )
        with our_errors(call.__name__, str(file or catalog)):
            return call(*args, **kwargs)

    return told


@contextmanager
def our_errors(call: str, catalog: str) -> Iterator[None]:
    """Raise what a catalog's client raises in the block as ours, where server or file are the cause.

    Args:
        call, catalog: What was called, on what; for the message.
    """
    try:
        yield
    except Exception as exc:
        if (ours := _ours(exc, catalog, call)) is None:
            raise
        raise ours from exc


def _ours(exc: Exception, catalog: str, call: str) -> NbplatError | None:
    kinds = {f"{each.__module__}.{each.__qualname__}" for each in type(exc).__mro__}
    cause = str(getattr(exc, "orig", None) or exc).strip() or type(exc).__name__
    said = f"{call.replace('_', ' ')}: {cause.splitlines()[0]}"
    if kinds & _UNKNOWN:
        return RemoteError(
            "catalog.unknown",
            f"the catalog {catalog!r} did not say whether the commit counted; {said}",
            fix="run it again: it looks first whether the table has it",
        )
    if kinds & _REFUSED:
        return RemoteError(
            "catalog.refused", f"the catalog {catalog!r} refuses us; {said}", fix="renew the catalog's credentials"
        )
    if not kinds & _AWAY:
        return None
    if "locked" in cause:
        return RemoteError(
            "catalog.locked",
            f"another process keeps the catalog {catalog!r} locked; {said}",
            fix="run it again in a while; what is finished stays",
        )
    return RemoteError(
        "catalog.unreachable",
        f"the catalog {catalog!r} cannot be used; {said}",
        fix="see that the catalog answers, then run it again; what is finished stays",
    )
