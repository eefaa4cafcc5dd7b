"""The one function that does a piece of staging, wherever it runs."""

from __future__ import annotations

from typing import Any

from .task import Task

__all__ = ["stage"]


def stage(task: Task) -> list[dict[str, Any]]:
    """Read base files, run the body, align its result and write one staged file per base file.

    Each base file is read once. The files of a task are computed together where the body is row-wise;
    when that fails, each is tried alone, so that one file's failure never takes the others down.

    Returns:
        Per file of the task, in its order, either ``{"unit", "fence", "file": record of a staged
        file (base_path, path, rows, file_bytes, dense, key_digest), "ms", "read_bytes"}`` or
        ``{"unit", "fence", "error": record of an error (kind, code, message, fix, where, detail_id)}``.
        Nothing is raised but what ends a process (KeyboardInterrupt, SystemExit).
    """
    raise NotImplementedError(task["run"])
