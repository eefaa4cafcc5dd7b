"""What a piece of staging is told and what it answers: plain dicts, so that any pickle carries them."""

from __future__ import annotations

from typing import Any, TypedDict

__all__ = ["FileTask", "Task", "WindowBounds"]


class WindowBounds(TypedDict):
    """Which rows are computed: ``from <= column < to``.

    Attributes:
        start, end: Microseconds since 1970-01-01 UTC; None is open. A date counts as its first moment.
    """

    column: str
    start: int | None
    end: int | None


class FileTask(TypedDict):
    """One base data file, with what its manifest says and the file itself does not.

    Attributes:
        unit: Unit id; with the fence it names the staged file.
        fence: From 1. With 0 the file belongs to a whole window but is not asked for: it is read, and
            nothing is written or answered for it.
        path: Location of the base file, as the manifest spells it.
        rows: Physical rows that the manifest counts; the file must hold as many.
        constants: Column -> value, for identity partition columns that the file does not store.
        deleted: Sorted little-endian int64 physical positions of deleted rows; empty when there are none.
    """

    unit: str
    fence: int
    path: str
    rows: int
    constants: dict[str, Any]
    deleted: bytes


class Task(TypedDict):
    """A piece of staging: some base files of one run, computed together.

    Attributes:
        run: Run id.
        out: Location of the folder for staged files; it need not exist.
        storage: Options to open locations that are not local (see `storage`); never written anywhere.
        files: The files to stage, in path order.
        columns: Serialized Arrow schema of the base columns to read, in table order; every field and
            nested field carries ``PARQUET:field_id``. Its types are those that the body sees.
        names: Field id -> names it may have in files without field ids. A field that is not in it
            has its plain name.
        sources: Table name in the query -> location of an Arrow IPC file with its rows.
        body: ``{"lang": "sql", "query": DuckDB SQL over base and sources}`` or
            ``{"lang": "python", …}`` (see `python_body`).
        base: Name of the base table in the query.
        whole: True when the body must see every row of the window at once; `files` is then all of them.
        keys: Key columns.
        keys_unique: True when the keys are known to be unique over the table; otherwise the files of the
            task are checked.
        hand_keys: True when the results carry the keys, for whoever asked to check them over all files; the
            files of the task are then not checked, and only a task that stays in this process can do it.
        kept: Partition source columns that are written beside the keys.
        new: Serialized Arrow schema of the new columns, in the order they are written.
        window: None when every row is computed.
        replace: New columns whose old value, read from base, stands outside the window; they are in
            `columns`, under the same name. The body does not see the old values unless it reads them.
        settings: ``threads``, ``memory_bytes`` and ``spill_folder`` (a path on this machine, or None
            for a temporary folder) of the engine in this slot.
    """

    run: str
    out: str
    storage: dict[str, str]
    files: list[FileTask]
    columns: bytes
    names: dict[int, list[str]]
    sources: dict[str, str]
    body: dict[str, Any]
    base: str
    whole: bool
    keys: list[str]
    keys_unique: bool
    hand_keys: bool
    kept: list[str]
    new: bytes
    window: WindowBounds | None
    replace: list[str]
    settings: dict[str, Any]
