"""Definitions in files and as JSON, and what two of them differ in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nbplat.errors import NotFound, RequestError, SetupError
from nbplat.sequence.definition_diff import diff_definitions
from nbplat.sequence.definition_file import definition_files, read_file, write_file
from nbplat.sequence.definition_json import from_json, from_record, to_json, to_record
from nbplat.sequence.parse import parse_definition

TEXT = """\
source: lake.events
entity: user_id
time: event_ts
events: {click: {last: 5}}
features: {amount: 'bucket(edges=[1, 2])'}
variants: {short: {size.length: 2}}
"""


def test_a_file_is_a_definition_called_after_it(tmp_path: Path) -> None:
    """The stem is the name, unless the key `name` says another."""
    file = tmp_path / "home.yaml"
    file.write_text(TEXT, encoding="utf-8")
    assert parse_definition(TEXT, "home") == read_file(file)
    file.write_text(f"\ufeffname: start\n{TEXT}", encoding="utf-8")
    assert parse_definition(TEXT, "start") == read_file(str(file))
    assert (file,) == definition_files(tmp_path)
    assert () == definition_files(tmp_path / "none")


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    """Into a folder under its name, into a file under any; a file that is there is replaced whole."""
    made = parse_definition(TEXT, "home")
    assert tmp_path / "sequences" / "home.yaml" == write_file(made, tmp_path / "sequences")
    other = write_file(made, tmp_path / "sequences" / "other.yml")
    other.write_text("old: " * 1000, encoding="utf-8")
    assert other == write_file(made, other)
    assert (made, made) == tuple(map(read_file, definition_files(tmp_path / "sequences")))
    assert made.version == read_file(other).version


def test_mistakes_in_a_file_name_the_file(tmp_path: Path) -> None:
    """The place begins with the file; what is missing or unreadable is said."""
    (tmp_path / "home.yaml").write_text(TEXT.replace("last: 5", "last: 0"), encoding="utf-8")
    with pytest.raises(RequestError) as caught:
        read_file(tmp_path / "home.yaml")
    assert f"{tmp_path / 'home.yaml'}, line 4, column 24" == caught.value.where
    (tmp_path / "home.yaml").write_text(TEXT, encoding="utf-8")
    assert f"{tmp_path / 'home.yaml'}, line 4, column 24" == read_file(tmp_path / "home.yaml").place(
        "events", "click", "last"
    )
    with pytest.raises(NotFound, match=r"there is no file .*hone\.yaml.*did you mean .*home\.yaml"):
        read_file(tmp_path / "hone.yaml")
    (tmp_path / "latin.yaml").write_bytes(TEXT.replace("lake", "l\xe4ke").encode("latin-1"))
    with pytest.raises(RequestError, match="byte 9 is not UTF-8"):
        read_file(tmp_path / "latin.yaml")
    (tmp_path / "Bad Name.yaml").write_text(TEXT, encoding="utf-8")
    with pytest.raises(RequestError, match=r"sequence\.name"):
        read_file(tmp_path / "Bad Name.yaml")
    with pytest.raises(SetupError, match="cannot be read"):
        read_file(tmp_path)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(SetupError, match="cannot be written"):
        write_file(parse_definition(TEXT, "home"), tmp_path / "file" / "home.yaml")


def test_json_holds_everything_but_places() -> None:
    """A definition comes back equal, edges and variants included."""
    made = parse_definition(TEXT, "home")
    again = from_json(to_json(made))
    assert (made, made.version, "") == (again, again.version, again.place("time"))
    assert [1.0, 2.0] == json.loads(to_json(made))["features"]["amount"]["edges"]


def _without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


RECORDS = [
    (lambda r: _without(r, "size"), "sequence.record"),
    (lambda r: {**r, "more": 1}, "sequence.record"),
    (lambda r: {**r, "entity": "user_id"}, "sequence."),
    (lambda r: {**r, "dedupe": "sometimes"}, "sequence.value"),
    (lambda r: {**r, "events": {"click": {**r["events"]["click"], "last": 0}}}, "sequence.last"),
    (lambda r: {**r, "as_of": {**r["as_of"], "gap_us": "5"}}, "sequence.record"),
    (lambda r: {**r, "features": {}}, "sequence.record"),
    (lambda r: {**r, "variants": {"short": {"size.lenght": 2}}}, "sequence.path"),
    (lambda r: {**r, "format": 2}, "sequence.format"),
    (lambda r: [r], "sequence.format"),
]


@pytest.mark.parametrize(("change", "code"), RECORDS)
def test_a_record_that_is_no_definition_is_refused(change: Any, code: str) -> None:
    """Keys that are missing or too much, wrong types and values, another format."""
    with pytest.raises(RequestError) as caught:
        from_record(change(to_record(parse_definition(TEXT, "home"))))
    assert caught.value.code.startswith(code)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "NaN", "5"])
def test_what_is_no_json_is_refused(text: str) -> None:
    """Broken, bottomless and other JSON."""
    with pytest.raises(RequestError, match=r"sequence\.(json|format)"):
        from_json(text)


def test_a_diff_names_keys_as_a_person_writes_them() -> None:
    """Paths with old and new values, None where there is none; defaults written out are no difference."""
    old = parse_definition(TEXT, "home")
    new = parse_definition(
        TEXT.replace("{last: 5}", "{last: 7, within: 90d}, buy: {}").replace("size.length: 2", "size.length: 3")
        + "as_of: {strict: true, gap: 5m}\nid: [a, b]\n",
        "other",
    )
    expected = (
        ("as_of.gap", "0s", "5m"),
        ("dedupe", "none", "first"),
        ("events.buy.last", None, 20_000),
        ("events.click.last", 5, 7),
        ("events.click.within", None, "90d"),
        ("id", None, ["a", "b"]),
        ('variants.short."size.length"', 2, 3),
    )
    assert expected == diff_definitions(old, new)
    assert () == diff_definitions(old, parse_definition(TEXT + "layout: mixed\n", "x"))
