"""A Python distribution, installed or in a wheel, and the conda package that it becomes."""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from functools import partial

from nbplat.environment.channel.depends import Depends, conda_name, depends_of
from nbplat.environment.channel.interpreter import Interpreter
from nbplat.environment.channel.package import PLACEHOLDER, Package, PackageFile
from nbplat.errors import DataError

__all__ = ["Distribution", "DistributionFile", "conda_package"]

# What an installer wrote about one place on one machine.
_OF_ONE_INSTALL = {
    "RECORD",
    "RECORD.jws",
    "RECORD.p7s",
    "INSTALLER",
    "REQUESTED",
    "direct_url.json",
    "uv_cache.json",
    "uv_build.json",
}


@dataclass(frozen=True, slots=True)
class DistributionFile:
    """One file of a distribution.

    Attributes:
        scheme: ``site`` (beside the modules), ``scripts`` (programs), ``data`` (below the environment) or ``headers``.
        path: Relative to that place.
        read: Gives its bytes.
        executable: Whether its mode says so.
        digest: As its ``RECORD`` has it, ``sha256=…``, with `size`; empty when it has none.
    """

    scheme: str
    path: str
    read: Callable[[], bytes]
    executable: bool = False
    digest: str = ""
    size: str = ""


@dataclass(frozen=True, slots=True)
class Distribution:
    """One distribution.

    Attributes:
        name: Normalised.
        metadata: ``METADATA``.
        pure: It runs on every Python and platform that its metadata allows.
        info: Name of its ``.dist-info`` folder.
        entry_points: Text of ``entry_points.txt``; empty when it has none.
        files: All of it, without compiled modules.
        source: Where it was found, for messages.
        fingerprint: Changes when its content does, and is quick to get.
    """

    name: str
    version: str
    metadata: Message
    pure: bool
    info: str
    entry_points: str
    files: tuple[DistributionFile, ...]
    source: str
    fingerprint: str

    @property
    def requires(self) -> tuple[str, ...]:
        return tuple(self.metadata.get_all("Requires-Dist") or ())


def conda_package(
    one: Distribution,
    interpreter: Interpreter,
    requires_of: Callable[[str], Iterable[str] | None],
    without: Sequence[str] = (),
) -> tuple[Package, list[PackageFile], Depends]:
    """The package of a distribution, with its files and what is known of its needs; those of `without` are left out.

    A pure distribution becomes a ``noarch`` package, unless what it needs differs between processors.
    """
    needs = depends_of(one.name, one.requires, interpreter, requires_of)
    noarch = one.pure and not needs.by_machine
    left_out = {conda_name(name) for name in without}
    specs = [spec for spec in needs.specs if spec.split(" ", 1)[0] not in left_out]
    scripts = _console_scripts(one)
    licences = tuple(sorted((_licence_name(one, file), file.read()) for file in one.files if _is_licence(one, file)))
    package = Package(
        name=one.name,
        version=one.version,
        subdir="noarch" if noarch else interpreter.subdir,
        label="py" if noarch else interpreter.label,
        depends=tuple(sorted((*_python_needs(one, interpreter, needs, noarch), *specs))),
        entry_points=tuple(f"{name} = {target}" for name, target in sorted(scripts.items())) if noarch else (),
        license=_license(one.metadata),
        about=_about(one.metadata),
        purls=(f"pkg:pypi/{one.name}@{one.version}",),
        licenses=licences,
    )
    return package, list(_files(one, interpreter, noarch, scripts)), needs


def _python_needs(one: Distribution, interpreter: Interpreter, needs: Depends, noarch: bool) -> Iterator[str]:
    if not noarch or needs.by_python:
        yield interpreter.pin
    else:
        yield f"python {one.metadata.get('Requires-Python', '').replace(' ', '')}".strip()
    if noarch and needs.by_system:
        yield f"__{interpreter.system}"


