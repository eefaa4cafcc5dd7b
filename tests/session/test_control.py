"""How a driver tells its events."""

from __future__ import annotations

from pathlib import Path

from nbplat.adapters.driver.line import Line
from nbplat.remote.driver.control import Control
from nbplat.remote.driver.event_log import EventLog


def test_a_short_cell_is_told_at_once_with_its_end(tmp_path: Path, sockets: Path) -> None:
    """The beginning of a statement waits a moment for its end, so that both are one message."""
    log = EventLog(str(tmp_path))
    control = Control(str(sockets / "one"), "t", log, dict, {}, short_s=60.0)
    line = Line(str(sockets / "one"), "t", 0)
    try:
        told = line.events()
        log.append("accepted", id=0)
        log.append("started", id=0)
        log.append("done", id=0)
        assert ["accepted", "started", "done"] == [event["event"] for event in next(told)]
        log.append("log", lines=[])
        assert ["log"] == [event["event"] for event in next(told)]
    finally:
        line.close()
        control.close()


def test_a_long_cell_is_told_when_it_begins(tmp_path: Path, sockets: Path) -> None:
    """A statement that does not end soon is told as running."""
    log = EventLog(str(tmp_path))
    control = Control(str(sockets / "one"), "t", log, dict, {}, short_s=0.001)
    line = Line(str(sockets / "one"), "t", 0)
    try:
        log.append("started", id=0)
        assert ["started"] == [event["event"] for event in next(line.events())]
    finally:
        line.close()
        control.close()
