"""Making a channel is killed at every step, or done twice at once: the same command then gives the same channel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nbplat.adapters.conda.channel.check import check_channel
from tests.environment.test_channel_make import content, make, wheel

pytestmark = pytest.mark.process

# Makes a channel and dies before the N-th renaming, the steps by which a channel changes.
_DEADLY = """
import os, signal, sys
from pathlib import Path
from nbplat.adapters.conda.channel.folder import DiskChannel
from nbplat.adapters.conda.channel.sources import MachineSources
from nbplat.environment.channel.make import make_channel
from nbplat.environment.channel.request import ChannelRequest

left = int(sys.argv[1])
rename = Path.replace

def deadly(self, target):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)

Path.replace = deadly
folder = Path(sys.argv[2])
request = ChannelRequest(folder, python=False, wheels=(sys.argv[3],))
make_channel(request, MachineSources(), DiskChannel(folder), lambda phase: None)
"""


def start(steps: int, folder: Path, wheels: Path) -> subprocess.Popen[bytes]:
    """Start making a channel that dies before this step; 0 lives."""
    words = [sys.executable, "-c", _DEADLY, str(steps), str(folder), str(wheels)]
    return subprocess.Popen(words, cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": "."})


def test_killed_before_every_step(tmp_path: Path) -> None:
    """Killed before any renaming, the channel holds whole packages only, and the next run gives what one run gives."""
    wheels = tmp_path / "wheels"
    for name in ("a", "b"):
        wheel(wheels, name)
    make(tmp_path / "right", wheels)
    right = content(tmp_path / "right")
    steps = 1
    while True:
        folder = tmp_path / f"killed-{steps}"
        code = start(steps, folder, wheels).wait(timeout=60)
        if code == 0:
            break
        assert -signal.SIGKILL == code
        packages = {path: text for path, text in content(folder).items() if path.endswith(".conda")}
        assert packages.items() <= right.items()
        make(folder, wheels)
        assert right == content(folder)
        assert not (folder / ".nbplat" / "tmp").exists()
        steps += 1
    # Each package and its note, then the two files of the index of two platforms.
    assert 2 * 2 + 2 * 2 + 1 == steps
    faults = check_channel(tmp_path / "killed-3", lambda phase: None)
    assert all("no candidates" in one and "python" in one for one in faults), faults


def test_two_at_once_make_one_channel(tmp_path: Path) -> None:
    """Two processes that make one channel at once both succeed, and the channel is that of one after the other."""
    one, two = tmp_path / "one", tmp_path / "two"
    for name in ("a", "b", "c"):
        wheel(one, name)
        wheel(two, f"other{name}")
    both = [start(0, tmp_path / "channel", wheels) for wheels in (one, two)]
    assert [0, 0] == [process.wait(timeout=60) for process in both]
    make(tmp_path / "right", one, two)
    assert content(tmp_path / "right") == content(tmp_path / "channel")
