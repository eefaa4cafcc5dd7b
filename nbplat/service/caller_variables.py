"""What a caller's environment variables decide about solving and installing, compared with the service's own.

A job runs in a child of the service, which has the variables that it was started with. Where the caller has others by
now, the job would ask another index or find no login, and say so in words that lead nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from nbplat.errors import Conflict
from nbplat.terms import content_hash

__all__ = ["check_variables", "variable_marks"]

_DECIDE = re.compile(r"UV_|(HTTPS?|ALL|NO)_PROXY\Z|(SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|NETRC)\Z", re.IGNORECASE)
# Of uv's variables those that only say where it keeps or prints things.
_HARMLESS = frozenset({"UV_CACHE_DIR", "UV_NO_PROGRESS", "UV_LINK_MODE", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT"})


def variable_marks(environ: Mapping[str, str], logins: Collection[str] = ()) -> dict[str, str]:
    """A mark of each variable that decides, by name; no value can be read from it.

    Args:
        logins: More names: those that the channels file takes credentials from.
    """
    return {
        name: content_hash({"variable": name, "value": value})[:16]
        for name, value in sorted(environ.items())
        if name not in _HARMLESS and value and (name in logins or _DECIDE.match(name))
    }


def check_variables(theirs: Mapping[str, str] | None, environ: Mapping[str, str], logins: Collection[str] = ()) -> None:
    """Return when the caller's variables are those of this process; None says nothing about them.

    Raises:
        Conflict: ``env.variables``: they differ, with the names.
    """
    if theirs is None:
        return
    ours = variable_marks(environ, logins)
    other = sorted(name for name in {*theirs, *ours} if theirs.get(name) != ours.get(name))
    if other:
        verb = "is" if len(other) == 1 else "are"
        raise Conflict(
            "env.variables",
            f"{', '.join(other)} {verb} not what the service was started with, and it solves and installs",
            fix="nbplat service stop, then run it again: it starts with what you have now",
        )
