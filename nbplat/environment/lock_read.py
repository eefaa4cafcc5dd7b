"""Text of a lock file -> Lock; whatever was not written by us so is refused, with its line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from nbplat.environment.lock_names import number_of, split_file_name
from nbplat.environment.lock_record import CondaPackage, LocalLayer, Lock, PipPackage, PlatformLock
from nbplat.environment.lock_seal import changed_lines, seal_of
from nbplat.errors import RequestError

__all__ = ["parse_lock", "salvage_lock"]

_CONFLICT = re.compile(r"^(<{7}|>{7}|\|{7}|={7})(?: .*)?$", re.MULTILINE)
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_FORMAT = 1
_VERSION = 7


def parse_lock(text: str, where: str = "") -> Lock:
    """Read the text of a lock file.

    Args:
        where: The file, for errors.

    Raises:
        RequestError: ``env.lock_file``.
    """
    text = text.replace("\r\n", "\n")
    conflict = _CONFLICT.search(text)
    if conflict is not None:
        line = text.count("\n", 0, conflict.start()) + 1
        raise _refused(where, f"it holds an unsolved merge conflict ({conflict[1]})", line, _TAKE_ONE)
    tree = _tree(text, where)
    _check_kind(tree, where)
    _check_seal(text, tree, where)
    try:
        return _lock(tree)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        # The seal fits, so this is a text that we have not written: another version, or somebody who tries.
        what = f"{type(exc).__name__}: {exc}"
        raise _refused(where, f"it is not as we write them ({what})", 0) from None


def salvage_lock(text: str) -> Lock | None:
    """What a damaged lock still tells for a new one: versions that should stay.

    Of a merge conflict our side counts. The result is up to date with no declaration, so it is never built from; the
    solver takes of it only what the channels have with the same hashes.

    Returns:
        None when nothing of it can be read.
    """
    kept, skip = [], False
    for line in text.replace("\r\n", "\n").split("\n"):
        marker = _CONFLICT.match(line)
        if marker is not None:
            skip = marker[1][0] in "|="
        elif not skip:
            kept.append(line)
    try:
        tree = _tree("\n".join(kept), "")
        _check_kind(tree, "")
        return replace(_lock(tree), solved_by="0" * 64)
    except (RequestError, KeyError, TypeError, ValueError, AttributeError):
        return None


_AGAIN = "make it anew: nbplat env lock {name}"
_TAKE_ONE = "take either side whole (git checkout --theirs FILE), then make it anew: nbplat env lock {name}"


def _refused(where: str, why: str, line: int, fix: str = _AGAIN) -> RequestError:
    found = re.search(r"[\w.-]+\Z", where)
    name = found[0].removesuffix(".lock") if found else "NAME"
    place = ", ".join(part for part in (where, f"line {line}" if line else "") if part)
    return RequestError("env.lock_file", f"the lock cannot be used: {why}", fix=fix.format(name=name), where=place)


def _tree(text: str, where: str) -> Mapping[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if not text.strip():
        raise _refused(where, "it is empty", 1)
    try:
        tree = yaml.load(text, Loader=loader)  # noqa: S506 - both are safe loaders
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = mark.line + 1 if mark else 0
        raise _refused(where, f"it is not YAML ({exc.problem or exc.context})", line) from None
    except yaml.YAMLError as exc:
        raise _refused(where, f"it is not YAML ({str(exc).partition(chr(10))[0]})", 0) from None
    if not isinstance(tree, Mapping):
        raise _refused(where, "it holds no lock", 1)
    return tree


def _check_kind(tree: Mapping[str, Any], where: str) -> None:
    ours = tree.get("nbplat")
    if tree.get("version") != _VERSION:
        raise _refused(where, f"it has version {tree.get('version')!r} of the format, and we read {_VERSION}", 0)
    if ours is None and {"platforms", "environments", "packages"} <= set(tree):
        raise _refused(where, "it has no nbplat section: it was cut off, or another tool made it", 0)
    if not isinstance(ours, Mapping):
        raise _refused(where, "it has no nbplat section, or that was cut off", 0)
    if ours.get("format") != _FORMAT:
        fix = "upgrade nbplat, or make it anew: nbplat env lock {name}"
        raise _refused(where, f"its nbplat section has format {ours.get('format')!r}, and we read {_FORMAT}", 0, fix)


def _check_seal(text: str, tree: Mapping[str, Any], where: str) -> None:
    ours = tree["nbplat"]
    last = text.count("\n") + (not text.endswith("\n"))
    sums = ours.get("sums")
    if not isinstance(ours.get("seal"), str) or not isinstance(sums, list):
        raise _refused(where, "it ends without its seal: it was cut off", last)
    if ours["seal"] == seal_of(text):
        return
    block = changed_lines(text, [str(each) for each in sums])
    if block is None:
        raise _refused(where, "its seal does not fit: it was changed by hand", last)
    about = block.text.partition("\n")[0].removeprefix("- conda: ").rpartition("/")[2]
    lines = f"lines {block.first} to {block.last}" if block.last > block.first else f"line {block.first}"
    raise _refused(where, f"it was changed after it was made: {lines} ({about.rstrip(':')})", block.first)


def _lock(tree: Mapping[str, Any]) -> Lock:
    ours = tree["nbplat"]
    environment = tree["environments"]["default"]
    channels = tuple(map(_text, ours["channels"]))
    addresses = [_text(each["url"]).rstrip("/") for each in environment["channels"]]
    names = dict(zip(addresses, channels, strict=True))
    packages = {_text(each["conda"]): _package(each, names) for each in tree["packages"]}
    layers = ours.get("platforms") or {}
    platforms = {}
    for each in tree["platforms"]:
        name = _text(each["name"])
        virtual = dict(_virtual(_text(one)) for one in each.get("virtual-packages", ()))
        conda = tuple(packages[_text(one["conda"])] for one in environment["packages"][name])
        mine = layers.get(name, {})
        platforms[name] = PlatformLock(
            platform=name,
            virtual=MappingProxyType(virtual),
            conda=conda,
            pip=tuple(_pip(one) for one in mine.get("pip", ())),
            local=tuple(_local(one) for one in mine.get("local", ())),
        )
    return Lock(
        name=_text(ours["name"]),
        solved_by=_digest(ours["solved_by"]),
        channels=channels,
        dependencies=tuple(map(_text, ours["dependencies"])),
        pip=tuple(map(_text, ours["pip"])),
        platforms=MappingProxyType(platforms),
    )


def _package(found: Mapping[str, Any], names: Mapping[str, str]) -> CondaPackage:
    base, subdir, file_name = _text(found["conda"]).rsplit("/", 2)
    name, version, build = split_file_name(file_name)
    build = _text(found.get("build", build))
    if subdir != found["subdir"] or not name:
        raise ValueError(f"the address {found['conda']}")
    return CondaPackage(
        name=_text(found.get("name", name)),
        version=_text(found.get("version", version)),
        build=build,
        build_number=int(found.get("build_number", number_of(build))),
        channel=names.get(base, base),
        subdir=subdir,
        file_name=file_name,
        sha256=_digest(found["sha256"]),
        md5=_text(found.get("md5", "")),
        size=int(found.get("size", 0)),
        depends=tuple(map(_text, found.get("depends", ()))),
        constrains=tuple(map(_text, found.get("constrains", ()))),
        noarch=_text(found.get("noarch", "")),
        site_packages=_text(found.get("python_site_packages_path", "")),
    )


def _virtual(text: str) -> tuple[str, str]:
    name, version, build = (*text.split("=", 2), "", "")[:3]
    return name, build if name == "__archspec" else version


def _pip(found: Mapping[str, Any]) -> PipPackage:
    hashes = tuple(map(_text, found["hashes"]))
    if not hashes or not all(_SHA256.match(each.removeprefix("sha256:")) for each in hashes):
        raise ValueError(f"the hashes of {found['name']}")
    return PipPackage(
        name=_text(found["name"]),
        version=_text(found["version"]),
        hashes=hashes,
        marker=_text(found.get("marker", "")),
        extras=tuple(map(_text, found.get("extras", ()))),
        file=_text(found.get("file", "")),
        size=int(found.get("size", 0)),
    )


def _local(found: Mapping[str, Any]) -> LocalLayer:
    return LocalLayer(
        name=_text(found["name"]),
        version=_text(found["version"]),
        path=_text(found["path"]),
        source_hash=_digest(found["source_hash"]),
        extras=tuple(map(_text, found.get("extras", ()))),
        requires=tuple(map(_text, found.get("requires", ()))),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} where a text belongs")
    return value


def _digest(value: Any) -> str:
    if not _SHA256.match(_text(value)):
        raise ValueError(f"{value!r} is no SHA-256")
    return str(value)
