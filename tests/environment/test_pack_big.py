"""An archive of the data packages that people really use."""

from __future__ import annotations

import subprocess
from pathlib import Path

from nbplat.environment.store import Store
from tests.fixtures.channels import BIG, SmallChannel
from tests.fixtures.environments import build_small
from tests.fixtures.packs import output, packed

_USE = """
import sys, numpy as np, pandas as pd, pyarrow as pa, scipy.linalg, sklearn.linear_model, polars as pl, duckdb
frame = pd.DataFrame({"x": np.arange(5.0), "y": 2 * np.arange(5.0)})
model = sklearn.linear_model.LinearRegression().fit(frame[["x"]], frame["y"])
total = duckdb.sql("select sum(y) as y from frame").fetchall()[0][0]
rows = pa.Table.from_pandas(frame).num_rows
print(round(model.coef_[0], 6), rows, pl.from_pandas(frame)["y"].sum(), total, sys.prefix)
"""


def test_data_packages_work_from_a_slim_archive(big_channel: SmallChannel, tmp_path: Path) -> None:
    """numpy, pandas, pyarrow, scipy, scikit-learn, polars and duckdb compute in an unpacked slim archive."""
    root = tmp_path / "env"
    done = build_small(big_channel, root, "python", *BIG)
    made = packed(done, Store(root), slim=True)
    home = tmp_path / "home"
    home.mkdir()
    subprocess.run(["tar", "-xzf", made.archive, "-C", home], check=True, timeout=120)
    said = output(home / "bin" / "python", "-c", _USE, PYTHONDONTWRITEBYTECODE="1")
    assert f"2.0 5 20.0 20.0 {home}\n" == said
