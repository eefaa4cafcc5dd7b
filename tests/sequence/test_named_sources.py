"""What a name stands for: a table, files, or a frame of the notebook, as it is or as it was pinned."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nbplat.compose.event_sources import NamedSources
from nbplat.errors import Conflict, NotFound
from nbplat.sequence.pinned_sources import PinnedSources
from tests.fixtures.lakehouse import Lake
from tests.fixtures.sequences import clicks


def sources(lake: Lake, **frames: pa.Table) -> NamedSources:
    return NamedSources(lambda: lake.catalog, lambda _: {}, frames, lake.home / "frames")


def test_a_name_says_by_its_form_what_it_is(roomy: Lake, tmp_path: Path) -> None:
    """A dotted name is a table, what has a slash is files, a plain word is a frame."""
    rows = clicks(20)
    roomy.make("shop.clicks", rows, partitioned=False)
    pq.write_table(rows, tmp_path / "clicks.parquet")
    named = sources(roomy, clicks=rows)
    kinds = {name: named.open(name).pin.kind for name in ("shop.clicks", f"{tmp_path}/clicks.parquet", "clicks")}
    assert ["table", "path", "frame"] == list(kinds.values())
    assert {20} == {named.open(name).rows for name in kinds}


def test_a_frame_that_is_not_there_is_named_with_the_nearest(roomy: Lake) -> None:
    """The fix says also how tables and files are written."""
    with pytest.raises(NotFound, match="no DataFrame 'clikcs'") as raised:
        sources(roomy, clicks=clicks(5)).open("clikcs")
    assert raised.value.fix == "did you mean clicks? A table is written namespace.table, a file with its path"


def test_a_pinned_frame_is_the_one_of_then(roomy: Lake) -> None:
    """Under another content of the name the kept rows are read; when none were kept, the plan has to be made again."""
    then, now = clicks(30), clicks(30, seed=1)
    pin = sources(roomy, clicks=then).open("clicks").pin
    with pytest.raises(Conflict, match="has other rows") as raised:
        sources(roomy, clicks=now).open("clicks", pin)
    assert "source.moved" == raised.value.code
    assert 1 == len(sources(roomy, clicks=then).open("clicks").parts)
    for named in (sources(roomy, clicks=now), sources(roomy)):
        found = named.open("clicks", pin)
        assert pin == found.pin
        assert then["item"].to_pylist() == pa.concat_tables(found.read(["item"]))["item"].to_pylist()


def test_an_object_is_hashed_once_and_another_one_anew(roomy: Lake) -> None:
    """The same object is the same source; when the name gets another object, that is another source."""
    frames = {"clicks": clicks(30)}
    named = NamedSources(lambda: roomy.catalog, lambda _: {}, frames, roomy.home / "frames")
    first = named.open("clicks")
    assert first is named.open("clicks")
    frames["clicks"] = clicks(30, seed=1)
    assert first.pin != named.open("clicks").pin


def test_pins_hold_for_the_names_that_they_are_given_for(roomy: Lake) -> None:
    """A table that moved on is read as it was, others as they are."""
    table = roomy.make("shop.clicks", clicks(20), partitioned=False)
    roomy.make("shop.other", clicks(5), partitioned=False)
    named = sources(roomy)
    pinned = PinnedSources(named, {"shop.clicks": named.open("shop.clicks").pin})
    table.append(clicks(3))
    assert (20, 23, 5) == (
        pinned.open("shop.clicks").rows,
        named.open("shop.clicks").rows,
        pinned.open("shop.other").rows,
    )
