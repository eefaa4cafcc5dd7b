"""The files that settings are written in."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbplat.errors import RequestError

__all__ = ["flat", "project_file", "read_toml", "user_file"]

_PROJECT_FILE = "nbplat.toml"


def user_file() -> Path:
    """The user's own, in the platform's folder for such files; it need not be there."""
    import platformdirs

    return Path(platformdirs.user_config_dir("nbplat", appauthor=False)) / _PROJECT_FILE


def project_file(start: Path) -> Path | None:
    """The nearest one, looked for upward."""
    for folder in (start, *start.parents):
        if (folder / _PROJECT_FILE).is_file():
            return folder / _PROJECT_FILE
    return None


def read_toml(path: Path) -> dict[str, Any]:
    """Its tables. Raises RequestError (``config.syntax``), and OSError when it cannot be read."""
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise RequestError(
            "config.syntax", f"{path} is not TOML: {exc}", fix="mend that line", where=str(path)
        ) from exc


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found
