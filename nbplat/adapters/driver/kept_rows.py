"""What statements leave and take in the folder of a session on this host: pages of rows, DataFrames."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nbplat.remote.driver.arrow_pages import page_path, results_of

__all__ = ["KeptRows"]


class KeptRows:
    """The part of `nbplat.session.ports.Drivers` that is files, for drivers whose sessions have a folder here."""

    def page(self, driver: Mapping[str, Any], statement_id: int, page: int) -> Path | None:
        """The file of a page of a statement's rows."""
        path = page_path(driver["folder"], statement_id, page)
        return path if path.is_file() else None

    def drop_rows(self, driver: Mapping[str, Any], statement_ids: Sequence[int]) -> None:
        """Delete the rows that statements left."""
        for statement in statement_ids:
            shutil.rmtree(results_of(driver["folder"], statement), ignore_errors=True)

    def new_frame(self, driver: Mapping[str, Any]) -> Path:
        """A new file in the session's folder."""
        folder = Path(driver["folder"], "frames")
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / secrets.token_hex(8)
