"""Where the fields of a Thrift structure begin and end, and how to write one with some of them replaced.

Thrift's compact protocol only (thrift/doc/specs/thrift-compact-protocol.md), and no schema: a field that nobody
here knows is a span of bytes like any other, and is written back as it was read. What is not opened is never decoded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

__all__ = [
    "I32",
    "I64",
    "Field",
    "Malformed",
    "Struct",
    "extended_list_bytes",
    "inner",
    "integer",
    "integer_bytes",
    "list_bytes",
    "opened",
    "struct_bytes",
    "text",
    "walk",
]

I32: Final = 5
I64: Final = 6
_TRUE, _FALSE, _BYTE, _I16, _DOUBLE, _BINARY = 1, 2, 3, 4, 7, 8
_LIST, _SET, _MAP, _STRUCT, _UUID = 9, 10, 11, 12, 13
_VARINTS = frozenset((_I16, I32, I64))
_FIXED_BYTES = {_TRUE: 1, _FALSE: 1, _BYTE: 1, _DOUBLE: 8, _UUID: 16}
"""Element types of one size. A bool takes a byte in a collection, and none in a struct, where the type says it all."""
_DEPTH = 64
"""Nested values; Thrift's own readers stop there too."""


class Malformed(ValueError):
    """The bytes are not the structure they should be."""


class Field(NamedTuple):
    """A field of a struct.

    Attributes:
        kind: Its compact-protocol type.
        start: Offset of its value's first byte; the header lies before it.
        end: Offset after its last byte.
        items: The elements of a list of structs that was opened; otherwise empty.
    """

    kind: int
    start: int
    end: int
    items: tuple[Struct, ...] = ()


class Struct(NamedTuple):
    """A struct: its fields by id, in the order of the bytes, and the span it fills, stop byte included."""

    fields: dict[int, Field]
    start: int
    end: int


def walk(data: bytes, opened: Collection[int] = ()) -> Struct:
    """Read the struct that `data` begins with; what follows it is the caller's to judge (``end``).

    Args:
        data: Compact-protocol bytes.
        opened: Ids of fields that are lists of structs, whose elements are wanted too (one level).

    Raises:
        Malformed: cut off, an unknown type, a field twice, nested too deep, or an opened field of another type.
    """
    try:
        return _struct(data, 0, opened)
    except IndexError:
        raise Malformed("cut off") from None


def integer(data: bytes, struct: Struct, number: int, kind: int) -> int:
    """Value of the field `number` of the type `kind`.

    Raises:
        Malformed: no such field, another type, or more than 64 bits.
    """
    coded, _ = _varint(data, _field(struct, number, kind).start)
    return (coded >> 1) ^ -(coded & 1)


def text(data: bytes, struct: Struct, number: int) -> bytes:
    """Bytes of the string or binary field `number`.

    Raises:
        Malformed: no such field, or another type.
    """
    field = _field(struct, number, _BINARY)
    return data[_varint(data, field.start)[1] : field.end]


def opened(data: bytes, struct: Struct, number: int) -> tuple[Struct, ...]:
    """The elements of the field `number`, a list of structs that `walk` did not open.

    Raises:
        Malformed: no such field, another type, or cut off.
    """
    field = _field(struct, number, _LIST)
    try:
        return _items(data, field.start, field.kind)
    except IndexError:
        raise Malformed("cut off") from None


def inner(data: bytes, struct: Struct, number: int) -> Struct:
    """The struct in the field `number`.

    Raises:
        Malformed: no such field, another type, or cut off.
    """
    try:
        return _struct(data, _field(struct, number, _STRUCT).start, ())
    except IndexError:
        raise Malformed("cut off") from None


def integer_bytes(value: int) -> bytes:
    """An i16, i32 or i64 of 64 bits at most."""
    return _varint_bytes(value << 1 if value >= 0 else (-value << 1) - 1)


def list_bytes(structs: Sequence[bytes]) -> bytes:
    """A list of encoded structs."""
    return _list_head_bytes(len(structs)) + b"".join(structs)


def extended_list_bytes(data: bytes, field: Field, more: Sequence[bytes]) -> bytes:
    """The list of structs `field`, which need not be opened, with `more` encoded structs after its own.

    Raises:
        Malformed: not a list of structs.
    """
    count, at = _structs_head(data, field.start, field.kind)
    return _list_head_bytes(count + len(more)) + data[at : field.end] + b"".join(more)


def struct_bytes(
    data: bytes,
    struct: Struct,
    replaced: Mapping[int, bytes | None],
    inserted: Mapping[int, tuple[int, bytes]] | None = None,
) -> bytes:
    """`struct` with other values (encoded, of the same type) for some of its fields; None leaves a field out.

    Args:
        inserted: Fields that it does not have: number -> type and encoded value.
    """
    fields = [
        (number, field.kind, replaced[number] if number in replaced else data[field.start : field.end])
        for number, field in struct.fields.items()
    ]
    if inserted:
        fields = sorted(fields + [(number, *value) for number, value in inserted.items()], key=lambda field: field[0])
    out = bytearray()
    last = 0
    for number, kind, value in fields:
        if value is None:
            continue
        delta = number - last
        if 0 < delta < 16:
            out.append(delta << 4 | kind)
        else:
            out.append(kind)
            out += integer_bytes(number)
        out += value
        last = number
    out.append(0)
    return bytes(out)