def _files(
    one: Distribution, interpreter: Interpreter, noarch: bool, scripts: Mapping[str, str]
) -> Iterator[PackageFile]:
    site = "site-packages" if noarch else interpreter.site
    headers = f"include/{one.name}" if noarch else f"include/python{interpreter.minor}/{one.name}"
    places = {"site": site, "scripts": "python-scripts" if noarch else "bin", "data": "", "headers": headers}
    record: list[tuple[str, str, str]] = [(f"{one.info}/RECORD", "", "")]
    for file in one.files:
        if _of_one_install(one, file) or (file.scheme == "scripts" and file.path in scripts):
            continue
        path = f"{places[file.scheme]}/{file.path}".lstrip("/")
        installed = f"bin/{file.path}" if file.scheme == "scripts" else path
        record.append((file.path if file.scheme == "site" else f"../../../{installed}", file.digest, file.size))
        program = file.scheme == "scripts"
        read = partial(_program, file.read) if program else file.read
        yield PackageFile(path, read, 0o755 if program or file.executable else 0o644)
    for name, target in sorted(scripts.items()):
        script = _script(target)
        record.append((f"../../../bin/{name}", "", ""))
        if not noarch:
            yield PackageFile(f"bin/{name}", partial(bytes, script), 0o755)
    record.append((f"{one.info}/INSTALLER", _digest(b"conda\n"), "6"))
    yield PackageFile(f"{site}/{one.info}/INSTALLER", lambda: b"conda\n")
    yield PackageFile(f"{site}/{one.info}/RECORD", partial(_record_text, record))


def _of_one_install(one: Distribution, file: DistributionFile) -> bool:
    folder, _, name = file.path.rpartition("/")
    return file.scheme == "site" and folder == one.info and name in _OF_ONE_INSTALL


def _program(read: Callable[[], bytes]) -> bytes:
    """A script that a wheel brings: ``#!python`` stands for the interpreter of wherever it is installed."""
    content = read()
    found = re.match(rb"#!\s*python[w\d.]*(?=[\s])", content)
    return f"#!{PLACEHOLDER}/bin/python".encode() + content[found.end() :] if found else content


def _console_scripts(one: Distribution) -> dict[str, str]:
    """``module:function`` by the name of the program."""
    parser = configparser.ConfigParser(delimiters=("=",), strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(one.entry_points)
    except configparser.Error as exc:
        raise _bad_entry_points(one, type(exc).__name__) from None
    found = {}
    for section in ("console_scripts", "gui_scripts"):
        for name, target in parser[section].items() if parser.has_section(section) else ():
            found[name] = target.split("[", 1)[0].strip()
            if not re.fullmatch(r"[\w.+-]+", name) or not re.fullmatch(r"[\w.]+\s*:\s*[\w.]+", found[name]):
                raise _bad_entry_points(one, f"{name} = {target}")
    return found


def _bad_entry_points(one: Distribution, what: str) -> DataError:
    return DataError(
        "env.channel.metadata",
        f"{one.name} {one.version} has an entry_points.txt that cannot be read: {what}",
        fix="take another version of it, or build its wheel again with entry points as NAME = MODULE:FUNCTION",
        where=one.source,
    )


def _script(target: str) -> bytes:
    module, _, function = target.partition(":")
    first = function.split(".", 1)[0]
    return (
        f"#!{PLACEHOLDER}/bin/python\nimport sys\n\nfrom {module.strip()} import {first.strip()}\n\n"
        f'if __name__ == "__main__":\n    sys.exit({function.strip()}())\n'
    ).encode()


def _is_licence(one: Distribution, file: DistributionFile) -> bool:
    name = file.path.rsplit("/", 1)[-1].upper()
    ours = file.scheme == "site" and file.path.startswith(f"{one.info}/")
    return ours and ("/licenses/" in file.path or name.startswith(("LICEN", "COPYING", "NOTICE", "AUTHORS")))


def _licence_name(one: Distribution, file: DistributionFile) -> str:
    return file.path.removeprefix(f"{one.info}/").removeprefix("licenses/")


def _license(metadata: Message) -> str:
    if told := metadata.get("License-Expression", ""):
        return str(told)
    classified = [
        one.rsplit("::", 1)[-1].strip() for one in metadata.get_all("Classifier") or () if one.startswith("License ::")
    ]
    told = str(metadata.get("License", "")).strip()
    return " OR ".join(classified) or (told if "\n" not in told and len(told) < 100 else "")


def _about(metadata: Message) -> tuple[tuple[str, str], ...]:
    labels = {"homepage": "home", "source": "dev_url", "repository": "dev_url", "documentation": "doc_url"}
    found: dict[str, str] = {}
    for text in metadata.get_all("Project-URL") or ():
        label, _, url = str(text).partition(",")
        if ours := labels.get(re.sub(r"[\W_]", "", label.lower())):
            found.setdefault(ours, url.strip())
    for ours, theirs in (("summary", "Summary"), ("home", "Home-page")):
        if told := str(metadata.get(theirs, "")).strip():
            found[ours] = told
    return tuple(sorted(found.items()))


def _digest(content: bytes) -> str:
    """A hash as a ``RECORD`` has it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _record_text(lines: Iterable[tuple[str, str, str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(sorted(lines))
    return out.getvalue().encode()
