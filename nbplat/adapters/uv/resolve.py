"""Pin the ``pip:`` part with hashes, around what conda has."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbplat.adapters.uv.failures import failure, is_unsolvable, unsolvable
from nbplat.adapters.uv.platforms import Target, target_of
from nbplat.adapters.uv.pylock import packages_of, preferences
from nbplat.adapters.uv.run import Ended, find_links, run_uv
from nbplat.adapters.uv.stubs import write_stubs
from nbplat.environment.lock_record import PipPackage
from nbplat.environment.ports import Phase, Say
from nbplat.errors import NbplatError, RequestError

__all__ = ["Wanted", "resolve"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be resolved.

    Attributes:
        requirements: PEP 508.
        provided: Normalised name -> version of what is there already: conda's, and local packages.
        conda: Names among `provided` that conda has.
        python: Full version.
        platform: Conda's name.
        virtual: What its machines offer.
    """

    requirements: tuple[str, ...]
    provided: Mapping[str, str]
    conda: frozenset[str]
    python: str
    platform: str
    virtual: Mapping[str, str]


def resolve(wanted: Wanted, prefer: Sequence[PipPackage], *, offline: bool, say: Say) -> tuple[PipPackage, ...]:
    """See `ports.Pip.resolve`."""
    target = target_of(wanted.platform, wanted.virtual)
    say(Phase("pip", 0, 1, "step", f"{wanted.platform}: {len(wanted.requirements)} requirements"))
    with tempfile.TemporaryDirectory(prefix="nbplat-uv-") as kept:
        folder = Path(kept).resolve()
        ended, text = _compile(wanted, target, prefer, folder / "with", offline=offline, around=wanted.provided)
        if ended.code:
            raise _why(wanted, target, ended, folder / "without", offline=offline)
        found = packages_of(text, wanted.python, target, without=wanted.provided)
    say(Phase("pip", 1, 1, "step", f"{wanted.platform}: {len(found)} packages"))
    return found


def _compile(
    wanted: Wanted,
    target: Target,
    prefer: Sequence[PipPackage],
    folder: Path,
    *,
    offline: bool,
    around: Mapping[str, str],
) -> tuple[Ended, str]:
    """Run uv; the text of the ``pylock.toml`` that it wrote, empty when it failed."""
    folder.mkdir()
    (folder / "requirements.in").write_text("\n".join(wanted.requirements) + "\n", encoding="utf-8")
    output = folder / "pylock.toml"
    if prefer:
        output.write_text(preferences(prefer, wanted.python), encoding="utf-8")
    arguments = ["pip", "compile", "requirements.in", "--format", "pylock.toml", "--output-file", str(output)]
    arguments += ["--python", sys.executable, "--python-version", wanted.python, "--python-platform", target.uv]
    arguments += ["--no-header", "--quiet"]
    if around:
        arguments += _around(around, folder)
    ended = run_uv(arguments, folder=folder, offline=offline, variables=target.variables)
    return ended, output.read_text(encoding="utf-8") if ended.code == 0 else ""


def _around(provided: Mapping[str, str], folder: Path) -> list[str]:
    """Options that make uv take what is there as it is."""
    address, files, kept = write_stubs(provided, folder)
    pins = folder / "provided.txt"
    pins.write_text("".join(f"{name}=={version}\n" for name, version in kept.items()), encoding="utf-8")
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
    alone, text = _compile(wanted, target, (), folder, offline=offline, around={})
    if alone.code:
        # It fails without conda's packages too, and says so without our stubs in the way.
        return failure(alone if is_unsolvable(alone) else ended, what=what)
    found = {one.name: one.version for one in packages_of(text, wanted.python, target, without={})}
    for name in sorted(wanted.conda & found.keys()):
        if found[name] != wanted.provided[name]:
            return _clobber(name, found[name], wanted, ended)
    return unsolvable(ended, what=what)


def _clobber(name: str, version: str, wanted: Wanted, ended: Ended) -> RequestError:
    had = wanted.provided[name]
    who = next((each for each in wanted.requirements if each.split(";")[0].startswith(name)), "")
    asked = f"{who!r} asks for" if who else f"the pip: part ({', '.join(wanted.requirements)}) needs"
    return RequestError(
        "env.clobber",
        f"{asked} {name} {version}, and conda installs {name} {had}: pip would overwrite conda's files",
        fix=f"ask conda for it: put {name}=={version} into dependencies, or take a requirement that {name} {had} meets",
    )
