"""What a channel folder of this machine lacks of a lock, and why: another interpreter made it, or nobody did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nbplat.environment.channels import is_folder
from nbplat.environment.lock_record import Lock

__all__ = ["lacking_of_lock", "why_lacking"]


def why_lacking(folder: Path, channel: str, subdir: str, file_name: str) -> tuple[str, str] | None:
    """Say why a channel folder has not the package of a lock, and the mend; None: it has it.

    Args:
        channel: As the lock names it.
        file_name: ``python-3.11.7-h0123abcd_0_cpython.conda``.
    """
    if (folder / subdir / file_name).is_file():
        return None
    if not any(folder.glob("*/repodata.json")):
        return (
            f"there is no channel at {channel} yet",
            f"make it (nbplat env channel make {folder} …) from what it was made from when it was locked",
        )
    stem = file_name.removesuffix(".conda").removesuffix(".tar.bz2")
    version, _, build = stem.rpartition("-")
    others = sorted(one.name.removesuffix(".conda") for one in (folder / subdir).glob(f"{version}-*.conda"))
    if others:
        there = ", ".join(one.removeprefix(f"{version}-") for one in others)
        return (
            f"the channel {channel} has {version} in another build than the lock: {there}, not {build}. Builds are "
            "named by their content: this one was made from another interpreter, or from another build of a wheel",
            "lock again with `nbplat env lock`: the versions stay and the builds become those of this channel",
        )
    return (
        f"the channel {channel} no longer has the package {stem} of the lock",
        f"add it (nbplat env channel make {folder} …), or lock again with `nbplat env lock`",
    )


def lacking_of_lock(lock: Lock, folder: str | Path) -> tuple[str, ...]:
    """One sentence for each package that channel folders of a lock lack here; a channel that is not here counts once.

    Args:
        folder: Of the declaration; paths of channels start from there.
    """
    return tuple(dict.fromkeys(_lacking(lock, Path(folder))))


def _lacking(lock: Lock, folder: Path) -> Iterator[str]:
    for platform in lock.platforms.values():
        for one in platform.conda:
            if is_folder(one.channel):
                place = folder / Path(one.channel).expanduser()
                found = why_lacking(place, one.channel, one.subdir, one.file_name)
                if found:
                    yield found[0]
