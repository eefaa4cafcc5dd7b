"""The tables of the catalog over HTTP."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa

from nbplat.service.app import make_app
from tests.fixtures.asgi import AsgiClient
from tests.fixtures.lakehouse import Lake


def test_tables_and_their_columns_are_listed(tmp_path: Path) -> None:
    """Names in order, columns in the table's order with Iceberg's types; an unknown table names the nearest."""
    lake = Lake(tmp_path / "home")
    try:
        rows = pa.table({"id": [1], "day": [dt.date(2024, 1, 1)], "amount": [1.5]})
        for name in ("shop.orders", "retail.events"):
            lake.make(name, rows, partitioned=False)
        client = AsgiClient(
            make_app(lake.platform, "token"),
            base_url="http://127.0.0.1:1",
            headers={"Authorization": "Bearer token"},
        )
        assert {"tables": ["retail.events", "shop.orders"]} == client.get("/api/v1/tables").json()
        columns = client.get("/api/v1/tables/shop.orders").json()["columns"]
        assert [("id", "long"), ("day", "date"), ("amount", "double")] == [(c["name"], c["type"]) for c in columns]
        unknown = client.get("/api/v1/tables/shop.order")
        assert (404, "did you mean shop.orders?") == (unknown.status_code, unknown.json()["fix"])
        assert 400 == client.get("/api/v1/tables/orders").status_code
    finally:
        lake.close()
