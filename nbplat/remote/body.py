"""Runs a feature body over rows of base, in whatever language it is, and brings its columns to their types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from .cast import CastError, cast_column
from .duck import run_query
from .failure import KernelError
from .storage import filesystem
from .task import Task

__all__ = ["open_sources", "run_body", "typed"]


def run_body(task: Task, base: pa.Table, sources: Mapping[str, pa.Table]) -> pa.Table:
    """Keys and new columns, the latter in their planned types, for rows of base; any order.

    Raises:
        KernelError: what the body or its data break.
    """
    lang = task["body"]["lang"]
    if lang == "sql":
        result = run_query(task["body"]["query"], {task["base"]: base, **sources}, task["settings"])
    elif lang == "python":
        from .python_body import load

        result = load(task["body"])(base)
    else:
        raise KernelError(
            "body.lang",
            f"no kernel runs {lang!r} bodies",
            fix="use one version of nbplat everywhere",
            kind="SetupError",
        )
    return typed(result, task["keys"], pa.ipc.read_schema(pa.py_buffer(task["new"])))


def typed(result: pa.Table, keys: Sequence[str], new: pa.Schema) -> pa.Table:
    """The key columns as they are, and the new columns cast to their types; columns beyond these are left out.

    Raises:
        KernelError: ``body.column_missing``; ``body.overflow`` or ``body.type_drift`` for a value its type cannot hold.
    """
    arrays = []
    for name in (*keys, *new.names):
        if name not in result.column_names:
            raise KernelError("body.column_missing", f"the body returned no column {name!r}", fix="plan the run again")
    for field in new:
        try:
            arrays.append(cast_column(result[field.name], field.type))
        except CastError as exc:
            # A sum of integers comes as a decimal, whatever it is of.
            sum_ = pa.types.is_decimal(result[field.name].type) and pa.types.is_integer(field.type)
            raise KernelError(
                "body.overflow" if sum_ else "body.type_drift",
                f"a value of the column {field.name!r} does not fit its type {field.type}: {exc}",
                fix=f"cast to double, declare a wider type (--type {field.name}=…), or guard the expression",
            ) from None
    return pa.table([*(result[key] for key in keys), *arrays], names=[*keys, *new.names])


def open_sources(task: Task) -> tuple[dict[str, pa.Table], Callable[[], None]]:
    """The task's sources, mapped into memory where they are local files; and what closes them."""
    tables: dict[str, pa.Table] = {}
    streams: list[Any] = []

    def close() -> None:
        for stream in streams:
            stream.close()

    for name, location in task["sources"].items():
        system, path = filesystem(location, task["storage"])
        local = isinstance(system, pa.fs.LocalFileSystem)
        streams.append(pa.memory_map(path) if local else system.open_input_file(path))
        tables[name] = pyarrow.ipc.open_file(streams[-1]).read_all()
    return tables, close
