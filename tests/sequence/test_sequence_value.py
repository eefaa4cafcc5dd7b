"""`nb.Sequence` in one process: declared in any form, looked at, built, corrected, read and exported."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import nbplat as nb
from nbplat.errors import NotFound, RequestError
from nbplat.ui.desk import LocalDesk
from nbplat.ui.python import Local
from tests.fixtures.lakehouse import Lake

DAY = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
US = pa.timestamp("us", tz="UTC")

TEXT = """source: shop.clicks
entity: user
time: at
id: eid
type: kind
events:
  click: {last: 3}
  buy: {last: 2, where: "amount > 0"}
features: {amount: float32, at: age(unit=h)}
size: {length: 4}
as_of: {time: asked}
variants:
  short: {size.length: 2}
  no_buy: {events.buy: drop}
"""
KEYS: dict[str, Any] = {
    "source": "shop.clicks",
    "entity": "user",
    "time": "at",
    "id": "eid",
    "type": "kind",
    "events": {"buy": {"last": 2, "where": "amount > 0"}, "click": {"last": 3}},
    "features": {"amount": "float32", "at": "age(unit=h)"},
    "size": {"length": 4},
    "as_of": {"time": "asked"},
    "variants": {"short": {"size.length": 2}, "no_buy": {"events.buy": "drop"}},
}


def clicks(first: int, count: int) -> pa.Table:
    """Events an hour apart of four users; every third is a purchase, every other of these worth nothing."""
    numbers = range(first, first + count)
    return pa.table(
        {
            "user": pa.array([n % 4 for n in numbers], pa.int64()),
            "kind": pa.array(["buy" if n % 3 == 0 else "click" for n in numbers], pa.string()),
            "at": pa.array([DAY + dt.timedelta(hours=n) for n in numbers], US),
            "amount": pa.array([float(n % 2) for n in numbers], pa.float64()),
            "eid": pa.array(numbers, pa.int64()),
        }
    )


def asks() -> pa.Table:
    """Five users ask after 20 hours, one of them without a history, and one at the moment of an event of its own."""
    return pa.table(
        {
            "user": pa.array([0, 1, 2, 3, 9], pa.int64()),
            "asked": pa.array([DAY + dt.timedelta(hours=20)] * 5, US),
            "label": pa.array([0, 1, 0, 1, 1], pa.int64()),
        }
    )


@dataclass(frozen=True)
class Shop:
    """Where the tests work."""

    lake: Lake
    here: Local

    def append(self, rows: pa.Table) -> None:
        """More events."""
        self.lake.table("shop.clicks").append(rows)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """`shop.clicks` of 40 hours and `shop.asks`."""
    lake = Lake(tmp_path / "home")
    lake.make("shop.clicks", clicks(0, 40))
    lake.make("shop.asks", asks())
    yield Shop(lake, Local(LocalDesk(lake.platform)))
    lake.close()


def declared(shop: Shop, **more: Any) -> Any:
    """The definition as Python keys, on the examples of the shop."""
    return shop.here.Sequence("home", **{**KEYS, "on": "shop.asks", **more})


def test_every_form_is_the_same_definition(tmp_path: Path) -> None:
    """Keys, YAML, JSON and a file give one version, and each is read back exactly."""
    by_keys, by_text = nb.Sequence("home", **KEYS), nb.Sequence.from_yaml(TEXT, "home")
    by_keys.export(file=tmp_path / "sequences" / "home.yaml")
    by_file = nb.Sequence.from_file(tmp_path / "sequences" / "home.yaml")
    forms = [
        by_keys,
        by_text,
        by_file,
        nb.Sequence.from_json(by_text.to_json()),
        nb.Sequence.from_yaml(by_keys.to_yaml()),
    ]
    assert 1 == len(set(forms))
    assert {by_text.version} == {each.version for each in forms}
    assert ("short", "no_buy") == by_text.variants
    assert "dedupe: first" in by_text.defaults
    assert f"<Sequence home.short {by_text.variant('short').version[:12]}>" == repr(by_keys.variant("short"))


def test_a_wrong_key_in_python_names_its_path() -> None:
    """Without a text an error points at the key."""
    with pytest.raises(RequestError, match=r"events\.click") as caught:
        nb.Sequence("home", **{**KEYS, "events": {"click": {"last": 0}}})
    assert "events.click.last" == caught.value.where


def test_a_preview_shows_that_nothing_leaks(shop: Shop) -> None:
    """Strict, no token is of the example's moment or later; not strict, the user's own event is among the tokens."""
    strict, loose = declared(shop), declared(shop, as_of={"time": "asked", "strict": False})
    assert ("ok", 0.0) == (strict.preview().leak.verdict, strict.preview().leak.share)
    leak = loose.preview(count=2).leak
    assert ("leak", 1) == (leak.verdict, leak.future)
    assert 0 < leak.share < 1
    bundle = loose._repr_mimebundle_()
    assert {"text/plain", "text/html"} == bundle.keys()
    assert "leak" in bundle["text/plain"].splitlines()[0].lower()
    assert "<script" not in bundle["text/html"]


def test_variants_are_compared_on_the_same_examples(shop: Shop) -> None:
    """A variant beside its definition; one that is not declared is refused with the nearest."""
    found = declared(shop).preview(compare="short").shown
    assert ("", "short") == (found.left.variant, found.right.variant)
    assert found.left.leak.tokens > found.right.leak.tokens == found.shared
    with pytest.raises(RequestError, match="did you mean short"):
        declared(shop).variant("shrt")


def test_lists_batches_and_ranges_agree(shop: Shop) -> None:
    """Every example has a row in each form, with as many events; the one without a history is empty."""
    sequence = declared(shop, events={"click": {"last": 3}, "buy": {"last": 2}})
    lists, ranges = sequence.features(carry=["label"]), sequence.ranges()
    (batch,) = list(sequence.batches(carry=["label"], rows=8))
    lengths = [len(each) for each in lists["amount"].to_pylist()]
    assert [4, 4, 4, 4, 0] == lengths == batch["length"].tolist()
    counts = [
        sum(row[f"{kind}__hi"] - row[f"{kind}__lo"] - len(row[f"{kind}__skipped"]) for kind in ("click", "buy"))
        for row in ranges.to_pylist()
    ]
    assert lengths == [min(each, 4) for each in counts]
    assert (5, 4) == batch["amount"].shape == batch["mask"].shape
    assert asks()["label"].to_pylist() == lists["label"].to_pylist() == batch["label"].tolist()
    newest = DAY + dt.timedelta(hours=16)
    assert newest == lists["at__raw"].to_pylist()[0][0]
    assert 4.0 == lists["at"].to_pylist()[0][0]
    assert sequence.version.encode() == ranges.schema.metadata[b"nbplat.definition"]


def test_a_build_is_planned_done_once_and_brought_up_to_date(shop: Shop) -> None:
    """A plan has no effect; a second build has nothing to do until events have come, and then adds these."""
    sequence = declared(shop)
    before = shop.lake.picture()
    assert "reads shop.clicks (table): at most 40 rows" in sequence.build(dry_run=True).text
    assert before == shop.lake.picture()
    assert sequence.build().text.startswith("home@1 built 40 events 4 entities")
    assert "the index is that of the present source" in sequence.build().text
    shop.append(clicks(100, 2))
    assert "has other rows by now" in sequence.preview().text
    assert "reads what was added" in sequence.build(dry_run=True).text
    done = sequence.build().text
    assert done.startswith("home@1 built 42 events 4 entities")
    assert "2 users, 2 events added, 0 removed, 0 changed" in done
    assert "has other rows by now" not in sequence.preview().text


def test_a_correction_shows_the_difference_first(shop: Shop) -> None:
    """What a day lacks is told user by user and published only when that is asked for."""
    sequence = declared(shop)
    sequence.build()
    shop.append(clicks(200, 3).set_column(2, "at", pa.array([DAY + dt.timedelta(minutes=n) for n in range(3)], US)))
    shown = sequence.correct("2024-03-01", "2024-03-02")
    assert shown.text.startswith("home@1 compared: 3 users, +3 -0 ~0 events")
    assert "--yes publishes it" in shown.text
    assert 40 == shop.here.platform.sequences.find("home").outputs["report"]["rows"]
    done = sequence.correct("2024-03-01", "2024-03-02", publish=True)
    assert (3, 3, 0, 0) == tuple(getattr(done.value, name) for name in ("users", "added", "removed", "changed"))
    assert 43 == shop.here.platform.sequences.find("home").outputs["report"]["rows"]
    assert "no difference" in sequence.correct().text


@pytest.mark.parametrize(
    ("window", "code"), [(("2024-03-02", "2024-03-01"), "window.empty"), (("soon", None), "window.date")]
)
def test_a_window_that_is_none_is_refused(shop: Shop, window: tuple[str, str | None], code: str) -> None:
    """The wrong way round, or no moment: nothing is queued."""
    sequence = declared(shop)
    sequence.build()
    before = shop.lake.picture()
    with pytest.raises(RequestError) as caught:
        sequence.correct(*window)
    assert code == caught.value.code
    assert before == shop.lake.picture()


def test_dataframes_stand_for_tables(shop: Shop) -> None:
    """A frame of the notebook is the source, another the examples; a build keeps the rows that it was given."""
    frame, examples = clicks(0, 40).to_pandas(), asks().to_pandas()
    framed = shop.here.Sequence("framed", **{**KEYS, "source": frame, "on": examples})
    tabled = declared(shop)
    assert tabled.features().equals(framed.features())
    assert framed.build().text.startswith("framed@1 built 40 events 4 entities")
    assert tabled.features().equals(framed.features())
    more = pd.concat([frame, clicks(100, 2).to_pandas()], ignore_index=True)
    again = shop.here.Sequence("framed", **{**KEYS, "source": more, "on": examples})
    assert framed.version == again.version
    # An index over a frame serves those very rows only.
    assert 42 == again.preview().preview.headline.rows_indexed
    assert again.build().text.startswith("framed@1 built 42 events 4 entities")


def test_a_changed_definition_is_a_new_one_under_its_name(shop: Shop) -> None:
    """The old one stays as it was kept, with its index; the newest is what the name means."""
    old = declared(shop)
    old.build()
    new = declared(shop, size={"length": 3})
    assert ("home@1", "home@2", "home@1") == (old.keep(), new.keep(), old.keep())
    kept = shop.here.Sequence.kept("home")
    assert (new.version, "shop.asks") == (kept.version, kept.subject.on)
    assert old == shop.here.Sequence.kept("home@1")
    assert "size.length" in new.diff(old).text
    # They differ in what is cut only: one index serves both.
    assert new.preview().preview.headline.index_bytes == old.preview().preview.headline.index_bytes
    found = new.diff().value
    assert ("previous", "home@1", "home@2") == (found["against"], found["old"]["label"], found["new"]["label"])
    assert [("size.length", 4, 3)] == [(each["path"], each["old"], each["new"]) for each in found["changes"]]
    assert "against home@1" in new.diff().text
    assert "the version before it: 1 key differs" in new.diff().text
    assert "is the first version of its name; its index was built from it" in old.diff().text
    with pytest.raises(NotFound, match="did you mean home"):
        shop.here.Sequence.kept("hme")


def test_a_definition_in_a_file_is_written_and_read(shop: Shop, tmp_path: Path) -> None:
    """An export of the definition is a file that reads as the same version."""
    done = declared(shop).export(file=tmp_path / "home.yaml")
    assert tmp_path / "home.yaml" == done.value
    assert declared(shop).version == shop.here.Sequence.from_file(tmp_path / "home.yaml").version


def test_paths_are_made_absolute(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path means the same in the notebook's folder and in the worker's."""
    import pyarrow.parquet as pq

    pq.write_table(clicks(0, 40), tmp_path / "clicks.parquet")
    monkeypatch.chdir(tmp_path)
    sequence = declared(shop, source="clicks.parquet")
    assert str(tmp_path / "clicks.parquet") == sequence.definition.source
    assert declared(shop).features().equals(sequence.features())
    assert sequence.build().text.startswith("home@1 built 40 events 4 entities")


def test_without_examples_nothing_is_guessed(shop: Shop) -> None:
    """A look at a definition needs examples once."""
    sequence = shop.here.Sequence("home", **KEYS)
    with pytest.raises(RequestError, match="was given no examples"):
        sequence.preview()
    sequence.preview("shop.asks")
    assert 5 == sequence.features().num_rows
