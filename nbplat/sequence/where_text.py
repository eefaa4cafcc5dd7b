"""Which columns a ``where`` names; whether it is in the subset of Spark SQL is for the port `Conditions` to say."""

from __future__ import annotations

import functools

from nbplat.sequence.small_text import SmallTextError

__all__ = ["where_columns"]


@functools.lru_cache(maxsize=256)
def where_columns(text: str) -> tuple[str, ...]:
    """Names of columns in one condition, sorted, as they are written; of ``a.b`` the first part.

    Raises:
        SmallTextError: not one expression of Spark SQL, with the character where it ends to be one.
    """
    import sqlglot
    from sqlglot import exp

    try:
        condition = exp.condition(text, dialect="spark")
    except sqlglot.errors.SqlglotError as exc:
        found = (getattr(exc, "errors", None) or [{}])[0]
        token = found.get("highlight") or ""
        before = sum(len(line) + 1 for line in text.split("\n")[: (found.get("line") or 1) - 1])
        offset = max(0, before + (found.get("col") or 0) - len(token))
        raise SmallTextError(f"{token!r} does not read as SQL" if token else "the SQL does not end", offset) from None
    except RecursionError:
        raise SmallTextError("the condition is nested too deep", 0) from None
    return tuple(sorted({column.parts[0].name for column in condition.find_all(exp.Column)}))
