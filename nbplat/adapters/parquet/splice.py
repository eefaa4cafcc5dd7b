"""Add and leave out columns of a Parquet file at the price of copying it.

The old file's bytes up to its footer are copied as they are, the new columns' chunks are appended,
and the footer gains and loses columns without its own chunks being decoded. Offsets, page indexes and
bloom filters of the old columns stay valid because their bytes do not move. Measured at the speed of
``cp`` with a thirtieth of the CPU of decoding and encoding
(docs/decisions/0005-column-splice.md).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from nbplat.adapters.parquet.append import Source, open_source, tail_of
from nbplat.adapters.parquet.compact import Malformed
from nbplat.adapters.parquet.footer import damaged, top_level_spans
from nbplat.adapters.parquet.merge import AddedColumns, BaseFooter, TopColumn, read_base_footer
from nbplat.backfill.ports import Addition
from nbplat.errors import DataError
from nbplat.terms import Files, Span

__all__ = ["SpliceReport", "chosen", "splice"]


@dataclass(frozen=True, slots=True)
class SpliceReport:
    """What one splice did.

    Attributes:
        copied_bytes: Bytes taken over unchanged from the base file, from its first on.
        added_bytes: Bytes of the new columns' chunks, bloom filters and indexes.
        file_bytes: Size of the new file.
        dead_bytes: Of the bytes copied, those of columns left out, which nothing refers to any more.
    """

    copied_bytes: int
    added_bytes: int
    file_bytes: int
    dead_bytes: int

    def record(self) -> dict[str, int]:
        return asdict(self)


def splice(
    files: Files,
    base: str,
    additions: Sequence[Addition],
    out: str,
    *,
    drop: Collection[int] = (),
    name_ids: Mapping[tuple[str, ...], int] | None = None,
) -> SpliceReport:
    """Write `out` as `base` with the columns of `additions`, and without those of `drop`.

    Args:
        base: The file to copy.
        additions: Files with the same rows in the same order, cut into the same row groups; columns
            that they do not name are left out. Columns come in the order they are asked for.
        out: Replaced when it is there.
        drop: Field ids of top-level columns of the base to leave out; ids that it does not have are
            passed over. Their bytes are left behind where nothing that is kept follows them.
        name_ids: For a base without field ids: path of each field as Iceberg spells it
            (``("tags", "element")``) -> field id. A column that it does not name is unknown to the table
            and is left out. Not looked at when the base has ids.

    Raises:
        DataError: row groups differ, a column is missing in an addition, its name or id is kept in
            the base (names are compared without case), the base has no field ids or only some, or one of
            the files is damaged or encrypted. Nothing is written then.
    """
    with ExitStack() as stack:
        base_file = stack.enter_context(files.open_input(base))
        old = read_base_footer(base_file, base)
        sources = [
            open_source(stack.enter_context(files.open_input(addition.path)), addition, base) for addition in additions
        ]
        try:
            dropped, field_ids = chosen(old, base, set(drop), name_ids)
            copied, dead = old.extent(dropped)
            _check(old, dropped, field_ids, sources, base)
            pieces, added = tail_of(sources, copied) if sources else ([], _nothing(old))
            footer = old.merged(added, dropped, field_ids)
        except Malformed:
            raise damaged(base) from None
        added_bytes = sum(piece.length if isinstance(piece, Span) else len(piece) for piece in pieces)
        try:
            size = files.compose(out, base, copied, [*pieces, footer + struct.pack("<I", len(footer)) + b"PAR1"])
        except EOFError:
            raise damaged(base) from None
    return SpliceReport(copied, added_bytes, size, dead)


def chosen(
    old: BaseFooter, base: str, drop: Collection[int], name_ids: Mapping[tuple[str, ...], int] | None
) -> tuple[list[TopColumn], dict[int, int]]:
    """The columns to leave out, and the field ids to write: element of the schema -> id.

    Raises:
        DataError: no field ids, and no name mapping that gives every kept field one.
        Malformed: a schema without what the mapping needs.
    """
    named = [column.field_id is not None for column in old.columns]
    if all(named):
        return [column for column in old.columns if column.field_id in drop], {}
    if name_ids is None or any(named):
        raise DataError(
            "splice.field_ids",
            "the base file carries no Iceberg field ids, so readers match its columns by name only",
            fix="rewrite the file once (Spark: rewrite_data_files), then plan again",
            where=base,
        )
    top = [name_ids.get((column.name,)) for column in old.columns]
    dropped = [column for column, number in zip(old.columns, top, strict=True) if number is None or number in drop]
    left = {position for column in dropped for position in column.elements}
    field_ids = {}
    for path, position in old.paths().items():
        if position in left:
            continue
        if path not in name_ids:
            raise DataError(
                "splice.field_ids",
                f"the table's name mapping has no field id for {'.'.join(path)!r} of the base file",
                fix="rewrite the file once (Spark: rewrite_data_files), then plan again",
                where=base,
            )
        field_ids[position] = name_ids[path]
    return dropped, field_ids


def _check(
    old: BaseFooter,
    dropped: Collection[TopColumn],
    field_ids: Mapping[int, int],
    sources: Sequence[Source],
    base: str,
) -> None:
    kept = [column for column in old.columns if column not in dropped]
    names = {column.name.casefold() for column in kept}
    numbers = {field_ids.get(column.elements.start, column.field_id) for column in kept}
    for source in sources:
        if old.group_rows != source.group_rows:
            raise DataError(
                "splice.row_groups",
                f"row groups differ: {old.group_rows} in the base file, {source.group_rows} in the staged file",
                fix="stage this file again",
                where=base,
            )
        for name, number in _added(source):
            if name.casefold() in names or number in numbers:
                raise DataError(
                    "splice.column_exists",
                    f"the file has a column {name!r}, or one with the field id {number}",
                    fix="choose another name",
                    where=base,
                )
            names.add(name.casefold())
            numbers.add(number)


def _added(source: Source) -> list[tuple[str, int]]:
    spans = top_level_spans(source.footer.metadata)
    return [(name, source.field_ids[spans[name].start]) for name in source.names]


def _nothing(old: BaseFooter) -> AddedColumns:
    return AddedColumns(0, (), [()] * len(old.group_rows), ())
