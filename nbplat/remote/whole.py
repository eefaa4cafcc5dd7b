"""Runs a body that must see the whole window at once, in bounded memory: rows and result lie in a database that spills.

Base is read file by file into DuckDB, the body runs there once, and its result is joined back to the rows and
streamed out in file order. Any file's columns are then those of the whole window, however files are grouped.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from .align import DOUBLED_KEYS, FANS_OUT, KEEP_ROWS, OTHER_KEYS, OWN_KEYS, inside_window, shown
from .body import open_sources, typed
from .cast import cast_column
from .duck import duckdb_errors, open_database, quoted, with_tables
from .failure import KernelError, failed
from .read import BaseRows, read_live
from .staged import filled, staged_columns, written
from .task import FileTask, Task

__all__ = ["compute_whole", "refuse_doubled", "stage_whole"]

_BASE, _RESULT, _PART = "nb__base", "nb__result", "nb__part"
_FILE, _ROW, _INSIDE, _GROUP = "nb__no", "nb__row", "nb__inside", "nb__group"
_BATCH_ROWS = 1 << 17


def stage_whole(task: Task) -> Iterator[dict[str, Any]]:
    """Like `kernel.stage`, file after file as they are written. A failure of the body is that of every file."""
    left = [file for file in task["files"] if file["fence"]]
    began = time.monotonic()
    try:
        for file, columns, groups, positions in compute_whole(task):
            # The body's time is the first file's.
            yield written(task, file, columns, groups, positions, time.monotonic() - began)
            left.remove(file)
            began = time.monotonic()
    except Exception as exc:  # noqa: BLE001 - every failure becomes the record of a unit
        for file in left:
            yield failed(file, exc)


def compute_whole(task: Task) -> Iterator[tuple[FileTask, pa.Table, list[int], Any]]:
    """Per file, in order: the columns to write, its live rows per row group, and its live positions.

    Files with the fence 0 are part of the window and are not given.

    Raises:
        KernelError: what a file or the body breaks; nothing has been given out by then.
    """
    with contextlib.closing(open_database(task["settings"])) as database:
        schema = pa.ipc.read_schema(pa.py_buffer(task["columns"]))
        with duckdb_errors(of_body=False):
            shapes = [_load(database, task, schema, number) for number in range(len(task["files"]))]
            _show_base(database, task, schema)
            if not task["keys_unique"]:
                refuse_doubled(database, _BASE, task["keys"], "key.duplicate", DOUBLED_KEYS, OTHER_KEYS)
            _run(database, task)
            _check_result(database, task["keys"])
            for number, columns in _joined(database, task, schema, [rows for rows, _, _ in shapes]):
                _, groups, positions = shapes[number]
                if task["files"][number]["fence"]:
                    yield task["files"][number], columns, groups, positions


def _load(database: Any, task: Task, schema: pa.Schema, number: int) -> tuple[int, list[int], Any]:
    """Read one file into the database; its live rows, row groups and positions."""
    file = task["files"][number]
    rows: BaseRows = read_live(file, schema, task["names"], task["storage"], use_threads=True)
    count = rows.table.num_rows
    inside = inside_window(rows.table, task["window"])
    part = (
        rows.table.append_column(_FILE, pa.array(np.full(count, number, np.int32)))
        .append_column(_ROW, pa.array(np.arange(count, dtype=np.int64)))
        .append_column(_INSIDE, pa.array(np.ones(count, bool)) if inside is None else inside)
    )
    with with_tables(database, {_PART: part}):
        if number == 0:
            database.execute(f"CREATE TABLE {_BASE} AS SELECT * FROM {_PART}")
        else:
            database.execute(f"INSERT INTO {_BASE} SELECT * FROM {_PART}")
    return count, rows.groups, rows.positions


def _show_base(database: Any, task: Task, schema: pa.Schema) -> None:
    columns = ", ".join(quoted(schema.names))
    within = f" WHERE {_INSIDE}" if task["window"] is not None else ""
    [base] = quoted([task["base"]])
    database.execute(f"CREATE VIEW {base} AS SELECT {columns} FROM {_BASE}{within}")


def _run(database: Any, task: Task) -> None:
    """Put the body's result into the database."""
    if task["body"]["lang"] == "sql":
        sources, close = open_sources(task)
        try:
            with with_tables(database, sources), duckdb_errors():
                database.execute(f"CREATE TABLE {_RESULT} AS {task['body']['query']}")
        finally:
            sources.clear()
            close()
        columns = [row[0] for row in database.sql(f"DESCRIBE {_RESULT}").fetchall()]
        new = pa.ipc.read_schema(pa.py_buffer(task["new"])).names
        for name in (*task["keys"], *new):
            if name not in columns:
                raise KernelError(
                    "body.column_missing", f"the body returned no column {name!r}", fix="plan the run again"
                )
        return
    from .python_body import load

    function = load(task["body"])
    new_schema = pa.ipc.read_schema(pa.py_buffer(task["new"]))
    made = False
    for group in _groups(database, task):
        part = typed(function(group), task["keys"], new_schema)
        with with_tables(database, {_PART: part}):
            how = f"INSERT INTO {_RESULT}" if made else f"CREATE TABLE {_RESULT} AS"
            database.execute(f"{how} SELECT * FROM {_PART}")
        made = True


