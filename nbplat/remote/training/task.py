"""What a piece of a training join is told: plain dicts, so that any pickle carries them."""

from __future__ import annotations

from typing import Any, TypedDict

__all__ = ["JoinFile", "JoinTask", "Side", "WindowBounds"]


class JoinFile(TypedDict, total=False):
    """One data file, with what its manifest says and the file itself does not.

    Attributes:
        path: Location, as the manifest spells it.
        rows: Physical rows that the manifest counts; the file must hold as many.
        constants: Column -> value of every row, for columns that the file may lack.
        deleted: Sorted little-endian int64 physical positions of deleted rows; empty when there are none.
        groups: Numbers of the row groups to read; left out, all of them.
        dense: Of an aligned file: row i is physical row i of its base file.
    """

    path: str
    rows: int
    constants: dict[str, Any]
    deleted: bytes
    groups: list[int]
    dense: bool


class WindowBounds(TypedDict):
    """Which base rows are wanted: ``start <= column < end``, microseconds since 1970 UTC; None is open."""

    column: str
    start: int | None
    end: int | None


class Side(TypedDict):
    """The columns of one staged run or table.

    Attributes:
        ref: As asked for; names it in errors.
        how: ``aligned`` (row i of a file belongs to row i of its base file), ``merge`` (by key), ``dealt`` (by key,
            out of local files that `deal` wrote), ``base`` (the base files hold the columns), ``absent`` (nulls).
        files: ``aligned``: one per base file, None where it has none; ``merge``: all whose keys can meet; ``base``: as
            ``aligned``, or empty where every base file has the columns; else empty.
        folder: ``dealt``: where `deal` wrote; else empty.
        columns: Serialized Arrow schema of what is read: for ``merge`` the keys, the order column, the values.
        names: Field id -> names it may have in files without field ids.
        by_name: Columns are found by their names, whatever ids the files have.
        storage: Options to open the files.
        keys: Their key columns, in the order of the base's.
        values: Name there and name in the result, one pair a column.
        types: Serialized Arrow schema of the values as the result holds them, under the result's names.
        present: Result names that get a ``<name>__present`` column.
        fill: Result name -> what stands for a missing value.
        duplicates: ``error``, or ``last``: of equal keys the row with the greatest `order` is taken.
        order: That column; empty when duplicates are an error.
    """

    ref: str
    how: str
    files: list[Any]
    folder: str
    columns: bytes
    names: dict[int, list[str]]
    by_name: bool
    storage: dict[str, str]
    keys: list[str]
    values: list[list[str]]
    types: bytes
    present: list[str]
    fill: dict[str, Any]
    duplicates: str
    order: str


class JoinTask(TypedDict):
    """One unit of a plan.

    Attributes:
        unit: Its name, for errors.
        files: Base files, in the order of their rows in the result.
        columns: Serialized Arrow schema of the base columns to read, keys and time among them.
        names, storage: Of the base; as in `Side`.
        keys: Key columns of the base; empty when nothing is merged.
        window: None when all rows are wanted.
        sides: In the order asked for.
        output: Names of the result's columns.
    """

    unit: str
    files: list[JoinFile]
    columns: bytes
    names: dict[int, list[str]]
    storage: dict[str, str]
    keys: list[str]
    window: WindowBounds | None
    sides: list[Side]
    output: list[str]
