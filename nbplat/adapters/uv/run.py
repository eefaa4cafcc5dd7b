"""Run uv: its own settings from the user's variables and files, nothing of the project that happens to be around."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nbplat.environment.redact import Redactor
from nbplat.errors import SetupError

__all__ = ["Ended", "check_uv", "find_links", "run_uv"]

# Each of these would silently change what is resolved, or where it is installed.
_FOREIGN = frozenset(
    "VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV PYTHONHOME PYTHONPATH UV_BUILD_CONSTRAINT UV_CONSTRAINT UV_EXCLUDE "
    "UV_OVERRIDE UV_OFFLINE UV_PROJECT UV_PROJECT_ENVIRONMENT UV_PYTHON UV_REQUIRE_HASHES UV_NO_VERIFY_HASHES "
    "UV_RESOLUTION UV_SYSTEM_PYTHON UV_TARGET UV_PREFIX UV_WORKING_DIRECTORY UV_NO_DEPS UV_COMPILE_BYTECODE "
    "UV_BREAK_SYSTEM_PACKAGES UV_CUSTOM_COMPILE_COMMAND UV_LINK_MODE".split()
)
_TETHER = Path(__file__).with_name("tether.py")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call of uv ended.

    Attributes:
        out: Standard output.
        said: Standard error, without secrets.
    """

    code: int
    out: str
    said: str


def run_uv(
    arguments: Sequence[str],
    *,
    folder: Path,
    offline: bool = False,
    variables: Mapping[str, str] | None = None,
    heard: Callable[[str], None] = lambda line: None,
) -> Ended:
    """Run one command of uv to its end.

    Args:
        folder: Working folder; uv looks for a project's settings from there on upward, so it is a temporary one.
        variables: More variables of its environment.
        heard: Gets each line of standard error while it runs; what it raises ends uv and is raised on.

    Raises:
        SetupError: ``env.uv``: uv is not there or cannot be started.
    """
    environ = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    if links := find_links():
        environ["UV_FIND_LINKS"] = ",".join(links)
    environ |= {"UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1", **(variables or {})}
    command = [sys.executable, "-I", "-S", str(_TETHER), _uv(), *arguments, *(["--offline"] if offline else [])]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environ,
        )
    except OSError as exc:
        raise SetupError(
            "env.uv", f"uv cannot be started: {exc.strerror}", fix="see that this process may start others"
        ) from None
    redact = Redactor(_secrets(environ))
    pieces: list[bytes] = []
    reader = threading.Thread(target=_read, args=(process.stdout, pieces), daemon=True)
    reader.start()
    said: list[str] = []
    try:
        assert process.stderr is not None  # noqa: S101 - a pipe was asked for
        for raw in process.stderr:
            line = redact(raw.decode(errors="replace").rstrip("\n"))
            said.append(line)
            heard(line)
        code = process.wait()
        reader.join()
        return Ended(code, b"".join(pieces).decode(errors="replace"), "\n".join(said))
    finally:
        if process.stdin is not None:
            process.stdin.close()  # the tether ends uv first and then itself
        process.wait()
        reader.join()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def find_links() -> list[str]:
    """Folders and addresses of ``UV_FIND_LINKS``; relative folders start at our working folder, not at uv's."""
    links = [link.strip() for link in os.environ.get("UV_FIND_LINKS", "").split(",")]
    return [link if "://" in link else str(Path(link).expanduser().absolute()) for link in links if link]


def check_uv() -> str:
    """uv's version, when it is here.

    Raises:
        SetupError: ``env.uv``.
    """
    from importlib.metadata import version

    _uv()
    return f"ok, {version('uv')}"


@cache
def _uv() -> str:
    from uv import find_uv_bin

    try:
        return str(find_uv_bin())
    except FileNotFoundError:
        raise SetupError(
            "env.uv", "the package uv has no program here", fix="install it again: pip install uv"
        ) from None


def _read(source: object, pieces: list[bytes]) -> None:
    pieces.append(source.read())  # type: ignore[attr-defined]


def _secrets(environ: Mapping[str, str]) -> list[str]:
    """Passwords of indexes that uv takes from variables; those in addresses the redactor finds by itself."""
    return [value for name, value in environ.items() if name.startswith("UV_INDEX_") and name.endswith("_PASSWORD")]
