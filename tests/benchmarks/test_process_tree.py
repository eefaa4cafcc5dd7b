"""CPU seconds of a tree of processes: whoever ends meanwhile is counted, and nobody twice."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.process_tree import TreeCpu, TreeWatch

pytestmark = pytest.mark.process

# Prints what it has spent just before it ends.
BURN = "import sys, time\nwhile time.process_time() < float(sys.argv[1]): pass\nprint(time.process_time(), flush=True)"
# Runs its arguments without ever learning what its child has spent, as Ray's raylet does.
DEAF = (
    "import signal, subprocess, sys\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', *sys.argv[1:]], stdout=subprocess.PIPE, text=True)\n"
    "print(child.stdout.read(), flush=True)\nsys.stdin.read()"
)


def python(code: str, *words: str) -> list[str]:
    return [sys.executable, "-c", code, *words]


def test_a_child_that_has_ended_is_counted_once() -> None:
    """It ends before the block does, seen by samples and by its parent, which waits for it."""
    with TreeWatch() as watch:
        told = subprocess.run(python(BURN, "1.0"), capture_output=True, text=True, check=True)
    assert watch.cpu_s == pytest.approx(float(told.stdout), abs=0.3)


def test_children_that_no_sample_saw_are_counted() -> None:
    """Their parent knows of them."""
    cpu = TreeCpu()
    spent = [float(subprocess.check_output(python(BURN, "0.3"), text=True)) for _ in range(3)]
    cpu.sample()
    assert cpu.spent_s == pytest.approx(sum(spent), abs=0.3)


def test_a_child_of_a_parent_that_does_not_wait_is_counted() -> None:
    """As it was last seen."""
    parent = subprocess.Popen(python(DEAF, BURN, "1.0"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent:
        with TreeWatch() as watch:
            spent = float(parent.stdout.readline())
            # The next line comes when the child has ended.
            parent.stdout.readline()
        parent.communicate("")
    assert watch.cpu_s == pytest.approx(spent, abs=0.4)


def test_what_was_spent_before_is_not_counted() -> None:
    """Neither of a child that lives on, nor of one that ends meanwhile and is waited for, nor of this process."""
    wait = "\nsys.stdin.read()"
    children = [
        subprocess.Popen(python(BURN + wait, "0.7"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    with TreeWatch() as watch:
        children[0].communicate("")
    children[1].communicate("")
    assert [0, 0] == [child.returncode for child in children]
    assert watch.cpu_s < 0.3
