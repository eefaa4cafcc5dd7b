"""What a channel folder of this machine lacks of a lock, and why: another interpreter made it, or nobody did."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from nbplat.environment.channels import is_folder
from nbplat.environment.lock_record import CondaPackage, Lock

__all__ = ["is_made_anew", "lacking_of_lock", "why_lacking"]

_NAMED = 3


def why_lacking(folder: Path, channel: str, subdir: str, file_name: str) -> tuple[str, str] | None:
    """Say why a channel folder has not the package of a lock, and the mend; None: it has it.

    Args:
        channel: As the lock names it.
        file_name: ``python-3.11.7-h0123abcd_0_cpython.conda``.
    """
    if (folder / subdir / file_name).is_file():
        return None
    if not _is_channel(folder):
        return (
            f"there is no channel at {channel} yet",
            f"make it (nbplat env channel make {folder} …) from what it was made from when it was locked",
        )
    version, _, build = _stem(file_name).rpartition("-")
    if others := _builds(folder, subdir, version):
        return (
            f"the channel {channel} has {version} in another build than the lock: {', '.join(others)}, not {build}. "
            "Builds are named by their content: another interpreter, or another build of a wheel, made this one",
            "lock again with `nbplat env lock`: the builds become those of this channel",
        )
    return (
        f"the channel {channel} no longer has the package {_stem(file_name)} of the lock",
        f"add it (nbplat env channel make {folder} …), or lock again with `nbplat env lock`",
    )


def is_made_anew(lock: Lock, folder: str | Path) -> bool:
    """Whether a channel folder of a lock is here and lacks a package of it: a solve would give another lock."""
    return any(_is_channel(_place(one, folder)) for one in _lacking(lock, folder))


def lacking_of_lock(lock: Lock, folder: str | Path) -> tuple[str, ...]:
    """What channel folders of a lock lack here, a sentence for each kind; empty: nothing.

    Args:
        folder: Of the declaration; paths of channels start from there.
    """
    absent: dict[str, None] = {}
    gone: dict[str, list[str]] = {}
    rebuilt: dict[str, list[str]] = {}
    for one in _lacking(lock, folder):
        place = _place(one, folder)
        version = f"{one.name}-{one.version}"
        if not _is_channel(place):
            absent[f"there is no channel at {one.channel} yet"] = None
        else:
            (rebuilt if _builds(place, one.subdir, version) else gone).setdefault(one.channel, []).append(version)
    again = "; `nbplat env lock` takes what it has now"
    return (
        *absent,
        *(f"the channel {channel} lacks {_few(names)} of the lock{again}" for channel, names in gone.items()),
        *(
            f"the channel {channel} has {_few(names)} in other builds than the lock: another interpreter or other "
            f"wheels made it{again}"
            for channel, names in rebuilt.items()
        ),
    )


def _lacking(lock: Lock, folder: str | Path) -> Iterator[CondaPackage]:
    for platform in lock.platforms.values():
        for one in platform.conda:
            if is_folder(one.channel) and not (_place(one, folder) / one.subdir / one.file_name).is_file():
                yield one


def _place(package: CondaPackage, folder: str | Path) -> Path:
    return Path(folder) / Path(package.channel).expanduser()


def _is_channel(folder: Path) -> bool:
    return any(folder.glob("*/repodata.json"))


def _builds(folder: Path, subdir: str, version: str) -> list[str]:
    """Builds of ``python-3.11.7`` in a channel."""
    found = sorted((folder / subdir).glob(f"{version}-*.conda"))
    return [_stem(one.name).removeprefix(f"{version}-") for one in found]


def _stem(file_name: str) -> str:
    return file_name.removesuffix(".conda").removesuffix(".tar.bz2")


def _few(names: Collection[str]) -> str:
    shown = list(dict.fromkeys(names))
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return ", ".join(shown[:_NAMED]) + more
