"""The big channel: the data packages of this machine, as people take them to a site without a network."""

from __future__ import annotations

from pathlib import Path

from tests.environment.test_channel_small import run
from tests.fixtures.channels import BIG, SmallChannel
from tests.fixtures.conda_client import installed


def test_data_packages_work_from_the_channel(big_channel: SmallChannel, tmp_path: Path) -> None:
    """numpy, pandas, pyarrow, scikit-learn, polars and duckdb, as they are installed here, run where they are put."""
    prefix = tmp_path / "env"
    installed(big_channel, prefix, "python", *BIG)
    program = (
        "import numpy, pandas, pyarrow, scipy.stats, sklearn.linear_model, polars, duckdb\n"
        "t = pyarrow.table({'x': [1.0, 2.0, 4.0]});"
        "print(duckdb.sql('select sum(x) from t').fetchall()[0][0], t.to_pandas()['x'].mean(),"
        "polars.from_arrow(t)['x'].max(), sklearn.linear_model.LinearRegression().fit([[1.0], [2.0]], [1, 2]).coef_[0])"
    )
    assert ["7.0", "2.3333333333333335", "4.0"] == run(prefix / "bin/python", "-c", program).split()[:3]
