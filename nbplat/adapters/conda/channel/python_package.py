"""The package ``python``: an interpreter with its standard library, made to run from any folder."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from shutil import which

from nbplat.environment.channel.elf import is_elf, read_elf, with_library_path
from nbplat.environment.channel.interpreter import Interpreter
from nbplat.environment.channel.package import PLACEHOLDER, Package, PackageFile
from nbplat.errors import SetupError

__all__ = ["python_files", "python_package"]

# What no program needs at run time, and 200 of the 230 MB of a standard library.
_LEFT_OUT = {
    "__pycache__",
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idle_test",
    "idlelib",
    "turtledemo",
    "tkinter",
    "ensurepip",
    "lib2to3",
}
_LEFT_OUT_FILE = re.compile(
    r"(_test\w*|_ctypes_test|xxlimited\w*|_tkinter|xxsubtype)\.[^/]*\.so$|\.a$|\.pyc$|EXTERNALLY-MANAGED$"
)
_SYSTEM_PREFIXES = ("/usr",)


def python_package(interpreter: Interpreter) -> Package:
    """What the package says of itself."""
    licence = next((one for one in _licence_files(interpreter) if one.is_file()), None)
    return Package(
        name="python",
        version=interpreter.version,
        subdir=interpreter.subdir,
        tail="cpython",
        constrains=(f"python_abi {interpreter.minor}.* *_cp{interpreter.minor.replace('.', '')}",),
        license="PSF-2.0",
        about=(("home", "https://www.python.org/"), ("summary", f"CPython {interpreter.version}")),
        licenses=(("LICENSE", licence.read_bytes()),) if licence else (),
    )


def python_files(interpreter: Interpreter) -> Iterator[PackageFile]:
    """Every file of the package.

    Raises:
        SetupError: ``env.channel.python``: its library path cannot be written over.
    """
    if interpreter.system != "linux":
        raise _not_movable("only Linux interpreters are made to run from any folder", interpreter)
    yield PackageFile(f"{interpreter.site}/README.txt", lambda: b"Packages of this environment.\n")
    for alias in ("python", "python3"):
        yield PackageFile(f"bin/{alias}", bytes, link=f"python{interpreter.minor}")
    sources = {path: source for source, path in _sources(interpreter)}
    sources |= _own_shared_libraries(interpreter, sources)
    for path, source in sources.items():
        yield _file(interpreter, source, path)


def _sources(interpreter: Interpreter) -> Iterator[tuple[Path, str]]:
    """Files of the interpreter, with where they belong."""
    name = f"python{interpreter.minor}"
    program = interpreter.base / "bin" / name
    if not program.is_file():
        raise _not_movable(f"there is no {program}", interpreter)
    yield program.resolve(), f"bin/{name}"
    for folder, into in ((interpreter.stdlib, f"lib/{name}"), (interpreter.include, f"include/{name}")):
        for path in _walk(folder):
            yield path, f"{into}/{path.relative_to(folder).as_posix()}"


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder, in order, without what is left out."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT and not name.startswith("config-"))
        for name in sorted(names):
            if not _LEFT_OUT_FILE.search(name):
                yield Path(root, name)
    config = sorted(folder.glob("config-*/Makefile"))
    yield from config


def _own_shared_libraries(interpreter: Interpreter, sources: Mapping[str, Path]) -> dict[str, Path]:
    """Shared libraries that lie beside the interpreter (its own, and what a distribution brings) and are asked for."""
    # A distribution that was moved after its build still names the folder of the build as its libdir.
    folders = (interpreter.libdir, interpreter.base / "lib")
    found: dict[str, Path] = {}
    todo = [path for path in sources.values() if path.name.endswith(".so") or path.parent.name == "bin"]
    while todo:
        elf = read_elf(todo.pop().read_bytes())
        for name in elf.needed if elf else ():
            here = next((folder / name for folder in folders if (folder / name).is_file()), None)
            if here and f"lib/{name}" not in found and (name == interpreter.library or not _of_system(here)):
                found[f"lib/{name}"] = here.resolve()
                todo.append(here)
    if interpreter.library and f"lib/{interpreter.library}" not in found:
        raise _not_movable(f"its library {interpreter.library} is not in {interpreter.libdir}", interpreter)
    return found


def _of_system(path: Path) -> bool:
    return str(path).startswith(("/lib", "/usr/lib"))


def _file(interpreter: Interpreter, source: Path, path: str) -> PackageFile:
    if source.is_symlink() and "/" not in (target := str(source.readlink())):
        return PackageFile(path, bytes, link=target)
    mode = 0o755 if source.stat().st_mode & 0o111 else 0o644
    return PackageFile(path, partial(_content, interpreter, source, path), mode)


def _content(interpreter: Interpreter, source: Path, path: str) -> bytes:
    try:
        content = source.read_bytes()
    except OSError as exc:
        raise _not_movable(f"{source} cannot be read: {exc.strerror}", interpreter) from None
    base = str(interpreter.base).encode()
    if is_elf(content):
        return _without_base(_own_libraries(interpreter, _stripped(content), path), base)
    if base not in content or b"\0" in content:
        return content
    if str(interpreter.base) in _SYSTEM_PREFIXES:
        # /usr stands for much more than Python: only what names Python's own folders moves along.
        own = rb"(?=/(?:bin|lib|include|share)/(?:lib)?python|['\"\n])"
        return re.sub(re.escape(base) + own, PLACEHOLDER.encode(), content)
    return content.replace(base, PLACEHOLDER.encode())


def _stripped(content: bytes) -> bytes:
    """Without symbols that only a debugger reads; as it is where there is no ``strip``."""
    program = which("strip")
    if program is None:
        return content
    with tempfile.NamedTemporaryFile(prefix="nbplat-strip-") as file:
        file.write(content)
        file.flush()
        ran = subprocess.run([program, "--strip-unneeded", file.name], capture_output=True, timeout=120, check=False)
        return Path(file.name).read_bytes() if ran.returncode == 0 else content


def _own_libraries(interpreter: Interpreter, content: bytes, path: str) -> bytes:
    """Let it find libraries beside itself instead of in the folder that the interpreter was built for."""
    elf = read_elf(content)
    if elf is None or not elf.library_path:
        return content
    up = "/".join([".."] * path.count("/"))
    entries = elf.library_path.split(":")
    kept = [entry for entry in entries if entry.startswith("$ORIGIN")]
    own = f"$ORIGIN/{up}/lib"
    if f"lib/{Path(path).name}" == path:
        own = "$ORIGIN"
    elif path.startswith("lib/"):
        own = "$ORIGIN/" + "/".join([".."] * (path.count("/") - 1))
    if not kept:
        kept = [own]
    changed = with_library_path(content, ":".join(kept))
    if changed is None and interpreter.library not in elf.needed:
        changed = with_library_path(content, "")
    if changed is None:
        raise _not_movable(
            f"the library path of {path} ({elf.library_path}) is too short to be written over", interpreter
        )
    return changed


def _without_base(content: bytes, base: bytes) -> bytes:
    """Put a folder that exists nowhere where the binary names the one that it was built for.

    CPython falls back to that folder when it does not find its own library: a broken environment would quietly run
    with the interpreter of whoever made the channel. The last part of the path stays: linkers let a string begin
    inside another one that ends alike, and the version ``3.11.7`` was found to be the end of ``…/versions/3.11.7``.
    """
    folder, _, last = base.rpartition(b"/")
    if base.decode() in _SYSTEM_PREFIXES or not folder:
        return content
    stand_in = (b"/nbplat-moved" + b"_" * len(folder))[: len(folder)]
    return content.replace(base, stand_in + b"/" + last)


def _licence_files(interpreter: Interpreter) -> tuple[Path, ...]:
    return (
        interpreter.stdlib / "LICENSE.txt",
        interpreter.base / "LICENSE.txt",
        Path(f"/usr/share/doc/python{interpreter.minor}/copyright"),
    )


def _not_movable(message: str, interpreter: Interpreter) -> SetupError:
    return SetupError(
        "env.channel.python",
        f"Python {interpreter.version} cannot be packaged: {message}",
        fix="give another interpreter (uv python install 3.11 installs one that moves): --python /path/to/bin/python",
        where=str(interpreter.base),
    )
