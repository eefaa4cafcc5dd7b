"""Takes new columns by physical row position and writes a file's staged file from them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa

from .align import FANS_OUT, KEEP_ROWS, inside_window, shown
from .body import typed
from .failure import KernelError, failed
from .read import BaseRows, read_live
from .staged import filled, staged_columns, written
from .task import Task

__all__ = ["POSITION", "Delivery"]

POSITION = "nb__pos"
_SHOWN = 5


class Delivery:
    """Writes staged files of one task from columns that were computed elsewhere."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._new = pa.ipc.read_schema(pa.py_buffer(task["new"]))
        window = {task["window"]["column"]} if task["window"] else set()
        wanted = {*task["keys"], *task["kept"], *task["replace"], *window}
        columns = pa.ipc.read_schema(pa.py_buffer(task["columns"]))
        self._columns = pa.schema([field for field in columns if field.name in wanted])

    def write(self, index: int, rows: pa.Table | None) -> dict[str, Any]:
        """Write one staged file.

        Args:
            index: Of the file in the task.
            rows: ``nb__pos`` (int64, sorted) and the new columns, one row per live base row inside the
                window; None when there is none.

        Returns:
            What `kernel.stage` gives for a file.
        """
        file = self._task["files"][index]
        began = time.monotonic()
        try:
            base = read_live(file, self._columns, self._task["names"], self._task["storage"])
            columns = self._columns_of(base, rows)
        except Exception as exc:  # noqa: BLE001 - one file's failure never takes the others down
            return failed(file, exc)
        return written(self._task, file, columns, base.groups, base.positions, time.monotonic() - began)

    def _columns_of(self, base: BaseRows, rows: pa.Table | None) -> pa.Table:
        inside = inside_window(base.table, self._task["window"])
        chosen = None if inside is None else np.asarray(inside.to_numpy(zero_copy_only=False), dtype=bool)
        self._check(base, chosen, rows)
        aligned = self._new.empty_table() if rows is None else typed(rows, (), self._new)
        return staged_columns(
            self._task, base.table, filled(aligned, base.table, inside, self._new, self._task["replace"])
        )

    def _check(self, base: BaseRows, chosen: Any, rows: pa.Table | None) -> None:
        """Return when the rows are those of the file inside the window, each once."""
        index = np.arange(base.table.num_rows) if chosen is None else np.flatnonzero(chosen)
        wanted = index.astype(np.int64) if base.positions is None else base.positions[index]
        have = np.empty(0, np.int64) if rows is None else rows[POSITION].to_numpy()
        if np.array_equal(wanted, have):
            return
        keys = base.table.select(self._task["keys"])
        doubled = np.unique(have[1:][have[1:] == have[:-1]])
        if doubled.size:
            some = shown(keys.take(pa.array(index[np.isin(wanted, doubled)][:_SHOWN])))
            raise KernelError(
                "body.duplicate_keys",
                f"the body returns keys more than once: {doubled.size} of them, e.g. {some}",
                fix=FANS_OUT,
            )
        lost = index[~np.isin(wanted, have)]
        if lost.size:
            some = shown(keys.take(pa.array(lost[:_SHOWN])))
            raise KernelError(
                "body.missing_keys",
                f"the body returns no row for {lost.size} of {len(wanted)} rows, e.g. {some}",
                fix=KEEP_ROWS,
            )
        raise KernelError(
            "stage.rows",
            f"{len(have)} rows came for a file with {len(wanted)} live rows in the window",
            fix="plan the run again",
        )
