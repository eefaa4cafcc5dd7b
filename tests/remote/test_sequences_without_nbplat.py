"""Indexes are built by interpreters that have the shipped zip and libraries, and nothing else of nbplat."""

from __future__ import annotations

import pickle
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nbplat.remote.bundle import write_bundle
from nbplat.sequence import plan as plan_module
from nbplat.sequence.builds import Builds
from tests.fixtures.lakehouse import Lake
from tests.fixtures.sequences import clicks, definition, digests, sequence_lake

_LOOP = """
import importlib, pickle, struct, sys
sys.path += [sys.argv[2]]
sys.path.insert(0, sys.argv[1])
import nbplat
assert nbplat.__file__.startswith(sys.argv[1]), nbplat.__file__
while head := sys.stdin.buffer.read(8):
    module, name, task = pickle.loads(sys.stdin.buffer.read(struct.unpack("<q", head)[0]))
    data = pickle.dumps(getattr(importlib.import_module(module), name)(task))
    sys.stdout.buffer.write(struct.pack("<q", len(data)) + data)
    sys.stdout.buffer.flush()
ours = [name for name in sys.modules if name.startswith("nbplat") and not name.startswith("nbplat.remote")]
assert ours == ["nbplat"], ours
"""


class BundleFarm:
    """Does tasks one by one in an interpreter of its own.

    Attributes:
        done: Name of each piece of work that was done.
    """

    name = "local"
    slots = 1

    def __init__(self, bundle: str) -> None:
        self.bundle = bundle
        self.done: list[str] = []

    @contextmanager
    def farm(self, engine: str, what: str, say: Callable[[str], None]) -> Iterator[BundleFarm]:
        yield self

    def check_farm(self, engine: str, reads: str, writes: str) -> None:
        pass

    def run(self, work: Any, tasks: Iterator[Any], *, failed: Any = None) -> Iterator[Any]:
        site = sysconfig.get_paths()["purelib"]
        command = [sys.executable, "-I", "-S", "-c", _LOOP, self.bundle, site]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for task in tasks:
                data = pickle.dumps((work.__module__, work.__name__, task))
                process.stdin.write(len(data).to_bytes(8, "little") + data)
                process.stdin.flush()
                size = int.from_bytes(process.stdout.read(8), "little")
                self.done.append(work.__name__)
                yield pickle.loads(process.stdout.read(size))  # noqa: S301 - our own
            process.stdin.close()
            assert 0 == process.wait(30)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    monkeypatch.setattr(plan_module, "_BUCKET_ROWS", 800)
    made = sequence_lake(tmp_path / "home")
    yield made
    made.close()


def test_an_index_is_built_and_brought_up_to_date(lake: Lake, tmp_path: Path) -> None:
    """Reading, clocks, conditions, sorting, comparing and writing need the zip only; the content is that of here."""
    rows = clicks(3_000)
    farm = BundleFarm(write_bundle(str(tmp_path)))
    lake.platform.sequence_parts["farms"] = lambda real: farm
    sequences = lake.platform.sequences
    declared = definition("shop.clicks")
    lake.make("shop.clicks", rows.slice(0, 2_000), partitioned=False)
    Builds(sequences).queue(declared, owner="me")
    lake.work()
    lake.table("shop.clicks").append(rows.slice(2_000))
    Builds(sequences).queue(declared, owner="me")
    lake.work()
    assert {"scatter", "shard", "amend"} <= set(farm.done)
    index = sequences.find_index(sequences.bind(declared))
    assert index is not None

    lake.platform.sequence_parts.clear()
    here = lake.platform.sequences_of({"rows": rows})
    Builds(here).queue(definition("rows", name="here"), owner="me")
    lake.work()
    same = here.find_index(here.bind(definition("rows", name="here")))
    assert same is not None
    assert digests(same) == digests(index)
