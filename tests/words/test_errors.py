"""The error tree: one drawing, one record, every border."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbplat.errors import (
    Conflict,
    DataError,
    Forbidden,
    InternalError,
    NbplatError,
    NotFound,
    RemoteError,
    RequestError,
    SetupError,
    did_you_mean,
    from_record,
    unexpected,
)

TREE = [
    (RequestError, "request", 2, 400),
    (NotFound, "request", 2, 404),
    (Forbidden, "request", 2, 403),
    (Conflict, "request", 2, 409),
    (DataError, "data", 4, 422),
    (SetupError, "environment", 3, 424),
    (RemoteError, "remote", 5, 502),
    (InternalError, "internal", 70, 500),
]


@pytest.mark.parametrize(("cls", "kind", "exit_code", "status"), TREE)
def test_each_class_has_its_numbers(cls: type[NbplatError], kind: str, exit_code: int, status: int) -> None:
    """Kind, exit code and HTTP status are those of the drawing."""
    error = cls("a.b", "it broke", fix="mend it")
    assert (kind, exit_code, status) == (error.kind, error.exit_code, error.http_status)
    assert isinstance(error, NbplatError)


def test_the_drawing_is_the_tree() -> None:
    """Every class of the tree is listed, and the three kinds of request errors are request errors."""

    def below(cls: type) -> set[type]:
        # Other modules' own, which are there once something has imported them, are no part of the drawing.
        own = [sub for sub in cls.__subclasses__() if sub.__module__ == cls.__module__]
        return {cls} | {deep for sub in own for deep in below(sub)}

    # The surfaces have some of their own, which are there once their modules were imported.
    ours = {cls for cls in below(NbplatError) if cls.__module__ == NbplatError.__module__}
    assert {cls for cls, *_ in TREE} | {NbplatError} == ours
    assert issubclass(NotFound, RequestError)
    assert issubclass(Conflict, RequestError)
    assert issubclass(Forbidden, RequestError)


@pytest.mark.parametrize("cls", [cls for cls, *_ in TREE])
@pytest.mark.parametrize("extra", [{}, {"where": "line 3, column 5"}, {"detail_id": "abc"}])
def test_an_error_crosses_every_border(cls: type[NbplatError], extra: dict[str, str]) -> None:
    """Pickled, copied or as JSON, class and fields come back."""
    error = cls("a.b", "it broke", fix="mend it", **extra)
    for again in (
        pickle.loads(pickle.dumps(error)),  # noqa: S301
        copy.copy(error),
        from_record(json.loads(json.dumps(error.record()))),
    ):
        assert (cls, error.record(), str(error)) == (type(again), again.record(), str(again))


@given(st.text(), st.text(), st.text(), st.text(), st.none() | st.text())
def test_a_record_is_the_error(code: str, message: str, fix: str, where: str, detail_id: str | None) -> None:
    """Whatever the texts are, the record gives them back."""
    error = DataError(code, message, fix=fix, where=where, detail_id=detail_id)
    assert error.record() == from_record(error.record()).record()


def test_a_strange_record_is_an_internal_error() -> None:
    """A record of another version still becomes an error that can be shown."""
    assert isinstance(from_record({}), InternalError)
    newer = from_record({"kind": "TimeError", "code": "t", "message": "m", "fix": "f"})
    assert (InternalError, "t: m. Fix: f") == (type(newer), str(newer))


def test_the_text_says_what_where_and_how_to_mend_it() -> None:
    """One line: code, message, place, mend, log id."""
    error = SetupError("disk.full", "the disk is full", fix="make room", where="/data", detail_id="7")
    assert "disk.full: the disk is full (/data). Fix: make room [log id 7]" == str(error)
    assert "a.b: c. Fix: d" == str(DataError("a.b", "c", fix="d"))


def test_unexpected_errors_keep_their_text_in() -> None:
    """A foreign exception becomes ours without its words, under an id; ours pass through."""
    ours = unexpected(KeyError("password=hunter2"))
    assert "hunter2" not in json.dumps(ours.record())
    assert ("InternalError", "internal.bug", 12) == (
        ours.record()["kind"],
        ours.code,
        len(ours.detail_id or ""),
    )
    assert ours.detail_id != unexpected(KeyError()).detail_id
    assert ours.detail_id in ours.fix
    known = DataError("a", "b", fix="c")
    assert known is unexpected(known)


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("retail.trian", ["retail.train", "sales.orders"], "did you mean retail.train?"),
        ("custmer", ["customer", "custom"], "did you mean customer or custom?"),
        ("--kye", ["--yes", "--keep", "--key"], "did you mean --key or --yes or --keep?"),
        ("zzz", ["b", "a", "a"], "known: a, b"),
        ("zzz", list("abcdefghij"), "known: a, b, c, d, e, f, g, h, …"),
        ("x", [], ""),
    ],
)
def test_near_names_are_suggested(name: str, known: list[str], expected: str) -> None:
    """Near names if there are any, else the first few of all, else nothing."""
    assert expected == did_you_mean(name, iter(known))
