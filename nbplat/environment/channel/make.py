"""Make a channel, or add to one: only what is new is written, what lies there stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nbplat.environment.channel.choose import choose
from nbplat.environment.channel.distribution import conda_package
from nbplat.environment.channel.interpreter import Interpreter
from nbplat.environment.channel.package import RECIPE, Package, PackageFile
from nbplat.environment.channel.ports import ChannelFolder, Sources
from nbplat.environment.channel.request import ChannelPackage, ChannelReport, ChannelRequest
from nbplat.environment.ports import Phase, Say
from nbplat.errors import DataError, NotFound, did_you_mean
from nbplat.terms import content_hash

__all__ = ["make_channel"]

_Planned = tuple[Package, Iterable[PackageFile], str, str]


def make_channel(request: ChannelRequest, sources: Sources, folder: ChannelFolder, say: Say) -> ChannelReport:
    """Write what a request asks for into a channel and index it.

    Everything that was asked for is found and judged before the first package is written. A kill at any moment leaves
    whole packages and a whole index; the same request goes on from there.

    Raises:
        RequestError: what cannot be packaged, named, with the mend.
        SetupError: ``env.channel.python``; no space.
    """
    interpreter = sources.interpreter(request.interpreter)
    notes: list[str] = []
    planned = list(_planned(request, interpreter, sources, notes))
    with folder.held(lambda who: say(Phase("pack", what=f"waiting for {who}, which changes this channel"))):
        removed = [one for text in request.remove for one in _to_remove(text, folder)]
        for one in removed:
            folder.remove(one)
        there = folder.packages()
        added, kept = [], []
        for number, (package, files, fingerprint, origin) in enumerate(planned):
            say(Phase("pack", number, len(planned), "packages", f"{package.name} {package.version}"))
            if fingerprint in there:
                kept.append(there[fingerprint])
            else:
                added.append(folder.write(package, files, fingerprint, origin))
        say(Phase("pack", len(planned), len(planned), "packages"))
        _refuse_damaged(folder)
        folder.index((interpreter.subdir, "noarch"), say)
        packages = sorted(folder.packages().values(), key=lambda one: (one.name, one.version, one.build))
    return ChannelReport(
        folder=str(folder.path),
        added=tuple(added),
        kept=tuple(kept),
        removed=tuple(f"{one.subdir}/{one.file_name}" for one in removed),
        notes=(*_unmet(packages), *notes, *_libraries(added)),
        packages=tuple(packages),
    )


def _planned(
    request: ChannelRequest, interpreter: Interpreter, sources: Sources, notes: list[str]
) -> Iterator[_Planned]:
    if request.python:
        package, files, content = sources.python(interpreter)
        yield package, files, _fingerprint(package, content), str(interpreter.base)
    chosen = choose(request, interpreter, sources)
    notes += chosen.notes
    for _, one in sorted(chosen.distributions.items()):
        package, files, needs = conda_package(one, interpreter, chosen.requires_of, request.without)
        notes += [f"{one.name} asks for {extra}, whose needs are not known here" for extra in needs.unknown_extras]
        yield package, files, _fingerprint(package, one.fingerprint), one.source


def _fingerprint(package: Package, content: str) -> str:
    """What a package is made from: equal ones are the same package."""
    return content_hash(
        {
            "recipe": RECIPE,
            "index": package.index("", 0, 0),
            "label": [package.label, package.tail],
            "entry_points": list(package.entry_points),
            "content": content,
        }
    )


def _to_remove(text: str, folder: ChannelFolder) -> Iterator[ChannelPackage]:
    name, _, version = text.replace("==", "=").partition("=")
    there = list(folder.packages().values())
    found = [one for one in there if one.name == name and version in ("", one.version)]
    if not found:
        known = {one.name for one in there} if name not in {one.name for one in there} else set()
        versions = ", ".join(sorted({one.version for one in there if one.name == name}))
        raise NotFound(
            "env.channel.remove",
            f"the channel has no package {text}",
            fix=f"it has {name} {versions}" if versions else f"{did_you_mean(name, known) or 'it is empty'}",
            where=str(folder.path),
        )
    yield from found


def _refuse_damaged(folder: ChannelFolder) -> None:
    damaged = [one for one in folder.packages().values() if one.damaged]
    if damaged:
        names = ", ".join(one.file_name for one in damaged)
        raise DataError(
            "env.channel.package",
            f"the channel holds what is no longer the package that was written: {names}",
            fix="ask for it again in this command, or take it out: --remove "
            + " --remove ".join(f"{one.name}={one.version}" for one in damaged),
            where=str(folder.path),
        )


def _unmet(packages: list[ChannelPackage]) -> Iterator[str]:
    """Needs by name that nothing in the channel meets."""
    here = {one.name for one in packages}
    lacking: dict[str, set[str]] = {}
    for one in packages:
        for spec in one.depends:
            name = spec.split(" ", 1)[0]
            if not name.startswith("__") and name != "python" and name not in here:
                lacking.setdefault(name, set()).add(one.name)
    for name, askers in sorted(lacking.items()):
        who = ", ".join(sorted(askers))
        yield f"{name}, which {who} needs, is not in this channel: add it, use a second channel, or --without {name}"


def _libraries(added: list[ChannelPackage]) -> Iterator[str]:
    for one in added:
        if one.libraries:
            yield f"{one.text} uses these libraries of the machine: {', '.join(one.libraries)}"