def _groups(database: Any, task: Task) -> Iterator[pa.Table]:
    """Rows inside the window in pieces of whole groups, rows of a group in file order; one empty piece at least."""
    by = ", ".join(quoted(task["body"]["group_by"]))
    names = pa.ipc.read_schema(pa.py_buffer(task["columns"])).names
    # Tables are shared with a cursor, so that the rows stream while results go in.
    with contextlib.closing(database.cursor()) as cursor:
        reader = cursor.sql(
            f"SELECT {', '.join(quoted(names))}, dense_rank() OVER (ORDER BY {by}) AS {_GROUP} FROM {_BASE}"
            f" WHERE {_INSIDE} ORDER BY {_GROUP}, {_FILE}, {_ROW}"
        ).to_arrow_reader(_BATCH_ROWS)
        schema = pa.ipc.read_schema(pa.py_buffer(task["columns"]))
        held: list[pa.Table] = []
        empty = True
        for batch in reader:
            if not batch.num_rows:
                continue
            empty = False
            rows = pa.Table.from_batches([batch])
            codes = rows[_GROUP].to_numpy()
            cut = int(np.searchsorted(codes, codes[-1]))
            if cut or (held and held[-1][_GROUP][-1].as_py() != codes[-1]):
                yield _as(pa.concat_tables([*held, rows.slice(0, cut)]), schema)
                held = []
            held.append(rows.slice(cut))
        if held or empty:
            yield _as(pa.concat_tables(held), schema) if held else _empty(schema)


