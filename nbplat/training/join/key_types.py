"""Which key types can meet: Iceberg hashes by class of type, so an int meets a long, and a text only a text."""

from __future__ import annotations

from nbplat.errors import RequestError

__all__ = ["check_key_types", "key_class"]

_INTEGERS = ("int", "long")
_PLAIN = ("boolean", "float", "double", "date", "time", "timestamp", "timestamptz", "string", "uuid", "binary")


def key_class(kind: str) -> str:
    """What a type is compared and hashed as (Iceberg spec, appendix B); empty for a nested one, which is no key.

    Decimals meet at equal scale, whatever their precision.
    """
    if kind in _INTEGERS:
        return "integer"
    if kind.startswith("decimal"):
        return f"decimal of scale {kind.rstrip(')').partition(',')[2].strip() or 0}"
    if kind.startswith("fixed"):
        return "binary"
    return kind if kind in _PLAIN else ""


def check_key_types(base: str, ref: str, keys: tuple[tuple[str, str, str, str], ...]) -> None:
    """Return when every key column of the base can meet its staged one.

    Args:
        keys: Base column, its type, staged column, its type.

    Raises:
        RequestError: ``training.key_type``: they hash differently, or are no keys.
    """
    for ours, kind, theirs, other in keys:
        for name, each, owner in ((ours, kind, base), (theirs, other, ref)):
            if not key_class(each):
                raise RequestError(
                    "training.key_type",
                    f"{name!r} of {owner} is of type {each}, which cannot be a key",
                    fix="join on columns that hold one value each",
                )
        if key_class(kind) != key_class(other):
            raise RequestError(
                "training.key_type",
                f"{ours!r} of {base} is {kind} and {theirs!r} of {ref} is {other}: they hash differently, so that no"
                " row would meet another",
                fix=f"stage {theirs} as {kind}: write it with cast({theirs} AS {_sql(kind)})",
            )


def _sql(kind: str) -> str:
    return {"long": "bigint", "timestamptz": "timestamp"}.get(kind, kind)
