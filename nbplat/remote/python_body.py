"""The Python body of a feature: defined from its sources, called on batches, its result brought into form.

`load` is for whoever stages: the function it gives runs the body in a child interpreter. `compile_body` is
what that child does.

A body record holds:
    source: The cell's text with ``def feature(batch)`` or ``def feature(batch, params)``.
    shipped: Name -> source text that defines it.
    modules: ``{"name": "rates.py" or "rates.whl", "data": base64}``; a wheel or zip is put on the path as it is.
    params: JSON values, bound by name and handed over as ``params``.
    keys, reads, group_by: Column names; the batch holds `reads`, in that order.
    schema: base64 of the Arrow IPC schema of the new columns; None while their types are not known yet: then they
        have those that the function gives.
    declared: Names of the new columns whose type was declared: their values are cast.
    interpreter, folder, limit_s: See `child.Child`.
"""

from __future__ import annotations

import ast
import base64
import functools
import itertools
import keyword
import linecache
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from .cast import CastError, cast_column
from .child import children
from .failure import KernelError
from .scratch_folder import ScratchFolder

__all__ = ["compile_body", "load", "plain_type", "read_schema", "schema_text"]

_SHOWN_KEYS = 3
_numbers = itertools.count()
_SHOWN_FRAMES = 6


def load(record: dict[str, Any]) -> Callable[[Any], Any]:
    """A function from a batch to keys and new columns, run in a child interpreter.

    The batch is a `pyarrow.Table` with at least the columns the body reads. Calls of several threads run in
    several children; a child serves one call after another.

    Raises:
        KernelError: by the returned function; its record is that of an `NbplatError`.
    """

    def run(batch: Any) -> Any:
        return children.run(record, batch.select(record["reads"]))

    return run


def schema_text(schema: Any) -> str:
    """An Arrow schema as text."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def read_schema(text: str) -> Any:
    """The Arrow schema that `schema_text` wrote."""
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def compile_body(record: dict[str, Any]) -> Callable[..., Any]:
    """Define the body in a namespace of its own, in this interpreter.

    Returns:
        ``run(table, schema, declared)``: keys and new columns of a batch, as `load`'s function gives them, for the
        record's `schema` and `declared`.

    Raises:
        KernelError: ``body.raised`` when its sources do not run.
    """
    files = _Files(record)
    # A module of its own and findable: dataclasses and pickle look it up by name.
    module = ModuleType(f"nbplat_body_{next(_numbers)}")
    sys.modules[module.__name__] = module
    namespace = module.__dict__
    namespace.update(record["params"])
    try:
        body = files.named("<body>", record["source"])
        _define(_imports_of(record["source"]), body, namespace)
        _define_shipped(record["shipped"], files, namespace)
        _define(record["source"], body, namespace)
    except Exception as exc:  # noqa: BLE001 - user code may raise anything
        raise _raised(exc, files, "the body's sources", "") from None
    function = namespace["feature"]
    if function.__code__.co_argcount == 2:
        function = functools.partial(function, params=dict(record["params"]))
    return functools.partial(_run, function, record, files)


def _define_shipped(shipped: dict[str, str], files: _Files, namespace: dict[str, Any]) -> None:
    """Define every shipped source, one that another needs at once (a base class, a decorator) before it."""
    waiting = dict(shipped)
    while waiting:
        failed: NameError | None = None
        for name, text in list(waiting.items()):
            try:
                _define(text, files.named(f"<with {name}>", text), namespace)
            except NameError as exc:
                failed = exc
            else:
                del waiting[name]
                failed = None
                break
        if failed is not None:
            raise failed


def _imports_of(text: str) -> ast.Module:
    """The import statements of a source, with their lines: shipped definitions may use what they import."""
    tree = ast.parse(text)
    tree.body = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return tree


def _define(text: str | ast.Module, filename: str, namespace: dict[str, Any]) -> None:
    import __future__

    # Annotations are words here: a signature may name pyarrow.Table without an import.
    code = compile(text, filename, "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True)
    exec(code, namespace)  # noqa: S102 - running the user's own code is what this interpreter is for


class _Files:
    """Where user code comes from, so that tracebacks show its lines and no others."""

    def __init__(self, record: dict[str, Any]) -> None:
        self._names: set[str] = set()
        self._folder = ""
        if record["modules"]:
            made = ScratchFolder(None, "nbplat-body-")
            self._folder = str(made.path)
            sys.path.insert(0, self._folder)
            import atexit

            # Ends with the interpreter; what a kill leaves is taken away by a later one.
            atexit.register(made.close)
        for module in record["modules"]:
            path = Path(self._folder) / Path(module["name"]).name
            path.write_bytes(base64.b64decode(module["data"]))
            if path.suffix != ".py":
                sys.path.insert(0, str(path))

    def named(self, filename: str, text: str) -> str:
        self._names.add(filename)
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        return filename

    def lines(self, exc: BaseException) -> list[str]:
        """The user's frames of a traceback, outermost first."""
        found = []
        for frame in traceback.extract_tb(exc.__traceback__):
            if frame.filename in self._names:
                place = frame.filename.strip("<>")
            elif self._folder and frame.filename.startswith(self._folder):
                place = os.path.relpath(frame.filename, self._folder)
            else:
                continue
            found.append(f"{place}, line {frame.lineno}, in {frame.name}: {frame.line}")
        if isinstance(exc, SyntaxError) and exc.filename in self._names:
            found.append(f"{exc.filename.strip('<>')}, line {exc.lineno}: {(exc.text or '').strip()}")
        return found[-_SHOWN_FRAMES:]


