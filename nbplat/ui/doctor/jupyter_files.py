"""Where Jupyter looks for extensions and kernels, and what its files of settings hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["config_folders", "data_folders", "settings_in"]


def data_folders(given: Sequence[str] | None) -> Sequence[str]:
    """Jupyter's data folders, the nearest first; None asks Jupyter."""
    from jupyter_core.paths import jupyter_path

    return jupyter_path() if given is None else given


def config_folders(given: Sequence[str] | None) -> Sequence[str]:
    """Its folders of configuration, likewise."""
    from jupyter_core.paths import jupyter_config_path

    return jupyter_config_path() if given is None else given


def settings_in(path: Path) -> dict[str, Any]:
    """A file of settings; empty when there is none, or it holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
