"""``spend FILE``: who spent how much, from a Parquet file of purchases."""

from __future__ import annotations

import sys

import pandas as pd

from spendlib import spend_by_customer


def main() -> None:
    """Print the table."""
    if len(sys.argv) != 2:
        sys.exit("usage: spend PURCHASES.parquet")
    print(spend_by_customer(pd.read_parquet(sys.argv[1])).to_string())
