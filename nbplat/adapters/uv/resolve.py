"""Pin the ``pip:`` part with hashes, around what conda has."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbplat.adapters.uv.failures import failure, is_unsolvable, unsolvable
from nbplat.adapters.uv.platforms import Target, target_of
from nbplat.adapters.uv.pylock import packages_of, preferences
from nbplat.adapters.uv.run import Ended, find_links, run_uv
from nbplat.adapters.uv.stubs import write_stubs
from nbplat.environment.lock_record import PipPackage
from nbplat.environment.ports import LocalDistribution, Phase, Say
from nbplat.environment.requirement import requirement_name
from nbplat.errors import NbplatError, RequestError
from nbplat.remote.scratch_folder import ScratchFolder

__all__ = ["Wanted", "resolve"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be resolved.

    Attributes:
        requirements: PEP 508.
        conda: Normalised name -> version of what conda installs.
        local: Packages of the user's own; their requirements are resolved with the others.
        python: Full version.
        platform: Conda's name.
        virtual: What its machines offer.
    """

    requirements: tuple[str, ...]
    conda: Mapping[str, str]
    local: tuple[LocalDistribution, ...]
    python: str
    platform: str
    virtual: Mapping[str, str]


def resolve(wanted: Wanted, prefer: Sequence[PipPackage], *, offline: bool, say: Say) -> tuple[PipPackage, ...]:
    """See `ports.Pip.resolve`."""
    target = target_of(wanted.platform, wanted.virtual)
    say(Phase("pip", 0, 1, "step", f"{wanted.platform}: {len(wanted.requirements)} requirements"))
    with ScratchFolder(None, "nbplat-uv-") as kept:
        folder = kept.resolve()
        ended, text = _compile(wanted, target, prefer, folder / "with", offline=offline, conda=wanted.conda)
        if ended.code:
            raise _why(wanted, target, ended, folder / "without", offline=offline)
        there = {*wanted.conda, *(one.name for one in wanted.local)}
        found = packages_of(text, wanted.python, target, without=there)
    say(Phase("pip", 1, 1, "step", f"{wanted.platform}: {len(found)} packages"))
    return found


def _compile(
    wanted: Wanted,
    target: Target,
    prefer: Sequence[PipPackage],
    folder: Path,
    *,
    offline: bool,
    conda: Mapping[str, str],
) -> tuple[Ended, str]:
    """Run uv; the text of the ``pylock.toml`` that it wrote, empty when it failed."""
    folder.mkdir()
    own = [f"{one.name}[{','.join(one.extras)}]=={one.version}" for one in wanted.local]
    (folder / "requirements.in").write_text("\n".join([*wanted.requirements, *own]) + "\n", encoding="utf-8")
    output = folder / "pylock.toml"
    if prefer:
        output.write_text(preferences(prefer, wanted.python), encoding="utf-8")
    arguments = ["pip", "compile", "requirements.in", "--format", "pylock.toml", "--output-file", str(output)]
    arguments += ["--python", sys.executable, "--python-version", wanted.python, "--python-platform", target.uv]
    arguments += ["--no-header", "--quiet"]
    there = [LocalDistribution(name, version) for name, version in conda.items()] + list(wanted.local)
    if there:
        arguments += _around(there, folder)
    ended = run_uv(arguments, folder=folder, offline=offline, variables=target.variables)
    return ended, output.read_text(encoding="utf-8") if ended.code == 0 else ""


def _around(there: Sequence[LocalDistribution], folder: Path) -> list[str]:
    """Options that make uv take what is there as it is."""
    address, files, pinned = write_stubs(there, folder)
    pins = folder / "there.txt"
    pins.write_text("\n".join(pinned) + "\n", encoding="utf-8")
    # An option on the command line takes the place of the variable, so its folders are named again. The index of
    # stubs is passed over where the user has switched indexes off; the folder of its files is not.
    found = ["--constraints", str(pins), "--index", address]
    for link in (str(files), *find_links()):
        found += ["--find-links", link]
    return found


def _why(wanted: Wanted, target: Target, ended: Ended, folder: Path, *, offline: bool) -> NbplatError:
    """Tell a package that would go over conda's from requirements that cannot be met at all."""
    what = f"resolve the pip: part for {wanted.platform}"
    if not is_unsolvable(ended):
        return failure(ended, what=what)
    alone, text = _compile(wanted, target, (), folder, offline=offline, conda={})
    if alone.code:
        # It fails without conda's packages too, and says so without our stubs in the way.
        return failure(alone if is_unsolvable(alone) else ended, what=what)
    found = {one.name: one.version for one in packages_of(text, wanted.python, target, without=())}
    for name in sorted(wanted.conda.keys() & found.keys()):
        if found[name] != wanted.conda[name]:
            return _clobber(name, found[name], wanted, ended)
    return unsolvable(ended, what=what)


def _clobber(name: str, version: str, wanted: Wanted, ended: Ended) -> RequestError:
    had = wanted.conda[name]
    who = next((each for each in wanted.requirements if requirement_name(each) == name), "")
    whole = [*wanted.requirements, *(one.name for one in wanted.local)]
    asked = f"{who!r} asks for" if who else f"the pip: part ({', '.join(whole)}) needs"
    return RequestError(
        "env.clobber",
        f"{asked} {name} {version}, and conda installs {name} {had}: pip would overwrite conda's files",
        fix=f"ask conda for it: put {name}=={version} into dependencies, or take a requirement that {name} {had} meets",
    )
