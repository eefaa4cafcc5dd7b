"""What uv says when it fails, as errors that a person can act on."""

from __future__ import annotations

import re

from nbplat.adapters.uv.run import Ended
from nbplat.errors import DataError, InternalError, NbplatError, RemoteError, RequestError, SetupError

__all__ = ["failure", "is_unsolvable", "unsolvable"]

_LINES = 12
_LINE_CHARS = 160
_INDEX_FIX = (
    "check the network and UV_INDEX_URL / UV_DEFAULT_INDEX; name a folder of wheels by UV_FIND_LINKS; "
    "or work from uv's cache with --offline"
)


def is_unsolvable(ended: Ended) -> bool:
    """True when the versions do not fit together, and not for want of an index."""
    return "No solution found" in ended.said and "network was disabled" not in ended.said


def failure(ended: Ended, *, what: str) -> NbplatError:
    """The error of a call that failed.

    Args:
        what: What was tried, ``resolve the pip: part for linux-64``.
    """
    said = ended.said
    if "network was disabled" in said or "network connectivity is disabled" in said.lower():
        return RemoteError(
            "env.index",
            f"offline, and uv's cache has not all that is needed to {what}: {_causes(said)}",
            fix="run it once without --offline, or name a folder of wheels by UV_FIND_LINKS",
        )
    if (mismatch := re.search(r"[Hh]ash mismatch for `?([^`\n]+)`?", said)) is not None:
        return DataError(
            "env.hash",
            f"{mismatch[1].strip()} is not the file of the lock:\n{_short(said)}",
            fix="find out who changed it; if the change is meant, lock anew: nbplat env lock --upgrade-package NAME",
        )
    if "No space left on device" in said or "(os error 28)" in said or "(os error 122)" in said:
        return SetupError("env.space", f"the disk is full: cannot {what}", fix="free space, then run it again")
    if "Read-only file system" in said or "Permission denied" in said:
        return SetupError(
            "env.readonly", f"cannot {what}: {_causes(said)}", fix="give this user the right to write there"
        )
    if re.search(r"\b(401|403)\b|Unauthorized|Forbidden|Missing credentials", said):
        return RemoteError(
            "env.index",
            f"the Python index refused us: {_causes(said)}",
            fix="give its login by reference: netrc, a keyring, or UV_INDEX_<NAME>_USERNAME and _PASSWORD",
        )
    if "Failed to build" in said or "build backend" in said.lower():
        return RequestError(
            "env.pip_build",
            f"a source package does not build; cannot {what}:\n{_short(said)}",
            fix="ask for a version that has wheels, or take it from conda",
        )
    if re.search(r"(?i)failed to fetch|error sending request|request failed|timed out|dns error", said):
        return RemoteError("env.index", f"the Python index cannot be reached: {_causes(said)}", fix=_INDEX_FIX)
    if is_unsolvable(ended):
        return unsolvable(ended, what=what)
    return InternalError(
        "env.uv", f"uv cannot {what}:\n{_short(said)}", fix="run it again; if it stays, report it with these lines"
    )


def unsolvable(ended: Ended, *, what: str) -> RequestError:
    """No versions fit, or the index has no such package."""
    missing = re.search(r"Because (\S+) was not found in the package registry", ended.said)
    if missing is not None:
        return RequestError(
            "env.package",
            f"the Python index has no package {missing[1]!r}",
            fix="check its spelling; if it is a conda package, put it into dependencies; if it is on another index, "
            "name that by UV_EXTRA_INDEX_URL",
        )
    return RequestError(
        "env.unsatisfiable",
        f"no versions fit together, cannot {what}:\n{_short(ended.said)}",
        fix="loosen one of the requirements that the text names",
    )


def _causes(said: str) -> str:
    """The chain of causes on one line, the innermost last."""
    causes = [line.strip().removeprefix("cause:").strip() for line in said.splitlines() if "cause:" in line]
    chosen = [causes[0], causes[-1]] if len(causes) > 1 else causes or [said.strip().partition("\n")[0]]
    return ": ".join(each[:_LINE_CHARS] for each in chosen)


def _short(said: str) -> str:
    """What it said about the fault, without hints for options that we do not have."""
    text = re.split(r"\n\s*hint: ", said)[0]
    text = re.sub(r"(?m)^\s*(error|warning|cause|×|╰─▶|│):?\s*", "", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    shown = [line if len(line) <= _LINE_CHARS * 2 else f"{line[: _LINE_CHARS * 2]}…" for line in lines[:_LINES]]
    return "\n".join([*shown, *([f"… and {len(lines) - _LINES} more lines"] if len(lines) > _LINES else [])])
