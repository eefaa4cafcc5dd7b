"""The zip of this package that is shipped to interpreters without nbplat, named by its content."""

from __future__ import annotations

import hashlib
import io
import os
import pkgutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["bundle_bytes", "write_bundle"]

_MAIN = b"import sys\nfrom nbplat.remote.child_main import main\nsys.exit(main())\n"
_PACKAGE = __name__.rpartition(".")[0]
# The package inside the zip has an empty parent: what nbplat itself imports is not there.
_PARENT = b""


def bundle_bytes() -> bytes:
    """A zip of every module here, at any depth, runnable by ``python -I``; equal bytes for equal sources."""
    files = {"__main__.py": _MAIN, "nbplat/__init__.py": _PARENT}
    files.update((f"nbplat/remote/{name}", _source(name)) for name in _modules("", sys.modules[_PACKAGE].__path__))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            # A fixed moment and mode: the name of the bundle is the hash of its bytes.
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    return out.getvalue()


def write_bundle(folder: str) -> str:
    """Put the bundle into a folder, once; returns its path.

    Args:
        folder: Made when missing. Empty takes the temporary folder.
    """
    data = bundle_bytes()
    home = Path(folder) if folder else Path(tempfile.gettempdir()) / f"nbplat-remote-{os.getuid()}"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / f"remote-{hashlib.sha256(data).hexdigest()[:16]}.zip"
    if not _holds(path, data):
        handle, fresh = tempfile.mkstemp(dir=home, suffix=".zip")
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        Path(fresh).replace(path)
    return str(path)


def _holds(path: Path, data: bytes) -> bool:
    """Whether the file is whole and ours: a half-written or foreign one is written anew."""
    try:
        return path.stat().st_uid == os.getuid() and path.read_bytes() == data
    except OSError:
        return False


def _modules(folder: str, paths: Iterable[str]) -> Iterator[str]:
    """Source files of a package and of those inside it, by their path in this one."""
    yield f"{folder}__init__.py"
    for module in pkgutil.iter_modules(paths):
        inside = f"{folder}{module.name}"
        if module.ispkg:
            yield from _modules(f"{inside}/", [f"{path}/{module.name}" for path in paths])
        else:
            yield f"{inside}.py"


def _source(name: str) -> bytes:
    data = pkgutil.get_data(_PACKAGE, name)
    assert data is not None  # noqa: S101 - the importer has just listed it
    return data
