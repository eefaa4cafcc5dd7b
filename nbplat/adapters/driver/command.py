"""How a driver's interpreter is made to run our code: the shipped bundle, nothing of this installation."""

from __future__ import annotations

from pathlib import Path

from nbplat.remote.bundle import write_bundle

__all__ = ["DRIVER_LOG", "FOLDER", "archive_command", "driver_command", "in_folder"]

FOLDER = "{session folder}"
"""In a value of a session's conf: its own folder, which has a name only when its driver starts."""

DRIVER_LOG = "driver.log"

_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from nbplat.remote.driver.{} import main; sys.exit(main())"


def driver_command(interpreter: str, bundles: Path, folder: Path) -> list[str]:
    """Runs the driver whose ``spec.json`` is in a folder."""
    return [interpreter, "-I", "-c", _START.format("main"), write_bundle(str(bundles)), str(folder)]


def archive_command(interpreter: str, bundles: Path, folder: Path, *, aside: bool = True) -> list[str]:
    """Writes a class-data archive as ``spec.json`` says.

    Args:
        aside: Whether it gives way to everybody else.
    """
    start = _START.format("write_archive")
    command = [interpreter, "-I", "-c", start, write_bundle(str(bundles)), str(folder)]
    return ["nice", "-n", "10", *command] if aside else command


def in_folder(conf: dict[str, str], folder: Path) -> dict[str, str]:
    """Settings with the session's folder named."""
    return {key: value.replace(FOLDER, str(folder)) for key, value in conf.items()}
