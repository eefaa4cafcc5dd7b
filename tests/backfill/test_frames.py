"""DataFrames of a notebook as sources: stored once by content, read by their name, gone after a dry run."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from nbplat.backfill.explain import explain_plan
from nbplat.backfill.frames import frame_table
from nbplat.backfill.spec import BackfillSpec
from nbplat.errors import RequestError
from nbplat.terms.frame import read_frame
from nbplat.ui.desk import LocalDesk
from nbplat.ui.python import Local
from tests.fixtures.lakehouse import ORDERS, Lake

SQL = "select b.id, rates.rate * b.id as f from base b left join rates on rates.customer = b.customer"


def rates(step: float = 0.5) -> pd.DataFrame:
    return pd.DataFrame({"customer": range(7), "rate": np.arange(7) * step})


def nb(lake: Lake) -> Local:
    return Local(LocalDesk(lake.platform))


def stored(lake: Lake) -> list[str]:
    return lake.platform.frames.tables.stored()


def test_a_frame_is_a_source_like_any_table(lake: Lake) -> None:
    """The body's bare name reads the DataFrame's rows; the plan shows its size, the run where it is stored."""
    made = nb(lake).backfill("f", table=ORDERS, sql=SQL, keys=["id"], frames={"rates": rates()}).value["run"]
    assert "awaiting_promotion" == made["state"]
    table = made["spec"]["frames"]["rates"]
    assert [table] == stored(lake)
    assert table.startswith("nb_frames.rates__")
    staged, rows = lake.staged(made["id"]), lake.rows()
    assert np.array_equal(rows["customer"] * 0.5 * rows["id"], staged["f"])
    plan = lake.backfills.plan(BackfillSpec.build("f", ORDERS, SQL, frames={"rates": table}, keys=("id",)))
    shown = dict(explain_plan(plan))
    assert "of 7 rows in 1 files, " in shown["frame"]


def test_equal_content_is_stored_once(lake: Lake) -> None:
    """The same rows from pandas, Polars and Arrow are one table and one run; other rows are another."""
    here = nb(lake)
    frames = [
        rates(),
        pl.from_pandas(rates()),
        pa.Table.from_pandas(rates()),
        pa.Table.from_pandas(rates()).to_batches()[0],
    ]
    runs = {here.backfill("f", table=ORDERS, sql=SQL, frames={"rates": each}).value["run"]["id"] for each in frames}
    assert {"f@1"} == runs
    assert 1 == len(stored(lake))
    other = here.backfill("f", table=ORDERS, sql=SQL, frames={"rates": rates(2.0)}).value["run"]
    assert "f@2" == other["id"]
    assert 2 == len(stored(lake))


def test_a_dry_run_leaves_no_frame(lake: Lake) -> None:
    """A frame that was stored for a plan is gone after it; one that a run names stays."""
    here = nb(lake)
    here.backfill("f", table=ORDERS, sql=SQL, frames={"rates": rates()}, dry_run=True)
    assert [] == stored(lake)
    here.backfill("f", table=ORDERS, sql=SQL, frames={"rates": rates()})
    kept = stored(lake)
    here.backfill("f", table=ORDERS, sql=SQL, frames={"rates": rates()}, dry_run=True)
    assert 1 == len(kept)
    assert kept == stored(lake)


def test_a_request_that_is_refused_leaves_no_frame(lake: Lake) -> None:
    """Neither tables nor files stay when the body is wrong or another frame is."""
    here = nb(lake)
    with pytest.raises(RequestError):
        here.backfill("f", table=ORDERS, sql=SQL.replace("rates.rate", "rates.rat"), frames={"rates": rates()})
    with pytest.raises(RequestError):
        here.backfill("f", table=ORDERS, sql=SQL, frames={"rates": rates(), "other": 7})
    assert [] == stored(lake)
    assert [] == [path for path in lake.home.rglob("*.parquet") if "nb_frames" in str(path)]


def test_unused_frames_are_listed_and_let_go(lake: Lake) -> None:
    """Only frames that no run names are dropped, and no other table by that way."""
    here, frames = nb(lake), lake.platform.frames
    here.backfill("f", table=ORDERS, sql=SQL, frames={"rates": rates()})
    [used] = stored(lake)
    loose = frames.keep("loose", pa.table({"a": [1]})).table
    assert ([loose], {used: ["f@1"]}) == (frames.unused(), frames.named())
    assert [loose] == frames.let_go([used, loose, ORDERS])
    assert [used] == stored(lake)
    assert 60 == len(lake.rows())


def test_a_half_made_frame_is_completed(lake: Lake) -> None:
    """A table that a killed process left without rows gets them, once."""
    table, rows = frame_table("rates", pa.Table.from_pandas(rates()))
    lake.catalog.create_namespace_if_not_exists("nb_frames")
    lake.catalog.create_table(str(table), rows.schema)
    kept = [lake.platform.frames.keep("rates", pa.Table.from_pandas(rates())) for _ in range(2)]
    assert [True, False] == [each.created for each in kept]
    assert 7 == lake.table(str(table)).scan().to_arrow().num_rows


def test_a_frame_above_the_limit_is_refused(tmp_path: Any) -> None:
    """The error has both sizes and the setting."""
    small = Lake(tmp_path / "home", **{"limits.frame_bytes": 100})
    try:
        with pytest.raises(RequestError) as caught:
            small.platform.frames.keep("big", pa.table({"a": range(1000)}))
    finally:
        small.close()
    assert "frame.size" == caught.value.code
    assert "8,000 bytes, and the limit is 100" in caught.value.message
    assert "limits.frame_bytes" in caught.value.fix


BAD: dict[str, tuple[str, Any, str]] = {
    "no frame": ("df", [1, 2], "frame.kind"),
    "a Series": ("df", pd.Series([1]), "frame.kind"),
    "base": ("base", pa.table({"a": [1]}), "frame.name"),
    "a name with a dot": ("a.b", pa.table({"a": [1]}), "frame.name"),
    "no columns": ("df", pa.table({}), "frame.column"),
    "a column twice": ("df", pa.table([[1], [2]], names=["a", "A"]), "frame.column"),
    "only nulls": ("df", pa.table({"a": pa.nulls(2)}), "frame.column"),
    "objects": ("df", pd.DataFrame({"a": [1, "x"]}), "frame.column"),
    "a map": ("df", pa.table({"a": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}), "frame.column"),
    "a duration": ("df", pa.table({"a": pa.array([1], pa.duration("s"))}), "frame.column"),
    "moments finer than a table has": ("df", pa.table({"a": pa.array([1], pa.timestamp("ns"))}), "frame.column"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_table_is_refused(what: str) -> None:
    """Each has its code and a mend."""
    name, value, code = BAD[what]
    with pytest.raises(RequestError) as caught:
        frame_table(name, read_frame(name, value))
    assert code == caught.value.code, caught.value
    assert caught.value.fix


def test_frames_hold_what_tables_hold() -> None:
    """Types are brought to the table's, an index that counts is left out, a named one is a column."""
    frame = pd.DataFrame(
        {"when": pd.to_datetime(["2024-01-01"]).as_unit("ns"), "small": np.array([1], "int8"), "tags": [["a"]]},
        index=pd.Index(["k"], name="key"),
    )
    _, plain = frame_table("df", read_frame("df", frame))
    expected = {
        "when": pa.timestamp("us"),
        "small": pa.int32(),
        "tags": pa.list_(pa.string()),
        "key": pa.string(),
    }
    assert expected == dict(zip(plain.schema.names, plain.schema.types, strict=True))
    assert dt.datetime(2024, 1, 1) == plain["when"][0].as_py()  # noqa: DTZ001 - without a zone, as in the frame
    _, other = frame_table("df", read_frame("df", frame.reset_index(drop=True).iloc[[0]]))
    assert ["when", "small", "tags"] == other.column_names


def test_chunks_do_not_change_the_name() -> None:
    """The same rows in other chunks, or cut from a longer table, are the same content."""
    rows = pa.table({"a": [1, 2, 3, 4]})
    chunked = pa.concat_tables([rows.slice(0, 1), rows.slice(1)])
    longer = pa.table({"a": [0, 1, 2, 3, 4]}).slice(1)
    assert 1 == len({frame_table("df", each)[0] for each in (rows, chunked, longer)})
