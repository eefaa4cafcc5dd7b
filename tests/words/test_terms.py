"""The shared nouns."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbplat.errors import RequestError
from nbplat.terms import (
    Progress,
    RunId,
    SnapshotPin,
    StagedFile,
    TableName,
    Window,
    canonical_json,
    content_hash,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_canonical_json_is_json(value: Any) -> None:
    """It reads back as the value, and writes the same again."""
    text = canonical_json(value)
    assert value == json.loads(text)
    assert text == canonical_json(json.loads(text))


@given(st.dictionaries(st.text(), st.integers(), max_size=6))
def test_the_order_of_keys_does_not_count(value: dict[str, int]) -> None:
    """Equal objects have one name."""
    assert content_hash(value) == content_hash(dict(reversed(value.items())))


def test_canonical_form() -> None:
    """Sorted, without spaces or needless escapes; tuples are lists."""
    assert '{"a":[1,true,null],"b":"é/\\""}' == canonical_json({"b": 'é/"', "a": (1, True, None)})
    assert 64 == len(content_hash({}))
    assert content_hash([1]) != content_hash(["1"])
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


@pytest.mark.parametrize("text", ["a@1", "spend_90d@12", "a" * 63 + "@999999"])
def test_a_run_is_name_and_number(text: str) -> None:
    """What is written is what is read."""
    assert text == str(RunId.parse(text))


@pytest.mark.parametrize("text", ["", "a", "a@", "a@0", "a@-1", "a@x", "@1", "A@1", "1a@1", "a b@1", "a@1@2", "é@1"])
def test_what_is_no_run_is_refused(text: str) -> None:
    """Every other shape has a code and a mend."""
    with pytest.raises(RequestError) as caught:
        RunId.parse(text)
    assert caught.value.code in ("run.id", "run.name")
    assert caught.value.fix


def test_names_of_64_characters_are_too_long() -> None:
    """A name becomes part of table names: 63 characters at most, and no line end slips through."""
    assert "a" * 63 == RunId.check_name("a" * 63)
    for name in ("a" * 64, "a\n"):
        with pytest.raises(RequestError):
            RunId.check_name(name)


def test_runs_are_ordered_by_number() -> None:
    """@2 comes before @10."""
    assert [RunId("a", 2), RunId("a", 10), RunId("b", 1)] == sorted([RunId("b", 1), RunId("a", 10), RunId("a", 2)])


@pytest.mark.parametrize("text", ["retail.train", "team.ml.train", "A1._x"])
def test_a_table_has_a_namespace(text: str) -> None:
    """What is written is what is read; nested namespaces too."""
    name = TableName.parse(text)
    assert text == str(name)
    assert text.rpartition(".")[0] == name.namespace


@pytest.mark.parametrize("text", ["", "train", ".train", "retail.", "a..b", "a.b-c", "1a.b", "a.b\n", 'a."b"', "a b.c"])
def test_what_is_no_table_is_refused(text: str) -> None:
    """Every other shape is a request error."""
    with pytest.raises(RequestError) as caught:
        TableName.parse(text)
    assert "table.name" == caught.value.code


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        (None, None, "[-∞, ∞)"),
        ("2011-03-01", None, "[2011-03-01, ∞)"),
        (None, "2011-03-01T12:00", "[-∞, 2011-03-01T12:00:00Z)"),
        ("2011-03-01T02:00+02:00", "2011-03-02T00:00Z", "[2011-03-01, 2011-03-02)"),
    ],
)
def test_a_window_is_echoed(start: str | None, end: str | None, shown: str) -> None:
    """Half-open, in UTC; a naive text is UTC; the record reads back."""
    window = Window.parse(start, end)
    assert shown == str(window)
    record = json.loads(json.dumps(window.record()))
    assert window == Window.parse(record["from"], record["to"])
    assert (start is None and end is None) == window.unbounded


@pytest.mark.parametrize(
    ("start", "end", "code"),
    [
        ("2011-03-01", "2011-03-01", "window.empty"),
        ("2011-03-02", "2011-03-01", "window.empty"),
        ("2011-03-01T00:00Z", "2011-03-01T01:00+02:00", "window.empty"),
        ("last week", None, "window.date"),
        (None, "2011-13-01", "window.date"),
        ("", None, "window.date"),
    ],
)
def test_a_window_without_time_is_refused(start: str | None, end: str | None, code: str) -> None:
    """Empty, turned round or no date: each names the flag to mend."""
    with pytest.raises(RequestError) as caught:
        Window.parse(start, end)
    assert code == caught.value.code
    assert "--" in caught.value.fix


def test_a_window_is_aware() -> None:
    """A naive moment is a bug of the caller."""
    with pytest.raises(ValueError, match="UTC-aware"):
        Window(end=dt.datetime(2011, 1, 1))  # noqa: DTZ001


def test_records_read_back() -> None:
    """Pins, files and progress are plain JSON."""
    pin = SnapshotPin("retail.train", "uuid", None, 0)
    file = StagedFile("file:/a", "file:/b", 3, 100, True, "d")
    assert pin == SnapshotPin(**json.loads(json.dumps(pin.record())))
    assert file == StagedFile(**json.loads(json.dumps(file.record())))
    assert {"done": 1, "total": 2, "unit": "files"} == Progress(1, 2, "files").record()
