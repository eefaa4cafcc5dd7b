"""The one function that does a piece of staging, wherever it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from .align import DOUBLED_KEYS, OTHER_KEYS, align, check_unique, inside_window, refuse_nulls
from .body import open_sources, run_body
from .failure import KernelError, failed, record_of
from .read import BaseRows, read_live
from .staged import filled, single_key, staged_columns, written
from .task import FileTask, Task
from .whole import compute_whole, stage_whole
from .write import staged_bytes

__all__ = ["compute", "failed_files", "probe", "stage"]


def stage(task: Task) -> list[dict[str, Any]]:
    """Read base files, run the body, align its result and write one staged file per base file.

    Each base file is read once. The files of a task are computed together where the body is row-wise;
    when that fails, each is tried alone, so that one file's failure never takes the others down.

    Returns:
        Per file of the task, in its order, either ``{"unit", "fence", "file", "ms"}``, where ``file`` is
        the record of a staged file (base_path, path, rows, file_bytes, dense, key_digest) and ``ms`` the
        time that went into it, and ``keys`` as well when the task hands them (see `codes.key_numbers`);
        or ``{"unit", "fence", "error"}`` with the record of an error (kind,
        code, message, fix, where, detail_id). Nothing is raised but what ends a process
        (KeyboardInterrupt, SystemExit).
    """
    if task["whole"]:
        return list(stage_whole(task))
    results: dict[str, dict[str, Any]] = {}
    computed: list[tuple[FileTask, pa.Table, list[int], Any, float]] = []
    try:
        computed = list(_computed(task, results))
    except Exception as exc:  # noqa: BLE001 - every failure becomes the record of a unit
        return failed_files(task, exc)
    for file, columns, groups, positions, seconds in computed:
        results[file["unit"]] = written(task, file, columns, groups, positions, seconds)
    return [results[file["unit"]] for file in task["files"]]


def failed_files(task: Task, exc: Exception) -> list[dict[str, Any]]:
    """The results of a task that failed as a whole."""
    return [failed(file, exc) for file in task["files"]]


def probe(task: Task) -> tuple[int, int]:
    """Run a task's body without writing: its rows, and the bytes that its staged files would have.

    Raises:
        KernelError: what `stage` would give as the error of a unit.
    """
    rows = size = 0
    for file, columns in compute(task):
        rows += columns.num_rows
        size += staged_bytes(columns, file["path"], single_key(task))
    return rows, size


def compute(task: Task) -> list[tuple[FileTask, pa.Table]]:
    """Per file the columns that `stage` would write, without writing them.

    Raises:
        KernelError: what `stage` would give as the error of a unit.
    """
    if task["whole"]:
        return [(file, columns) for file, columns, _groups, _positions in compute_whole(task)]
    results: dict[str, dict[str, Any]] = {}
    found = [(file, columns) for file, columns, *_ in _computed(task, results)]
    for result in results.values():
        raise KernelError.from_record(result["error"])
    return found


def _computed(
    task: Task, results: dict[str, dict[str, Any]]
) -> Iterator[tuple[FileTask, pa.Table, list[int], Any, float]]:
    """Per file its columns, row groups, positions and seconds; files that fail go into `results` instead."""
    sources, close = open_sources(task)
    try:
        began = time.monotonic()
        read: list[tuple[FileTask, BaseRows]] = []
        columns = pa.ipc.read_schema(pa.py_buffer(task["columns"]))
        for file in task["files"]:
            try:
                read.append((file, read_live(file, columns, task["names"], task["storage"])))
            except Exception as exc:  # noqa: BLE001 - this file's own failure
                results[file["unit"]] = failed(file, exc)
        share = (time.monotonic() - began) / max(len(read), 1)
        yield from _run(task, sources, read, results, share)
    finally:
        # What was computed is copied out of the sources by then.
        sources.clear()
        close()


def _run(
    task: Task,
    sources: dict[str, pa.Table],
    read: list[tuple[FileTask, BaseRows]],
    results: dict[str, dict[str, Any]],
    share: float,
) -> Iterator[tuple[FileTask, pa.Table, list[int], Any, float]]:
    if not read:
        return
    began = time.monotonic()
    try:
        per_file = _columns(task, sources, [rows.table for _, rows in read])
    except Exception as exc:  # noqa: BLE001 - told per file below
        if len(read) == 1 or of_machine(exc):
            for file, _ in read:
                results[file["unit"]] = failed(file, exc)
            return
        for one in read:
            yield from _run(task, sources, [one], results, share)
        return
    share += (time.monotonic() - began) / len(read)
    for (file, rows), columns in zip(read, per_file):
        yield file, columns, rows.groups, rows.positions, share


def of_machine(exc: Exception) -> bool:
    """True for a failure that another file would meet as well: memory, disk, set-up."""
    return bool(record_of(exc, quiet=True)["kind"] == "SetupError")


def _columns(task: Task, sources: dict[str, pa.Table], tables: list[pa.Table]) -> list[pa.Table]:
    """Run the body over some files' rows at once; per file the columns to write."""
    whole = pa.concat_tables(tables).combine_chunks() if len(tables) > 1 else tables[0]
    inside = inside_window(whole, task["window"])
    base = whole if inside is None else whole.filter(inside)
    if not task["keys_unique"]:
        _check_keys(task, whole, doubled=not task["hand_keys"])
    new = pa.ipc.read_schema(pa.py_buffer(task["new"]))
    result = run_body(task, base, sources)
    try:
        aligned = align(result, base, task["keys"], new.names)
    except KernelError:
        # Keys that base holds twice look like a body that loses rows.
        if task["hand_keys"]:
            _check_keys(task, whole)
        raise
    columns = staged_columns(task, whole, filled(aligned, whole, inside, new, task["replace"]))
    ends = np.cumsum([0, *(table.num_rows for table in tables)]).tolist()
    return [columns.slice(start, end - start) for start, end in zip(ends, ends[1:])]


def _check_keys(task: Task, rows: pa.Table, *, doubled: bool = True) -> None:
    if doubled:
        check_unique(rows, task["keys"], "key.duplicate", DOUBLED_KEYS, OTHER_KEYS)
    else:
        refuse_nulls(rows, task["keys"], OTHER_KEYS)
