"""The port `Sources` on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from nbplat.adapters.conda.channel.installed import find_infos, read_installed
from nbplat.adapters.conda.channel.interpreter import ask_interpreter
from nbplat.adapters.conda.channel.python_package import python_files, python_package
from nbplat.adapters.conda.channel.wheel import read_wheel, wheels_in
from nbplat.environment.channel.distribution import Distribution
from nbplat.environment.channel.interpreter import Interpreter
from nbplat.environment.channel.package import Package, PackageFile

__all__ = ["MachineSources"]


class MachineSources:
    """Interpreters, installed distributions and wheels as they lie here."""

    def __init__(self) -> None:
        self._infos: dict[tuple[Path, ...], dict[str, Path]] = {}

    def interpreter(self, path: str) -> Interpreter:
        return ask_interpreter(path)

    def python(self, interpreter: Interpreter) -> tuple[Package, Iterable[PackageFile], str]:
        files = list(python_files(interpreter))
        return python_package(interpreter), files, _state_of(interpreter)

    def names(self, interpreter: Interpreter) -> Sequence[str]:
        return sorted(self._of(interpreter))

    def installed(self, name: str, interpreter: Interpreter) -> Distribution | None:
        info = self._of(interpreter).get(name)
        return None if info is None else read_installed(info, interpreter)

    def wheels(self, folders: Sequence[str], interpreter: Interpreter) -> Sequence[Distribution]:
        return [read_wheel(path, interpreter) for path in wheels_in(tuple(folders))]

    def _of(self, interpreter: Interpreter) -> dict[str, Path]:
        if interpreter.sites not in self._infos:
            self._infos[interpreter.sites] = find_infos(interpreter.sites)
        return self._infos[interpreter.sites]


def _state_of(interpreter: Interpreter) -> str:
    """Changes when the interpreter's files do, by their names, sizes and times: reading them all takes a second."""
    digest = hashlib.sha256(f"{interpreter.build}\n{interpreter.base}\n".encode())
    for folder in (interpreter.stdlib, interpreter.base / "bin", interpreter.libdir):
        for path in sorted(folder.rglob("*") if folder == interpreter.stdlib else folder.glob("*ython*")):
            if "__pycache__" not in path.parts and "site-packages" not in path.parts and path.is_file():
                state = path.stat()
                digest.update(f"{path} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()
