"""Bytecode of an archive's modules: compiled once a package, and never checked or written again by a worker."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbplat.environment.pack_record import PackSource
from nbplat.environment.packing.collect import Content
from nbplat.environment.packing.files import Layer, PackedFile, layer_key
from nbplat.environment.packing.ports import CompileModules

__all__ = ["Bytecode", "bytecode_of", "compile_layers"]

# Together in one process, whatever the number of cores: what else was compiled there shows in the bytes.
_BATCH_MODULES = 100
_TESTS = re.compile(r"/(tests?|idle_test)/|/site-packages/tests?/")


@dataclass(frozen=True, slots=True)
class Bytecode:
    """The bytecode of one package, before it is compiled.

    Attributes:
        key: Of its layer; known before the bytes are.
        modules: (path, sha256 of the source) of what is compiled, in order of path.
    """

    package: str
    version: str
    key: str
    modules: tuple[tuple[str, str], ...]


def bytecode_of(contents: Iterable[Content], source: PackSource) -> list[Bytecode]:
    """What is compiled for an archive: every module but those of tests, and but those that hold the prefix.

    The bytes depend on the Python that compiles them: its package is part of the keys.
    """
    python = next((one.sha256 for one in source.lock.conda if one.name == "python"), "")
    library = f"lib/python{source.python}/"
    found = []
    for content in contents:
        modules = tuple((file.path, file.sha256) for file in content.files if _compiled(file, library))
        if modules:
            files = tuple(PackedFile(_bytecode(path, source.python), sha256=sha256) for path, sha256 in modules)
            key = layer_key(f"compiled {python} {[sha256 for _, sha256 in modules]}", files)
            found.append(Bytecode(content.name, content.version, key, modules))
    return found


def compile_layers(
    wanted: Sequence[Bytecode], source: PackSource, compile_modules: CompileModules, scratch: Path, workers: int
) -> list[Layer] | None:
    """Compile, and make the layers; None where no interpreter here can.

    A module that does not compile has no bytecode: Python says why when somebody imports it.
    """
    batches = [
        one.modules[start : start + _BATCH_MODULES]
        for one in wanted
        for start in range(0, len(one.modules), _BATCH_MODULES)
    ]
    interpreter = source.prefix / "bin" / "python"
    tag = f"cpython-{source.python.replace('.', '')}"
    made = compile_modules(interpreter, source.prefix, batches, tag, scratch=scratch, workers=workers)
    if made is None:
        return None
    by_path = {
        path: data
        for batch, found in zip(batches, made, strict=True)
        for (path, _), data in zip(batch, found, strict=True)
    }
    return [_layer(one, by_path, source.python) for one in wanted]


def _layer(wanted: Bytecode, by_path: dict[str, bytes], python: str) -> Layer:
    files = [PackedFile(_bytecode(path, python), content=by_path[path]) for path, _ in wanted.modules if by_path[path]]
    size = sum(len(file.content) for file in files)
    ordered = tuple(sorted(files, key=lambda file: file.path))
    return Layer(f"{wanted.package} {wanted.version}, compiled", "compiled", wanted.package, ordered, wanted.key, size)


def _compiled(file: PackedFile, library: str) -> bool:
    wanted = file.path.endswith(".py") and file.path.startswith(library) and not _TESTS.search(file.path)
    return wanted and bool(file.sha256) and not file.placeholder and not file.target


def _bytecode(path: str, python: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-{python.replace('.', '')}.pyc"
