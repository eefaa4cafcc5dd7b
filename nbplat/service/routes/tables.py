"""The tables of the catalog and their columns, for whoever writes a query."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from nbplat.service.platform import Platform
from nbplat.terms import TableName

__all__ = ["router"]


def router(platform: Platform) -> APIRouter:
    """The routes under ``/api/v1/tables``."""
    routes = APIRouter(prefix="/api/v1/tables", tags=["tables"])

    @routes.get("")
    def list_tables() -> dict[str, Any]:
        """The names of all tables."""
        return {"tables": platform.backfills.tables.every()}

    @routes.get("/{name}")
    def show(name: str) -> dict[str, Any]:
        """The columns of a table with their Iceberg types, in the table's order."""
        facts = platform.backfills.tables.describe(TableName.parse(name))
        return {"table": name, "columns": [{"name": each.name, "type": each.type} for each in facts.columns]}

    return routes
