"""Install exactly what is locked, and wheels of local packages; build those wheels."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from nbplat.adapters.uv.failures import failure
from nbplat.adapters.uv.installed import installed_versions, settle_installed
from nbplat.adapters.uv.run import Ended, find_links, run_uv
from nbplat.environment.lock_record import PipPackage
from nbplat.environment.ports import Phase, Say
from nbplat.errors import DataError, RequestError
from nbplat.remote.scratch_folder import ScratchFolder

__all__ = ["build_wheel", "install", "install_wheels"]

_INSTALL = ("pip", "install", "--no-deps", "--no-progress", "--no-break-system-packages", "--link-mode", "copy")
_TAIL_LINES = 15


def install(packages: Sequence[PipPackage], python: Path, *, offline: bool, say: Say) -> None:
    """See `ports.Pip.install`."""
    if not packages:
        return
    _refuse_overwriting(packages, python)
    lines = [
        f"{one.name}=={one.version} {' '.join(f'--hash={each}' for each in one.hashes)}"
        for one in sorted(packages, key=lambda one: one.name)
    ]
    with ScratchFolder(None, "nbplat-uv-") as kept:
        folder = kept.resolve()
        (folder / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        arguments = [*_INSTALL, "--python", str(python), "--require-hashes", "-r", "requirements.txt"]
        links = {"UV_FIND_LINKS": ",".join(_exact_files(packages, folder / "files"))}
        heard = _listener(len(packages), say)
        ended = run_uv(arguments, folder=folder, offline=offline, variables=links, heard=heard)
    if ended.code:
        raise _not_installed(ended, packages)
    settle_installed([one.name for one in packages], python)
    say(Phase("pip", len(packages), len(packages), "package"))


def _exact_files(packages: Sequence[PipPackage], folder: Path) -> list[str]:
    """Where uv looks for files besides indexes: a folder of the locked ones, and the addresses that were named.

    In a folder uv takes the best file for this machine and only then looks at its hash; from an index, which tells
    hashes beforehand, it takes the one with the hash of the lock.
    """
    folder.mkdir()
    links = find_links()
    for link in links:
        for one in packages:
            path = Path(link) / one.file
            if "://" not in link and one.file and path.is_file():
                (folder / one.file).write_bytes(path.read_bytes())
    return [str(folder), *(link for link in links if "://" in link)]


def install_wheels(wheels: Sequence[Path], python: Path, *, say: Say) -> None:
    """See `ports.Pip.install_wheels`."""
    if not wheels:
        return
    with ScratchFolder(None, "nbplat-uv-") as kept:
        folder = kept.resolve()
        # By name from a folder: a path on the command line would be written into the environment (direct_url.json).
        lines = [_wanted(one, folder) for one in wheels]
        (folder / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        # uv's cache would take another build of the same version for this one.
        arguments = [*_INSTALL, "--python", str(python), "--no-index", "--find-links", str(folder), "--no-cache"]
        arguments += ["--reinstall", "--require-hashes", "-r", "requirements.txt"]
        ended = run_uv(arguments, folder=folder, offline=True)
    if ended.code:
        raise failure(ended, what=f"install {', '.join(one.name for one in wheels)}")
    settle_installed([line.partition("==")[0] for line in lines], python)
    say(Phase("layer", len(wheels), len(wheels), "package"))


def _wanted(wheel: Path, folder: Path) -> str:
    from packaging.utils import parse_wheel_filename

    data = wheel.read_bytes()
    (folder / wheel.name).write_bytes(data)
    name, version, *_ = parse_wheel_filename(wheel.name)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(data).hexdigest()}"


def build_wheel(source: Path, into: Path, *, offline: bool, say: Say) -> Path:
    """See `ports.Pip.wheel`."""
    say(Phase("layer", 0, 1, "package", source.name))
    into.mkdir(parents=True, exist_ok=True)
    with ScratchFolder(None, "nbplat-uv-") as kept:
        folder = kept.resolve()
        arguments = [
            "build",
            "--wheel",
            "--no-create-gitignore",
            "--out-dir",
            str(folder / "out"),
            str(source.resolve()),
        ]
        # Times in the wheel are those of the files otherwise, and two builds of one source would differ.
        ended = run_uv(arguments, folder=folder, offline=offline, variables={"SOURCE_DATE_EPOCH": "315532800"})
        wheels = sorted((folder / "out").glob("*.whl"))
        if ended.code or not wheels:
            raise _not_built(source, ended)
        target = into / wheels[0].name
        beside = into / f".{wheels[0].name}.half"
        beside.write_bytes(wheels[0].read_bytes())
        beside.replace(target)
    say(Phase("layer", 1, 1, "package", target.name))
    return target


def _listener(total: int, say: Say) -> Callable[[str], None]:
    say(Phase("pip", 0, total, "package"))
    done = 0

    def heard(line: str) -> None:
        nonlocal done
        if found := re.match(r"\s*(?:Downloaded|Downloading|Built|Building) (\S+)", line):
            say(Phase("pip", done, total, "package", found[1]))
        elif found := re.match(r" \+ (\S+)==", line):
            done += 1
            say(Phase("pip", min(done, total), total, "package", found[1]))

    return heard


def _refuse_overwriting(packages: Sequence[PipPackage], python: Path) -> None:
    """The last look before anything is written: nothing of conda's may be replaced.

    The names at lock time are a guess where conda calls a distribution otherwise; here its own record counts.
    """
    had = installed_versions(python)
    for one in packages:
        version = had.get(one.name)
        if version is not None and version != one.version:
            raise RequestError(
                "env.clobber",
                f"conda installed {one.name} {version}, and the pip: part has {one.name} {one.version}: "
                "pip would overwrite conda's files",
                fix=f"ask conda for it: put {one.name}=={one.version} into dependencies, then lock again",
            )


def _not_installed(ended: Ended, packages: Sequence[PipPackage]) -> Exception:
    said = ended.said
    if torn := re.search(r"Failed to extract archive: (\S+)", said):
        return DataError(
            "env.hash",
            f"the file {torn[1]} of the index is torn: it cannot be unpacked",
            fix="mend the index or the folder of wheels (copy the file again), then run the same command",
        )
    if "require-hashes" in said or "hash" in said.lower():
        named = [one.name for one in packages if re.search(rf"\b{re.escape(one.name)}\b", said)]
        return DataError(
            "env.hash",
            f"the index has no file of {', '.join(named) or 'the pip: part'} with the hash of the lock",
            fix="the file was changed or withdrawn there; lock anew: nbplat env lock --upgrade",
        )
    return failure(ended, what="install the pip: part")


def _not_built(source: Path, ended: Ended) -> Exception:
    found = failure(ended, what=f"build {source.name}")
    if ended.code == 0 or found.code not in ("env.pip_build", "env.uv"):
        return found
    tail = "\n".join(line for line in ended.said.splitlines()[-_TAIL_LINES:] if line.strip())
    return RequestError(
        "env.local",
        f"the local package {source} does not build:\n{tail}",
        fix=f"mend it; try it alone: python -m build --wheel {source}",
        where=str(source),
    )