def _run(
    function: Callable[[Any], Any],
    record: dict[str, Any],
    files: _Files,
    table: Any,
    schema: str | None,
    declared: Sequence[str],
) -> Any:
    import pyarrow as pa

    planned = None if schema is None else read_schema(schema)
    pieces = []
    for batch in _batches(table, record["group_by"]):
        try:
            result = function(batch)
        except KernelError:
            raise
        except Exception as exc:  # noqa: BLE001 - user code may raise anything
            raise _raised(exc, files, "feature", _keys_shown(batch, record["keys"])) from None
        pieces.append(_in_form(result, batch, record["keys"], planned, declared))
    if not pieces:
        kept = table.schema.empty_table().select(record["keys"])
        fields = [] if planned is None else list(planned)
        return pa.table(
            [*kept.columns, *(pa.array([], field.type) for field in fields)],
            names=[*record["keys"], *(field.name for field in fields)],
        )
    try:
        return pa.concat_tables(pieces, promote_options="default")
    except pa.ArrowInvalid as exc:
        raise _wrong("body.type_drift", f"feature gives groups of different types: {exc}", _DECLARE) from None


def _batches(table: Any, group_by: list[str]) -> Iterator[Any]:
    """The whole table, or one table per group with its rows in their order; nothing for no rows."""
    import numpy as np

    if not table.num_rows:
        return
    if not group_by:
        yield table
        return
    codes = np.zeros(table.num_rows, dtype=np.int64)
    for name in group_by:
        part = table.column(name).combine_chunks()
        part = part.dictionary_encode(null_encoding="encode")
        if hasattr(part, "combine_chunks"):
            part = part.combine_chunks()
        # Renumber after each column, so that the product never overflows. Null is a group of its own.
        codes = codes * (len(part.dictionary) + 1) + part.indices.to_numpy(zero_copy_only=False)
        codes = np.unique(codes, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    ordered = table.take(order).combine_chunks()
    ends = [*(np.flatnonzero(np.diff(codes[order])) + 1).tolist(), table.num_rows]
    start = 0
    for end in ends:
        yield ordered.slice(start, end - start)
        start = end


def _in_form(result: Any, batch: Any, keys: list[str], planned: Any, declared: Sequence[str]) -> Any:
    """Keys and new columns with plain types, or with those of the plan."""
    import pyarrow as pa

    if isinstance(result, dict):
        columns = {name: _array(name, values) for name, values in result.items()}
        for name, values in columns.items():
            if len(values) != batch.num_rows:
                raise _wrong(
                    "body.length",
                    f"feature gives {len(values)} values of {name!r} for a batch of {batch.num_rows} rows",
                    "a dict is aligned by position: one value per row of the batch; else return a Table with the keys",
                )
        for name in [name for name in keys if name in columns]:
            key = batch.column(name)
            if not _chunked(columns.pop(name)).equals(key) and not _chunked(_array(name, result[name])).cast(
                key.type
            ).equals(key):
                raise _wrong(
                    "body.keys_moved",
                    f"feature gives the key {name!r} in another order than the batch",
                    "return a pyarrow.Table with the keys: it is aligned by key, a dict by position",
                )
        kept = [batch.column(name) for name in keys]
    else:
        given = _table(result)
        missing = [name for name in keys if name not in given.column_names]
        if missing:
            raise _wrong(
                "body.keys",
                f"the table that feature gives has no key column {missing[0]!r}",
                "give the keys with it, or return a dict, which is aligned by position",
            )
        kept = [given.column(name).cast(batch.schema.field(name).type) for name in keys]
        columns = {name: given.column(name) for name in given.column_names if name not in keys}
        doubled = [name for name in given.column_names if given.column_names.count(name) > 1]
        if doubled:
            raise _wrong("body.columns", f"feature gives {doubled[0]!r} twice", "give each column one name")
    names = list(columns) if planned is None else planned.names
    absent = [name for name in names if name not in columns]
    extra = [name for name in columns if name not in names]
    if absent or extra:
        what = f"no column {absent[0]!r}" if absent else f"a column {extra[0]!r} that the plan has not"
        raise _wrong("body.column_missing", f"feature gives {what}", "give the same columns for every batch")
    made = [
        _plain(name, columns[name])
        if planned is None
        else _planned(name, columns[name], planned.field(name).type, name in declared)
        for name in names
    ]
    return pa.table([*kept, *made], names=[*keys, *names])


def _table(result: Any) -> Any:
    import pyarrow as pa

    if isinstance(result, pa.Table):
        return result
    if isinstance(result, pa.RecordBatch):
        return pa.Table.from_batches([result])
    if hasattr(result, "__arrow_c_stream__"):
        return pa.table(result)
    raise _wrong(
        "body.result",
        f"feature gives {type(result).__name__}, not a dict or a pyarrow.Table",
        "return {'column': values}, one value per row of the batch, or a Table with the keys",
    )


def _array(name: str, values: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
        raise _wrong(
            "body.result",
            f"the column {name!r} is {type(values).__name__}, not a sequence of values",
            "give an Arrow array, a NumPy array, a Series or a list",
        )
    try:
        if isinstance(values, np.ndarray) and values.ndim == 2:
            flat = pa.array(np.ascontiguousarray(values).reshape(-1))
            return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        if hasattr(values, "__arrow_c_stream__"):
            return pa.chunked_array(values)
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError) as exc:
        raise _wrong(
            "body.result_type", f"the values of {name!r} have no one Arrow type: {_first(exc)}", _DECLARE
        ) from None


def plain_type(kind: Any) -> Any:
    """The Arrow type under which a value of `kind` is kept; the same type when it is plain already."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if types.is_int8(kind) or types.is_int16(kind) or types.is_uint8(kind) or types.is_uint16(kind):
        return pa.int32()
    if types.is_unsigned_integer(kind):
        return pa.int64()
    if types.is_float16(kind):
        return pa.float32()
    if types.is_large_string(kind) or str(kind) == "string_view":
        return pa.string()
    if types.is_large_binary(kind) or str(kind) == "binary_view":
        return pa.binary()
    if types.is_date64(kind):
        return pa.date32()
    if types.is_time(kind):
        return pa.time64("us")
    if types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(pa.field("element", plain_type(kind.value_type)))
    if types.is_struct(kind):
        return pa.struct([pa.field(field.name, plain_type(field.type)) for field in kind])
    return kind


def _plain(name: str, values: Any) -> Any:
    """The values under their plain type."""
    wanted = plain_type(values.type)
    return values if values.type == wanted else _cast(name, values, wanted)


def _planned(name: str, values: Any, wanted: Any, declared: bool) -> Any:
    import pyarrow as pa

    if values.type == wanted:
        return values
    if not declared and not pa.types.is_null(values.type) and plain_type(values.type) != plain_type(wanted):
        raise _wrong(
            "body.type_drift",
            f"feature gives {name!r} as {plain_type(values.type)} here, and gave {wanted} in the plan's sample",
            _DECLARE,
        )
    return _cast(name, values, wanted)


def _cast(name: str, values: Any, wanted: Any) -> Any:
    try:
        return cast_column(_chunked(values), wanted)
    except CastError as exc:
        raise _wrong(
            "body.values",
            f"a value of {name!r} does not fit {wanted}: {exc}",
            "round or cast it in the function, or declare a wider type: --type COLUMN=TYPE",
        ) from None


def _chunked(values: Any) -> Any:
    import pyarrow as pa

    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])


_DECLARE = "declare the type (--type COLUMN=double), or make the function give one type for every batch"


def _first(exc: BaseException) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0]


def _keys_shown(batch: Any, keys: list[str]) -> str:
    rows = batch.select(keys).slice(0, _SHOWN_KEYS).to_pylist()
    shown = ", ".join("(" + ", ".join(f"{name}={value}" for name, value in row.items()) + ")" for row in rows)
    return f" on a batch of {batch.num_rows} rows, the first {shown}"


def _raised(exc: BaseException, files: _Files, what: str, where: str) -> KernelError:
    """An exception of user code, with the user's own lines; they go to the log as well."""
    lines = files.lines(exc)
    text = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    for line in [*lines, text]:
        print(line, file=sys.stderr)  # noqa: T201 - standard error is the job's log
    at = f" at {lines[-1]}" if lines else ""
    through = f" (through {'; '.join(lines[:-1])})" if lines[:-1] else ""
    missing = isinstance(exc, ModuleNotFoundError) and (exc.name or "").isidentifier()
    fix = "mend the function; the log has its output"
    if missing and not keyword.iskeyword(exc.name or ""):  # type: ignore[attr-defined]
        fix = f"ship it: --py PATH of {exc.name}; or run with an interpreter that has it: --env"  # type: ignore[attr-defined]
    return _wrong("body.raised", f"{what} raised {text}{at}{through}{where}", fix)


def _wrong(code: str, message: str, fix: str) -> KernelError:
    return KernelError(code, message, fix=fix)