def _empty(schema: pa.Schema) -> pa.Table:
    return pa.schema([pa.field(field.name, field.type) for field in schema]).empty_table()


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns in the types they were read in."""
    return pa.table([cast_column(table[field.name], field.type) for field in schema], names=schema.names)


def _check_result(database: Any, keys: list[str]) -> None:
    """Every row inside the window has exactly one row of the result.

    Raises:
        KernelError: ``key.null``, ``body.duplicate_keys``, ``body.missing_keys``, ``body.extra_keys``.
    """
    for key, name in zip(keys, quoted(keys)):
        nulls = _count(database, f"SELECT count(*) FROM {_RESULT} WHERE {name} IS NULL")
        if nulls:
            raise KernelError("key.null", f"the key column {key!r} holds {nulls} nulls", fix=FANS_OUT)
    refuse_doubled(database, _RESULT, keys, "body.duplicate_keys", "the body returns keys more than once", FANS_OUT)
    on = " AND ".join(f"b.{name} = r.{name}" for name in quoted(keys))
    lost = f"FROM {_BASE} b ANTI JOIN {_RESULT} r ON {on} WHERE b.{_INSIDE}"
    missing = _count(database, f"SELECT count(*) {lost}")
    wanted = _count(database, f"SELECT count(*) FROM {_BASE} WHERE {_INSIDE}")
    if missing:
        some = database.sql(f"SELECT {', '.join(quoted(keys, 'b'))} {lost} LIMIT 5").to_arrow_table()
        raise KernelError(
            "body.missing_keys",
            f"the body returns no row for {missing} of {wanted} rows, e.g. {shown(some)}",
            fix=KEEP_ROWS,
        )
    extra = _count(database, f"SELECT count(*) FROM {_RESULT}") - wanted
    if extra:
        raise KernelError(
            "body.extra_keys", f"the body returns {extra} rows whose keys base does not have", fix=OWN_KEYS
        )


def refuse_doubled(database: Any, table: str, keys: list[str], code: str, what: str, fix: str) -> None:
    """Return when no key is twice in a table of the database.

    Raises:
        KernelError: with `code`, naming up to five values.
    """
    names = ", ".join(quoted(keys))
    doubled = f"FROM {table} GROUP BY {names} HAVING count(*) > 1"
    count = _count(database, f"SELECT count(*) FROM (SELECT 1 {doubled})")
    if count:
        some = database.sql(f"SELECT {names} {doubled} ORDER BY {names} LIMIT 5").to_arrow_table()
        raise KernelError(code, f"{what}: {count} of them, e.g. {shown(some)}", fix=fix)


def _count(database: Any, query: str) -> int:
    [[count]] = database.sql(query).fetchall()
    return int(count)


def _joined(database: Any, task: Task, schema: pa.Schema, rows: list[int]) -> Iterator[tuple[int, pa.Table]]:
    """Per file its number and the columns to write, in file order."""
    new = pa.ipc.read_schema(pa.py_buffer(task["new"]))
    own = [name for name in schema.names if name in {*task["keys"], *task["kept"], *task["replace"]}]
    on = " AND ".join(f"b.{name} = r.{name}" for name in quoted(task["keys"]))
    renamed = [f"{name} AS nb__new{number}" for number, name in enumerate(quoted(new.names, "r"))]
    reader = database.sql(
        f"SELECT b.{_FILE}, b.{_INSIDE}, {', '.join([*quoted(own, 'b'), *renamed])}"
        f" FROM {_BASE} b LEFT JOIN {_RESULT} r ON b.{_INSIDE} AND {on} ORDER BY b.{_FILE}, b.{_ROW}"
    ).to_arrow_reader(_BATCH_ROWS)
    held: list[pa.Table] = []
    have = 0
    number = 0
    for batch in reader:
        table = pa.Table.from_batches([batch])
        while table.num_rows:
            part = table.slice(0, rows[number] - have)
            table = table.slice(part.num_rows)
            held.append(part)
            have += part.num_rows
            while number < len(rows) and have == rows[number]:
                yield number, _to_write(task, schema, new, own, held)
                held, have, number = [], 0, number + 1
    while number < len(rows):
        # Files whose rows are all deleted, at the end.
        yield number, _to_write(task, schema, new, own, held)
        held, number = [], number + 1


def _to_write(task: Task, schema: pa.Schema, new: pa.Schema, own: list[str], parts: list[pa.Table]) -> pa.Table:
    if not parts:
        kept = pa.table([pa.array([], schema.field(name).type) for name in own], names=own)
        return staged_columns(task, kept, new.remove_metadata().empty_table())
    table = pa.concat_tables(parts)
    base = pa.table([cast_column(table[name], schema.field(name).type) for name in own], names=own)
    made = typed(table.select([f"nb__new{number}" for number in range(len(new))]).rename_columns(new.names), [], new)
    inside = table[_INSIDE].combine_chunks() if task["replace"] else None
    if inside is not None:
        made = filled(made.filter(inside), base, inside, new, task["replace"])
    return staged_columns(task, base, made)
