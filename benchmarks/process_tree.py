"""What a process and all that descend from it spend, those included that begin and end meanwhile."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["TreeCpu", "TreeWatch"]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Reading a `stat` costs microseconds; to say its PSS, the kernel walks all pages of a process.
_CPU_S = 0.1
_MEMORY_EVERY = 3

_Key = tuple[int, int]


class TreeWatch:
    """What the tree of this process spends in a block, without what watching it costs.

    Args:
        look: Called about three times a second, for what else is to be watched.

    Attributes:
        cpu_s: After the block: user and system time.
        peak_bytes: After the block: the most memory (PSS: shared pages once) over what the tree had at first.
    """

    def __init__(self, look: Callable[[], None] = lambda: None) -> None:
        self._look = look

    def __enter__(self) -> TreeWatch:
        self._first = self._most = _pss_bytes()
        self._over = threading.Event()
        self._own_s = 0.0
        self._thread = threading.Thread(target=self._watch)
        self._cpu = TreeCpu()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._cpu.sample()
        self.cpu_s = self._cpu.spent_s - self._own_s
        self._most = max(self._most, _pss_bytes())
        self.peak_bytes = self._most - self._first

    def _watch(self) -> None:
        turn = 0
        while not self._over.wait(_CPU_S):
            self._cpu.sample()
            turn += 1
            if turn % _MEMORY_EVERY == 0:
                self._most = max(self._most, _pss_bytes())
                self._look()
        self._own_s = time.thread_time()


@dataclass
class _Process:
    """Clock ticks: `own` of the process, `reaped` of the children that it has waited for, and of theirs."""

    parent: _Key | None
    own_first: int
    reaped_first: int
    own: int
    reaped: int
    lives: bool = True


class TreeCpu:
    """User and system time of the tree of this process since this was made.

    A process that has ended counts with what it was last seen to have, or with what its parent got of it when it
    waited for it, whichever is more: never with both. A parent that ignores its children's ends, as Ray's does, gets
    nothing; one that ran between two samples is known by its parent only.
    """

    def __init__(self) -> None:
        self._seen: dict[_Key, _Process] = {}
        self.sample()
        for process in self._seen.values():
            process.own_first, process.reaped_first = process.own, process.reaped

    def sample(self) -> None:
        """Look at all processes of the tree; parents first, so that none has waited for a child that is seen after."""
        keys: dict[int, _Key] = {}
        for pid in _tree([pid for (pid, _), process in self._seen.items() if process.lives]):
            fields = _stat(pid)
            if fields is None:
                continue
            # Numbered as in proc_pid_stat(5), which begins with pid and name: parent 4, times 14 to 17, start 22.
            own, reaped = (int(fields[at - 3]) + int(fields[at - 2]) for at in (14, 16))
            key = keys[pid] = (pid, int(fields[22 - 3]))
            process = self._seen.setdefault(key, _Process(None, 0, 0, 0, 0))
            process.parent, process.own, process.reaped = keys.get(int(fields[4 - 3])), own, reaped
        for key, process in self._seen.items():
            process.lives = keys.get(key[0]) == key

    @property
    def spent_s(self) -> float:
        """As of the last sample."""
        children: dict[_Key | None, list[_Key]] = {}
        for key, process in self._seen.items():
            children.setdefault(process.parent, []).append(key)

        def spent(key: _Key) -> int:
            process = self._seen[key]
            below = [(self._seen[child], spent(child)) for child in children.get(key, ())]
            ended = [(child, ticks) for child, ticks in below if not child.lives]
            before = sum(child.own_first + child.reaped_first for child, _ in ended)
            told = process.reaped - process.reaped_first - before
            living = sum(ticks for child, ticks in below if child.lives)
            return process.own - process.own_first + living + max(told, sum(ticks for _, ticks in ended))

        return sum(spent(key) for key in children.get(None, ())) / _TICKS_PER_S


def _tree(known: Iterable[int] = ()) -> list[int]:
    """This process and all that descend from it, parents first; then those of `known` that have lost their parent."""
    children: dict[int, list[int]] = {}
    living = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
            living.add(int(entry.name))
    found: dict[int, None] = {}
    for root in (os.getpid(), *known):
        waiting = [root] if root in living and root not in found else []
        while waiting:
            found[pid := waiting.pop(0)] = None
            waiting += children.get(pid, [])
    return list(found)


def _stat(pid: int) -> list[str] | None:
    """Fields of a process's `stat` from its state on; None when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _pss_bytes() -> int:
    """Memory of the tree, shared pages once."""
    total = 0
    for pid in _tree():
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024
    return total
