"""The zip that other interpreters get: every module at any depth, the same bytes for the same sources."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

from nbplat.remote.bundle import bundle_bytes, write_bundle

SOURCES = Path(__file__).parents[2] / "nbplat" / "remote"

_LOOK = """
import importlib, sys
sys.path += [sys.argv[2]]
sys.path.insert(0, sys.argv[1])
from nbplat.remote.bundle import bundle_bytes
from nbplat.remote.sequence import events
print(events.__file__)
sys.stdout.write(bundle_bytes().hex())
"""


def test_it_holds_every_module_at_any_depth(tmp_path: Path) -> None:
    """Modules of packages inside are there under their own paths; nothing else is."""
    with zipfile.ZipFile(write_bundle(str(tmp_path))) as archive:
        names = set(archive.namelist())
    modules = {f"nbplat/remote/{path.relative_to(SOURCES).as_posix()}" for path in SOURCES.rglob("*.py")}
    assert modules | {"__main__.py", "nbplat/__init__.py"} == names
    assert "nbplat/remote/sequence/events.py" in names


def test_an_interpreter_without_nbplat_imports_it_and_makes_the_same_bundle(tmp_path: Path) -> None:
    """The zip stands alone on the path, and what is in it makes the same zip again."""
    bundle = write_bundle(str(tmp_path))
    site = sysconfig.get_paths()["purelib"]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LOOK, bundle, site], check=True, capture_output=True, text=True
    )
    path, data = done.stdout.splitlines()
    assert f"{bundle}/nbplat/remote/sequence/events.py" == path
    assert bundle_bytes() == bytes.fromhex(data)
