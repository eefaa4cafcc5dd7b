"""Numbered events on disk: what a session has done, readable while it lives and after it died."""

from __future__ import annotations

import collections
import itertools
import json
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

__all__ = ["EventLog", "read_events"]

_SEGMENT_BYTES = 8 << 20
_PREFIX = "events-"
_RECENT_BYTES = 1 << 20
# In JSON: half of a pair (or a whole one, which is looked at for nothing), and the one character that databases refuse.
_DOUBTFUL = re.compile(r"\\u(?:d[89a-f]|0000)")


class EventLog:
    """Appends events and hands them out by number; safe between threads.

    Each event is one line of JSON, written with one call before anybody sees it: a process that is killed loses no
    event that it has shown. Lines go to segments, which `forget` takes away from the front. The newest lines are kept
    in memory as well: who follows the log need not read a segment from its beginning for each event.

    Args:
        folder: Holds nothing but segments; made when missing. A log that is there is continued.
        segment_bytes: A segment that has reached this size is followed by the next.
    """

    def __init__(self, folder: str, segment_bytes: int = _SEGMENT_BYTES) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._segment_bytes = segment_bytes
        self._changed = threading.Condition()
        self._handle = -1
        self._written = 0
        self._closed = False
        # By their numbers without gaps, the last one `self._last`.
        self._recent: collections.deque[bytes] = collections.deque()
        self._recent_bytes = 0
        last = 0
        for event in read_events(folder):
            last = event["seq"]
        self._last = last
        self._begin()

    @property
    def last(self) -> int:
        """Number of the newest event; 0 before the first."""
        return self._last

    def append(self, event: str, **values: Any) -> int:
        """Write one event and return its number, counted from 1 without gaps.

        Args:
            event: What happened, in one word.
            values: JSON values; characters that no text can hold are replaced.
        """
        with self._changed:
            record = {"seq": self._last + 1, "at_ms": time.time_ns() // 1_000_000, "event": event, **values}
            text = json.dumps(record, separators=(",", ":"))
            if _DOUBTFUL.search(text):
                text = json.dumps(_speakable(record), separators=(",", ":"))
            line = text.encode() + b"\n"
            if self._written + len(line) > self._segment_bytes and self._written:
                self._begin()
            view = memoryview(line)
            while view.nbytes:
                view = view[os.write(self._handle, view) :]
            self._written += len(line)
            self._last += 1
            self._remember(line)
            self._changed.notify_all()
            return self._last

    def wait(self, after: int, limit_s: float) -> bool:
        """Wait until there is an event newer than `after`; False when there is none in time or the log was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._last > after or self._closed, limit_s)
            return self._last > after

    def read(self, after: int, limit_bytes: int = 1 << 20) -> list[dict[str, Any]]:
        """The events that follow number `after`, in order: at least one if there is one, then up to `limit_bytes`."""
        with self._changed:
            first = self._last - len(self._recent) + 1
            remembered = after + 1 >= first
            lines = list(itertools.islice(self._recent, max(0, after + 1 - first), None)) if remembered else []
        if not remembered:
            return read_events(str(self._folder), after, limit_bytes)
        taken = 0
        found = []
        for line in lines:
            found.append(json.loads(line))
            taken += len(line)
            if limit_bytes and taken >= limit_bytes:
                break
        return found

    def forget(self, up_to: int) -> None:
        """Take away the segments whose every event is numbered `up_to` or lower."""
        with self._changed:
            firsts = _segments(self._folder)
            for (_, path), (following, _) in zip(firsts, firsts[1:]):
                if following - 1 <= up_to:
                    path.unlink()

    def mute(self) -> None:
        """Write nothing from now on: in a copy of the process, whose events would bear the numbers of others."""
        self._handle = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        # The copy of a lock that another thread held would never be let go.
        self._changed = threading.Condition()

    def close(self) -> None:
        """Wake everybody who waits; nothing can be appended then."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _remember(self, line: bytes) -> None:
        self._recent.append(line)
        self._recent_bytes += len(line)
        while self._recent_bytes > _RECENT_BYTES:
            self._recent_bytes -= len(self._recent.popleft())

    def _begin(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
        path = self._folder / f"{_PREFIX}{self._last + 1:012d}.jsonl"
        # A half line of a process that was killed in a write stands at the end of an older segment, never before ours.
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._written = os.fstat(self._handle).st_size


def read_events(folder: str, after: int = 0, limit_bytes: int = 0) -> list[dict[str, Any]]:
    """The events of a log that follow number `after`, in order; also of a process that has ended.

    Args:
        limit_bytes: Stop after the event that reaches it; 0 reads all.
    """
    found: list[dict[str, Any]] = []
    taken = 0
    segments = _segments(Path(folder))
    for place, (_, path) in enumerate(segments):
        if place + 1 < len(segments) and segments[place + 1][0] <= after + 1:
            continue
        try:
            lines = path.open("rb")
        except FileNotFoundError:
            continue  # forgotten meanwhile: its reader has them all
        with lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # being written, or torn by a kill
                event = json.loads(line)
                if event["seq"] <= after:
                    continue
                found.append(event)
                taken += len(line)
                if limit_bytes and taken >= limit_bytes:
                    return found
    return found


def _speakable(value: Any) -> Any:
    if isinstance(value, str):
        whole = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return whole.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_speakable(key): _speakable(item) for key, item in value.items()}
    return [_speakable(item) for item in value] if isinstance(value, (list, tuple)) else value


def _segments(folder: Path) -> list[tuple[int, Path]]:
    """Number of the first event and path of each segment, in order."""
    paths = sorted(folder.glob(f"{_PREFIX}*.jsonl"))
    return [(int(path.stem[len(_PREFIX) :]), path) for path in paths]
