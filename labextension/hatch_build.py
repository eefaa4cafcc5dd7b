"""Takes the built labextension into the wheel, so that whoever installs it needs no Node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WHERE = "share/jupyter/labextensions/nbplat-lab"


class LabextensionHook(BuildHookInterface):
    """Adds ``labextension/dist`` as shared data."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the bundle; an editable install has none, and needs none."""
        if version == "editable":
            return
        folder = Path(self.root) / "labextension"
        if not (folder / "dist" / "package.json").is_file():
            raise FileNotFoundError(f"{folder / 'dist'} is not built. Fix: make labextension, then build again")
        build_data["shared_data"][str(folder / "dist")] = WHERE
