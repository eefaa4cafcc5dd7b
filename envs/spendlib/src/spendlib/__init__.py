"""Spend of customers, as notebooks and jobs share it."""

from __future__ import annotations

import pandas as pd

__all__ = ["spend_by_customer"]


def spend_by_customer(purchases: pd.DataFrame) -> pd.Series:
    """Sum of ``amount`` by ``customer_id``, the largest first."""
    return purchases.groupby("customer_id")["amount"].sum().sort_values(ascending=False)
