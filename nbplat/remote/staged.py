"""What a staged file holds, and its writing, however its columns were computed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from .align import key_digest
from .codes import key_numbers
from .failure import failed
from .task import FileTask, Task
from .write import write_staged

__all__ = ["filled", "single_key", "staged_columns", "written"]


def written(
    task: Task, file: FileTask, columns: pa.Table, groups: Sequence[int], positions: Any, seconds: float
) -> dict[str, Any]:
    """Write a unit's columns: its result, or its error.

    Args:
        seconds: What computing them took.
    """
    began = time.monotonic()
    handed: dict[str, Any] = {}
    try:
        keys = columns.select(task["keys"])
        if task["hand_keys"]:
            handed["keys"] = key_numbers(keys, task["settings"])
        record = write_staged(
            columns,
            base_path=file["path"],
            out=task["out"],
            unit=file["unit"],
            fence=file["fence"],
            positions=positions,
            groups=groups,
            digest=key_digest(keys),
            storage=task["storage"],
            distinct=single_key(task),
        )
    except Exception as exc:  # noqa: BLE001 - every failure becomes the record of a unit
        return failed(file, exc)
    spent = seconds + time.monotonic() - began
    return {"unit": file["unit"], "fence": file["fence"], "file": record, "ms": round(spent * 1000), **handed}


def single_key(task: Task) -> list[str]:
    """A key that is one column holds no value twice; columns of a longer key do."""
    return task["keys"] if len(task["keys"]) == 1 else []


def filled(
    aligned: pa.Table, whole: pa.Table, inside: pa.Array | None, new: pa.Schema, replace: Sequence[str]
) -> pa.Table:
    """The new columns for every row of the files: outside the window null, or the old value of a replaced column.

    Args:
        aligned: One row per row inside.
        whole: Every row; holds the old columns of `replace`.
        inside: ``bool[rows of whole]``; None when every row is inside.
    """
    if inside is None:
        return aligned
    mask = inside.to_numpy(zero_copy_only=False)
    within = np.cumsum(mask) - 1
    arrays = []
    for field in new:
        values = aligned[field.name]
        if field.name in replace:
            old = whole[field.name].cast(field.type)
            both = pa.chunked_array([*values.chunks, *old.chunks], field.type)
            take = pa.array(np.where(mask, within, len(values) + np.arange(len(mask))))
            arrays.append(both.take(take))
        else:
            arrays.append(values.take(pa.array(np.where(mask, within, 0), mask=~mask)))
    return pa.table(arrays, names=new.names)


def staged_columns(task: Task, whole: pa.Table, aligned: pa.Table) -> pa.Table:
    """What a staged file holds before its position: keys and partition sources in table order, new columns."""
    own = {*task["keys"], *task["kept"]}
    names = [name for name in whole.column_names if name in own]
    return pa.table([*(whole[name] for name in names), *aligned.columns], names=[*names, *aligned.column_names])