def _field(struct: Struct, number: int, kind: int) -> Field:
    field = struct.fields.get(number)
    if field is None or field.kind != kind:
        raise Malformed(f"no field {number} of type {kind}")
    return field


def _struct(data: bytes, at: int, opened: Collection[int]) -> Struct:
    fields: dict[int, Field] = {}
    start, number = at, 0
    while head := data[at]:
        at += 1
        kind = head & 15
        if head >> 4:
            number += head >> 4
        else:
            coded, at = _varint(data, at)
            number = (coded >> 1) ^ -(coded & 1)
        if number in fields:
            raise Malformed(f"field {number} twice")
        if number in opened:
            items = _items(data, at, kind)
            end = items[-1].end if items else _skip(data, at, kind, _DEPTH)
            fields[number] = Field(kind, at, end, items)
        else:
            end = _skip(data, at, kind, _DEPTH)
            fields[number] = Field(kind, at, end)
        at = end
    return Struct(fields, start, at + 1)


def _items(data: bytes, at: int, kind: int) -> tuple[Struct, ...]:
    count, at = _structs_head(data, at, kind)
    items = []
    for _ in range(count):
        items.append(_struct(data, at, ()))
        at = items[-1].end
    return tuple(items)


def _skip(data: bytes, at: int, kind: int, depth: int) -> int:
    """End of a struct's field of type `kind` that begins at `at`."""
    return at if kind in (_TRUE, _FALSE) else _skip_value(data, at, kind, depth)


def _skip_struct(data: bytes, at: int, depth: int) -> int:
    """End of a struct. Nearly all of a footer passes here, so the common types are met in line."""
    if not depth:
        raise Malformed("nested too deep")
    while head := data[at]:
        at += 1
        kind = head & 15
        if head < 16:  # the field's id follows as a varint
            while data[at] > 127:
                at += 1
            at += 1
        if kind in (I64, I32, _I16):
            while data[at] > 127:
                at += 1
            at += 1
        elif kind == _BINARY:
            size = data[at]
            at += 1
            if size > 127:
                size, at = _varint(data, at - 1)
            at += size
        elif kind == _STRUCT:
            at = _skip_struct(data, at, depth - 1)
        elif kind == _LIST:
            at = _skip_list(data, at, depth - 1)
        else:
            at = _skip(data, at, kind, depth - 1)
    return at + 1


def _skip_list(data: bytes, at: int, depth: int) -> int:
    """End of a list or set; each element takes a byte at least, so a false count ends early."""
    if not depth:
        raise Malformed("nested too deep")
    count, kind, at = _list_head(data, at)
    if kind in _VARINTS:
        for _ in range(count):
            while data[at] > 127:
                at += 1
            at += 1
    elif kind == _STRUCT:
        for _ in range(count):
            at = _skip_struct(data, at, depth - 1)
    elif kind in _FIXED_BYTES:
        at += count * _FIXED_BYTES[kind]
    else:
        for _ in range(count):
            at = _skip_value(data, at, kind, depth - 1)
    return at


def _skip_value(data: bytes, at: int, kind: int, depth: int) -> int:
    """End of a value in a collection."""
    if not depth:
        raise Malformed("nested too deep")
    if kind in _VARINTS:
        while data[at] > 127:
            at += 1
        return at + 1
    if kind == _BINARY:
        size, at = _varint(data, at)
        return at + size
    if kind in _FIXED_BYTES:
        return at + _FIXED_BYTES[kind]
    if kind == _STRUCT:
        return _skip_struct(data, at, depth)
    if kind in (_LIST, _SET):
        return _skip_list(data, at, depth)
    if kind == _MAP:
        return _skip_map(data, at, depth)
    raise Malformed(f"unknown type {kind}")


def _skip_map(data: bytes, at: int, depth: int) -> int:
    count, at = _varint(data, at)
    if not count:
        return at
    key, value = data[at] >> 4, data[at] & 15
    at += 1
    if key in _FIXED_BYTES and value in _FIXED_BYTES:  # nothing is read, so a false count would not end a loop
        return at + count * (_FIXED_BYTES[key] + _FIXED_BYTES[value])
    for _ in range(count):
        at = _skip_value(data, at, key, depth - 1)
        at = _skip_value(data, at, value, depth - 1)
    return at


def _list_head(data: bytes, at: int) -> tuple[int, int, int]:
    """Count, type of the elements, offset of the first."""
    head = data[at]
    if head >> 4 < 15:
        return head >> 4, head & 15, at + 1
    count, at = _varint(data, at + 1)
    return count, head & 15, at


def _structs_head(data: bytes, at: int, kind: int) -> tuple[int, int]:
    """Count and offset of the first element of a list of structs; an empty one may name any type."""
    count, element, at = _list_head(data, at)
    if kind != _LIST or (count and element != _STRUCT):
        raise Malformed("not a list of structs")
    return count, at


def _list_head_bytes(count: int) -> bytes:
    return bytes([count << 4 | _STRUCT]) if count < 15 else bytes([0xF0 | _STRUCT]) + _varint_bytes(count)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Value and the offset after it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            raise Malformed("an integer of more than 64 bits")
    if value >> 64:
        raise Malformed("an integer of more than 64 bits")
    return value, at


def _varint_bytes(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
