"""Rows as pages on disk: each a whole Arrow IPC stream, written as the batches come, named when it is complete."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

__all__ = ["PageWriter", "make_room", "page_path", "results_of"]

PAGE_BYTES = 8 << 20
_RESULTS = "results"
_END = b"\xff\xff\xff\xff\0\0\0\0"


def results_of(folder: str, statement: int) -> Path:
    """Where the pages of a statement's rows are, in the folder of its session."""
    return Path(folder) / _RESULTS / str(statement)


def page_path(folder: str, statement: int, page: int) -> Path:
    """The file of one page, counted from 0; it is there once the page is complete."""
    return results_of(folder, statement) / f"{page:06d}.arrow"


def make_room(folder: str, statement: int, keep_bytes: int) -> None:
    """Drop the rows of the oldest other statements until all that are left fit into `keep_bytes`."""
    every = sorted((one for one in (Path(folder) / _RESULTS).iterdir() if one.name.isdecimal()), key=_number)
    sizes = {one: sum(file.stat().st_size for file in one.iterdir()) for one in every}
    for one in every:
        if sum(sizes.values()) <= keep_bytes:
            return
        if one.name != str(statement):
            shutil.rmtree(one, ignore_errors=True)
            del sizes[one]


class PageWriter:
    """Writes one result.

    Args:
        folder: Of the session.
        statement: Whose rows they are; pages of an earlier try are dropped.
        schema: Of every page, a `pyarrow.Schema`.
        page_bytes: A page that has reached this size is followed by the next.
        keep_bytes: What the results of the session may take together; older ones make room.
    """

    def __init__(self, folder: str, statement: int, schema: Any, *, page_bytes: int, keep_bytes: int) -> None:
        self._folder = folder
        self._statement = statement
        self._head = schema.serialize().to_pybytes()
        self._page_bytes = page_bytes
        self._keep_bytes = keep_bytes
        self._out: Any = None
        self._written = 0
        self._rows = 0
        self.pages: list[list[int]] = []
        shutil.rmtree(results_of(folder, statement), ignore_errors=True)
        results_of(folder, statement).mkdir(mode=0o700, parents=True)

    def write(self, batch: Any, rows: int) -> None:
        """Append a batch.

        Args:
            batch: Bytes of one Arrow IPC message.
        """
        if self._out is None:
            self._out = self._part.open("wb")
            self._written = self._out.write(self._head)
        self._written += self._out.write(batch)
        self._rows += rows
        if self._written >= self._page_bytes:
            self._end_page()

    def close(self) -> list[list[int]]:
        """End the last page; a result without rows has one page all the same, for its schema.

        Returns:
            Rows and bytes of each page.
        """
        if self._out is None and not self.pages:
            self._out = self._part.open("wb")
            self._written = self._out.write(self._head)
        if self._out is not None:
            self._end_page()
        return self.pages

    def drop(self) -> None:
        """Leave nothing of it."""
        if self._out is not None:
            self._out.close()
        shutil.rmtree(results_of(self._folder, self._statement), ignore_errors=True)

    @property
    def _part(self) -> Path:
        return results_of(self._folder, self._statement) / "part"

    def _end_page(self) -> None:
        self._written += self._out.write(_END)
        self._out.close()
        self._out = None
        # Complete under its name, or not there: a reader never meets half a page.
        os.replace(self._part, page_path(self._folder, self._statement, len(self.pages)))  # noqa: PTH105
        self.pages.append([self._rows, self._written])
        self._rows = 0
        make_room(self._folder, self._statement, self._keep_bytes)


def _number(path: Path) -> int:
    return int(path.name)
