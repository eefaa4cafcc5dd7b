"""Features against the types of the columns they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa

from nbplat.errors import did_you_mean
from nbplat.sequence.column_kinds import ORDERED, kind_of, time_fault, vector_size
from nbplat.sequence.definition import Definition, Feature
from nbplat.sequence.nodes import fault

__all__ = ["bind_features"]

_TAKES = {
    "vocab": (ORDERED, "texts, integers, booleans or times"),
    "hash": (ORDERED, "texts, integers, booleans or times"),
    "bucket": (("integer", "float", "decimal"), "numbers"),
    "quantile": (("integer", "float", "decimal"), "numbers"),
    "number": (("integer", "float", "decimal", "boolean"), "numbers or booleans"),
}


def bind_features(part: Definition, available: Mapping[str, pa.DataType]) -> Definition:
    """The definition with every embedding's ``size`` filled in, and noted in its `defaults`.

    Raises:
        RequestError: an unknown column, a type the function does not take, or an embedding of an unknown size.
    """
    noted: list[str] = []
    features = tuple(_bound(part, each, available, noted) for each in part.features)
    return replace(part, features=features, defaults=(*part.defaults, *noted))


def _bound(part: Definition, each: Feature, available: Mapping[str, pa.DataType], noted: list[str]) -> Feature:
    place = part.place("features", each.name)
    if each.column not in available:
        message = f"{part.source} has no column {each.column!r} (features.{each.name})"
        raise fault("column", message, did_you_mean(each.column, available), place)
    kind = available[each.column]
    if each.function in ("age", "age_log"):
        wrong = time_fault(kind, part.zone, part.time_unit)
        if wrong is not None:
            message = f"features.{each.name}: {each.function} of {each.column}, which is {wrong[0]}"
            raise fault("feature", message, wrong[1], place)
        return each
    if each.function == "embedding":
        return _embedding(part, each, kind, noted, place)
    kinds, words = _TAKES[each.function]
    if kind_of(kind) not in kinds:
        message = f"features.{each.name}: {each.function} of {each.column}, which is of type {kind}"
        raise fault("feature", message, f"name a column of {words}", place)
    return each


def _embedding(part: Definition, each: Feature, kind: pa.DataType, noted: list[str], place: str) -> Feature:
    size, wanted = vector_size(kind), each.option("size")
    if size is None:
        message = f"features.{each.name}: embedding of {each.column}, which is of type {kind}"
        raise fault("feature", message, "name a column of lists of numbers", place)
    if wanted is None:
        if size == 0:
            message = f"features.{each.name}: {each.column} does not say how many numbers its lists have"
            raise fault("feature", message, "write embedding(size=64)", place)
        noted.append(f"features.{each.name}.size: {size}")
    elif size not in (0, wanted):
        message = f"features.{each.name}.size: the lists of {each.column} have {size} numbers, not {wanted}"
        raise fault("feature", message, f"write size={size}, or leave it out", place)
    return replace(each, options=(("size", wanted or size),))
