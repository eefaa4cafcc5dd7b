"""What a cell shows of the audit."""

from __future__ import annotations

import pytest

from nbplat.errors import DataError
from nbplat.ui.desk import LocalDesk
from nbplat.ui.python import Local
from tests.fixtures.lakehouse import ORDERS, Lake

SQL = "select id, x * 2D as f from base"


def test_a_cell_shows_the_picture_of_its_audit(lake: Lake) -> None:
    """The result of a run holds the charts; its first line of text stays greppable."""
    result = Local(LocalDesk(lake.platform)).backfill("f", table=ORDERS, sql=SQL)
    assert result.text.startswith("f@1 awaiting_promotion 6/6 files 60 rows")
    assert result.html is not None
    for title in ("f: distribution", "f: rows with a value, by date", "f: drift from the date before"):
        assert f"<title>{title}</title>" in result.html
    assert "<script" not in result.html


def test_a_rejected_run_shows_why_and_what_to_do(lake: Lake) -> None:
    """The call fails by name; the blocking finding stands in the picture with its mend."""
    nulls = "select id, case when id < 0 then x end as f from base"
    here = Local(LocalDesk(lake.platform))
    with pytest.raises(DataError, match="nulls f: 60 of 60 rows are null") as caught:
        here.backfill("f", table=ORDERS, sql=nulls)
    assert "audit.rejected" == caught.value.code
    result = here.show("f")
    assert "<b>blocks</b> nulls f: 60 of 60 rows are null (100.0%)" in (result.html or "")
    assert "allow more with --check nulls.max_share=SHARE" in (result.html or "")
