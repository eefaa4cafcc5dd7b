"""Lock files: rattler's format (version 7, as ``pixi.lock``), and a section of ours that other tools pass over.

The conda part stands where rattler has it. Ours holds what the format has no place for: what was declared, the hashes
of the ``pip:`` part, local packages, and a seal. The text is canonical: equal locks are equal bytes, whatever machine
wrote them, and one package is one block of lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nbplat.environment.channels import ChannelRules, address_of
from nbplat.environment.definition_file import write_text
from nbplat.environment.lock_names import number_of, split_file_name
from nbplat.environment.lock_read import parse_lock
from nbplat.environment.lock_record import CondaPackage, Lock, PlatformLock
from nbplat.environment.lock_seal import seal_of, sums_of
from nbplat.environment.lock_yaml import scalar, write_list, write_map
from nbplat.errors import NotFound, SetupError

__all__ = ["lock_text", "parse_lock", "read_lock", "write_lock"]

_HEAD = "# Made by `nbplat env lock` from the declaration beside it; make it anew instead of editing it.\n"


def lock_text(lock: Lock, rules: ChannelRules | None = None) -> str:
    """The file of a lock.

    Args:
        rules: For channels that are declared by a name of the channels file: the lock spells their address.
    """
    addresses = {name: address_of(name, rules) for name in lock.channels}
    lines = ["version: 7", *_platforms(lock), *_environment(lock, addresses), *_packages(lock, addresses), *_ours(lock)]
    body = "\n".join(lines) + "\n"
    tail = [*write_list("sums", sums_of(body), "  "), f"  seal: {scalar(seal_of(body))}"]
    return _HEAD + body + "\n".join(tail) + "\n"


def read_lock(path: Path | str) -> Lock:
    """Read one lock file.

    Raises:
        NotFound: ``env.lock_missing``: there is none.
        RequestError: ``env.lock_file``: conflict markers of a merge, truncated, changed by hand, or not ours; with the
            line.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        fix = f"make it: nbplat env lock {path.stem}"
        raise NotFound("env.lock_missing", f"there is no lock {path}", fix=fix) from None
    except OSError as exc:
        raise SetupError(
            "env.file", f"{path} cannot be read: {exc.strerror}", fix="check the file's permissions"
        ) from None
    return parse_lock(data.decode("utf-8", "replace"), str(path))


def write_lock(path: Path | str, lock: Lock, rules: ChannelRules | None = None) -> bool:
    """Put a lock into its file in one step; False when the file had exactly this text already."""
    path = Path(path)
    text = lock_text(lock, rules)
    if path.is_file() and path.read_bytes() == text.encode():
        return False
    write_text(path, text)
    return True


def _platforms(lock: Lock) -> list[str]:
    lines = ["platforms:"]
    for name, found in sorted(lock.platforms.items()):
        lines.append(f"- name: {scalar(name)}")
        if found.virtual:
            lines += write_list("virtual-packages", _virtual(found.virtual), "  ")
    return lines


def _virtual(found: Mapping[str, str]) -> list[str]:
    return [f"{name}=1={text}" if name == "__archspec" else f"{name}={text}" for name, text in sorted(found.items())]


def _environment(lock: Lock, addresses: Mapping[str, str]) -> list[str]:
    lines = ["environments:", "  default:", "    channels:"]
    lines += [f"    - url: {scalar(addresses[name])}" for name in lock.channels]
    lines.append("    packages:")
    for name, found in sorted(lock.platforms.items()):
        locations = [_location(one, addresses) for one in found.conda]
        lines += [f"      {name}:{'' if locations else ' []'}"]
        lines += [f"      - conda: {scalar(location)}" for location in locations]
    return lines


def _packages(lock: Lock, addresses: Mapping[str, str]) -> list[str]:
    # A noarch package of several platforms is one entry.
    found = {_location(one, addresses): one for each in lock.platforms.values() for one in each.conda}
    if not found:
        return ["packages: []"]
    lines = ["packages:"]
    for location, one in sorted(found.items(), key=lambda pair: (pair[1].name, pair[1].subdir, pair[0])):
        lines += write_map(_package(location, one), "  ", first="- ")
    return lines


def _package(location: str, one: CondaPackage) -> dict[str, Any]:
    entries: dict[str, Any] = {"conda": location}
    name, version, build = split_file_name(one.file_name)
    if (name, version, build) != (one.name, one.version, one.build):
        entries |= {"name": one.name, "version": one.version, "build": one.build}
    if one.build_number != number_of(one.build):
        entries["build_number"] = one.build_number
    entries["subdir"] = one.subdir
    if one.noarch:
        entries["noarch"] = one.noarch
    if one.site_packages:
        entries["python_site_packages_path"] = one.site_packages
    entries["sha256"] = one.sha256
    if one.md5:
        entries["md5"] = one.md5
    for key in ("depends", "constrains"):
        if getattr(one, key):
            entries[key] = list(getattr(one, key))
    if one.size:
        entries["size"] = one.size
    return entries


def _ours(lock: Lock) -> list[str]:
    lines = ["nbplat:", "  format: 1", f"  name: {scalar(lock.name)}", f"  solved_by: {scalar(lock.solved_by)}"]
    lines += write_list("channels", lock.channels, "  ")
    lines += write_list("dependencies", lock.dependencies, "  ")
    lines += write_list("pip", lock.pip, "  ")
    layers = {name: found for name, found in sorted(lock.platforms.items()) if found.pip or found.local}
    if layers:
        lines.append("  platforms:")
    for name, found in layers.items():
        lines += [f"    {name}:", *_layers(found)]
    return lines


def _layers(found: PlatformLock) -> list[str]:
    pip = [
        {
            "name": one.name,
            "version": one.version,
            "extras": one.extras,
            "marker": one.marker,
            "file": one.file,
            "size": one.size,
            "hashes": one.hashes,
        }
        for one in found.pip
    ]
    local = [
        {
            "name": one.name,
            "version": one.version,
            "path": one.path,
            "extras": one.extras,
            "requires": one.requires,
            "source_hash": one.source_hash,
        }
        for one in found.local
    ]
    return [*_items("pip", pip), *_items("local", local)]


def _items(key: str, items: Iterable[Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for item in items:
        lines += write_map({name: value for name, value in item.items() if value}, "        ", first="      - ")
    return [f"      {key}:", *lines] if lines else []


def _location(one: CondaPackage, addresses: Mapping[str, str]) -> str:
    base = addresses.get(one.channel, one.channel).rstrip("/")
    return f"{base}/{one.subdir}/{one.file_name}"
