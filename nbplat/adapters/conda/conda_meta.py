"""What conda's own tools look for in a prefix, as they write it themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["finish"]

# The library's tag would make back-up tools pass over an environment, and it would be packed.
_NOT_OURS = "CACHEDIR.TAG"
# No time of day: equal locks give equal prefixes.
_WHEN = "2000-01-01 00:00:00"


def finish(prefix: Path, packages: Sequence[Mapping[str, Any]], requested: Sequence[str]) -> None:
    """Tidy a linked prefix: records for everybody to read, a history, no tag.

    Args:
        requested: Match specs; conda takes them from the history when it changes the environment.
    """
    (prefix / _NOT_OURS).unlink(missing_ok=True)
    meta = prefix / "conda-meta"
    meta.mkdir(exist_ok=True)
    for record in meta.glob("*.json"):
        record.chmod(0o644)
    specs = ", ".join(f'"{one}"' for one in sorted(requested))
    lines = [
        f"==> {_WHEN} <==",
        "# cmd: nbplat env build",
        *sorted(
            f"+{one['channel']}/{one['subdir']}::{one['name']}-{one['version']}-{one['build']}" for one in packages
        ),
        f"# update specs: [{specs}]",
    ]
    (meta / "history").write_text("\n".join(lines) + "\n", encoding="utf-8")
