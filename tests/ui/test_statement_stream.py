"""A statement's events over broken streams: each once, and no end without `done`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from nbplat.errors import NotFound, RemoteError
from nbplat.ui import statement_stream
from nbplat.ui.statement_stream import StatementStream, read_events


def event(name: str, seq: int | None = None, **data: Any) -> list[str]:
    return [f"event: {name}", *([f"id: {seq}"] if seq else []), f"data: {json.dumps(data)}", ""]


BROKEN = RemoteError("service.unreachable", "it broke", fix="")
DONE = event("done", state="available")


class Script:
    """A client whose streams are given; an error among the lines is raised."""

    def __init__(self, *streams: list[Any]) -> None:
        self._streams = list(streams)
        self.asked: list[int] = []

    def lines(self, path: str, *, timeout_s: float, after: int) -> Iterator[str]:
        self.asked.append(after)
        for line in self._streams.pop(0):
            if isinstance(line, Exception):
                raise line
            yield line


def told(script: Script) -> list[tuple[str, Any]]:
    stream = StatementStream(script, "/x")  # type: ignore[arg-type]
    return [(each.name, each.data.get("text")) for each in stream.events()]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement_stream, "_PAUSE_S", 0.0)


def test_a_broken_stream_goes_on_behind_the_last_event() -> None:
    """A half event is told again whole; the service is asked from the number before it."""
    half = event("stdout", 9, text="b")[:2]
    script = Script([*event("stdout", 4, text="a"), *half, BROKEN], [BROKEN], [*event("stdout", 9, text="b"), *DONE])
    assert [("stdout", "a"), ("stdout", "b"), ("done", None)] == told(script)
    assert [0, 4, 4] == script.asked


def test_a_stream_that_stops_without_done_is_asked_for_again() -> None:
    """A service that is stopped in good order ends its streams early."""
    assert [("done", None)] == told(Script([": alive", ""], DONE))


def test_a_quiet_hour_is_no_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the time since the stream broke counts, and after a minute of it the break is told."""
    now = iter(range(0, 1_000_000, 3600))
    monkeypatch.setattr(statement_stream.time, "monotonic", lambda: next(now))
    script = Script([*event("stdout", 1, text="a"), BROKEN], [*event("stdout", 2, text="b"), BROKEN], DONE)
    assert [("stdout", "a"), ("stdout", "b"), ("done", None)] == told(script)
    with pytest.raises(RemoteError, match="it broke"):
        told(Script([BROKEN], [BROKEN]))


def test_other_errors_end_it() -> None:
    """A session that was deleted, and a refusal, are raised as they are."""
    gone = NotFound("session.unknown", "gone", fix="")
    with pytest.raises(NotFound, match="gone"):
        told(Script([*event("error", **gone.record())]))
    with pytest.raises(RemoteError, match="token"):
        told(Script([RemoteError("service.token", "token", fix="")]))


def test_comments_and_many_lines_of_data_are_read() -> None:
    """The format's comments are passed over, and data on two lines is one value."""
    lines = ["event: state", 'data: {"a":', "data: 1}", "", ": alive", ""]
    assert [("state", {"a": 1}, None)] == [(e.name, e.data, e.seq) for e in read_events(lines)]
