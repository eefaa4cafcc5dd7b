"""Rows that a statement gave as Arrow: described in its output, kept as pages in the session's folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbplat.errors import NotFound

__all__ = ["PUT_KIND", "ROWS", "TAKE_KIND", "page_gone", "rows_described"]

ROWS = "application/vnd.nbplat.rows.v1+json"
"""What describes them: ``rows``, ``bytes``, ``pages`` (rows and bytes of each), ``more`` and ``limited``."""

TAKE_KIND = "take"
"""Kind of the statements that fetch a DataFrame of the session; their code is its name."""

PUT_KIND = "put"
"""Kind of the statements that bind a sent DataFrame; their code is its name."""


def rows_described(output: Mapping[str, Any] | None, session_id: int, statement_id: int) -> dict[str, Any]:
    """What a statement's output says of its rows.

    Raises:
        NotFound: ``session.rows``: it has not ended, or gave none.
    """
    found = ((output or {}).get("data") or {}).get(ROWS)
    if found is None:
        raise NotFound(
            "session.rows",
            f"statement {statement_id} of session {session_id} has no rows in pages",
            fix="run a query with arrow, and wait for its end",
            where=str(statement_id),
        )
    return dict(found)


def page_gone(session_id: int, statement_id: int, page: int) -> NotFound:
    """A page that is not there, or not any more."""
    return NotFound(
        "session.page",
        f"page {page} of statement {statement_id} of session {session_id} is not there",
        fix="take one of its pages; those of old results make room for new ones: run the query again, or raise "
        "session.kept_result_bytes",
        where=str(page),
    )
