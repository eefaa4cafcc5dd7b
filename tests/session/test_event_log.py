"""Numbered events on disk: gapless, readable while written, torn ends ignored."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nbplat.remote.driver.event_log import EventLog, read_events


def test_events_are_numbered_without_gaps_over_segments(tmp_path: Path) -> None:
    """Numbers go on over segments and over a new opening of the log."""
    log = EventLog(str(tmp_path), segment_bytes=200)
    for number in range(20):
        log.append("stream", text="x" * number)
    again = EventLog(str(tmp_path), segment_bytes=200)
    assert 21 == again.append("stream", text="after")
    assert list(range(1, 22)) == [event["seq"] for event in read_events(str(tmp_path))]
    assert [20, 21] == [event["seq"] for event in again.read(19)]
    assert len(list(tmp_path.iterdir())) > 3


def test_a_torn_line_is_no_event(tmp_path: Path) -> None:
    """What a kill left half written is passed over, and the next event takes its number."""
    log = EventLog(str(tmp_path))
    log.append("a")
    with next(tmp_path.iterdir()).open("ab") as file:
        file.write(b'{"seq":2,"ev')
    again = EventLog(str(tmp_path))
    assert 2 == again.append("b")
    assert [(1, "a"), (2, "b")] == [(event["seq"], event["event"]) for event in read_events(str(tmp_path))]


def test_forgotten_segments_are_gone_and_the_rest_is_whole(tmp_path: Path) -> None:
    """Only segments whose every event is known elsewhere are taken away."""
    log = EventLog(str(tmp_path), segment_bytes=100)
    for _ in range(12):
        log.append("stream", text="x" * 40)
    log.forget(7)
    found = [event["seq"] for event in read_events(str(tmp_path))]
    assert found[0] <= 8
    assert list(range(found[0], 13)) == found
    assert [9, 10, 11, 12] == [event["seq"] for event in log.read(8)]


@given(
    sizes=st.lists(st.integers(0, 300), max_size=30),
    cut=st.integers(0, 30),
    after=st.integers(0, 30),
    limit=st.integers(1, 1000),
)
def test_reading_from_any_number_gives_the_rest(sizes: list[int], cut: int, after: int, limit: int) -> None:
    """Reading on from any number, in pieces of any size, gives every later event once and in order.

    Those before `cut` are on disk only, the others in memory too.
    """
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(folder, segment_bytes=300)
        for size in sizes[:cut]:
            log.append("stream", text="x" * size)
        log = EventLog(folder, segment_bytes=300)
        for size in sizes[cut:]:
            log.append("stream", text="x" * size)
        found: list[int] = []
        at = after
        while row := log.read(at, limit):
            found += [event["seq"] for event in row]
            at = found[-1]
        assert list(range(after + 1, len(sizes) + 1)) == found


def test_who_follows_reads_no_segment_again(tmp_path: Path) -> None:
    """The newest events are read from memory; older ones, and one too large to be kept there, from disk."""
    log = EventLog(str(tmp_path))
    log.append("a")
    log.append("stream", text="x" * (2 << 20))
    log.append("b")
    assert [1, 2, 3] == [event["seq"] for event in log.read(0, 4 << 20)]
    for segment in tmp_path.iterdir():
        segment.unlink()
    assert [(3, "b")] == [(event["seq"], event["event"]) for event in log.read(2)]
    assert [] == log.read(3)
    assert [] == log.read(0)
