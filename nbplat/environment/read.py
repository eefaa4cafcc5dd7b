"""A tree of values becomes a definition: every key checked, every default filled in and noted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from nbplat.declared import reading
from nbplat.declared.node import Entry, Fault, Node
from nbplat.environment.channel_text import ChannelError, parse_channel
from nbplat.environment.definition import Definition, LocalPackage, PackRules, Targets
from nbplat.environment.keys import FOREIGN, FORMATS, KEYS, keys_under
from nbplat.environment.match_spec import MatchSpec, SpecError, parse_spec
from nbplat.environment.platforms import PLATFORMS, VIRTUAL
from nbplat.environment.requirement import RequirementError, parse_requirement, requirement_name
from nbplat.errors import RequestError, did_you_mean

__all__ = ["DEFAULT_CHANNEL", "NOUN", "check_name", "fault", "parse_local", "read_definition"]

NOUN = "env"
DEFAULT_CHANNEL = "conda-forge"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+){0,2}\Z")
_VIRTUAL_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._]*(?: [A-Za-z0-9_]+)?\Z")

_Keys = Mapping[str, Entry]


def fault(code: str, message: str, fix: str, place: str) -> RequestError:
    """An error about one place of a declaration; the code gets the prefix ``env.``."""
    return Fault(code, message, fix, place).named(NOUN)


def check_name(name: str, place: str = "") -> str:
    """Return an environment's name, or raise RequestError when it cannot be one."""
    if not _NAME.match(name):
        fix = "use letters, digits, '.', '_' and '-', a letter or digit first, 63 characters at most"
        raise fault("name", f"{name!r} cannot name an environment", fix, place)
    return name


class Reading(reading.Reading):
    """One pass over the tree of a declaration."""

    noun = NOUN

    def known(self, declared: str) -> tuple[str, ...]:
        return keys_under(declared)

    def nearest(self, name: str, known: tuple[str, ...]) -> str:
        if name in FOREIGN and "channels" in known:
            why, fix = FOREIGN[name]
            return f"{why}: {fix}"
        elsewhere = [each.path for each in KEYS if each.path.rpartition(".")[2] == name]
        return f"it belongs at {' or '.join(elsewhere)}" if elsewhere else did_you_mean(name, known)

    def default(self, path: str) -> None:
        """Note that a key was not written."""
        self.defaults[path] = str(next(each.default for each in KEYS if each.path == path))


def read_definition(root: Node, name: str | None, folder: str) -> Definition:
    """Read a whole declaration.

    Args:
        name: The name of a text without the key ``name``; None: it must have it.
        folder: Folder that its paths start from.

    Raises:
        RequestError: an unknown, missing or doubled key, or a value that is not possible; with its place.
    """
    read = Reading()
    keys = read.keys(root, (), "")
    if "dependencies" not in keys:
        raise fault("missing", "the key 'dependencies' is missing", "add dependencies: [python=3.11, numpy]", "")
    channels = _channels(read, keys)
    specs, pip = _dependencies(read, keys["dependencies"].node, channels)
    ours = read.keys(keys["nbplat"].node, ("nbplat",), "nbplat") if "nbplat" in keys else {}
    platforms = _platforms(read, ours)
    return Definition(
        name=_name(read, keys, name),
        channels=channels,
        dependencies=specs,
        pip=pip,
        platforms=platforms,
        virtual=_virtual(read, ours, platforms),
        local=_local(read, ours),
        targets=_targets(read, ours),
        pack=_pack(read, ours),
        folder=folder,
        places=MappingProxyType(read.lines),
        defaults=tuple(f"{path}: {value}" for path, value in read.defaults.items()),
    )


def _name(read: Reading, keys: _Keys, name: str | None) -> str:
    if "name" in keys:
        node = keys["name"].node
        return check_name(read.text(node, ("name",), "a name"), node.place)
    if name is None:
        raise fault("missing", "the key 'name' is missing", "add name: ranker", "")
    read.defaults["name"] = name
    return check_name(name)


def _channels(read: Reading, keys: _Keys) -> tuple[str, ...]:
    if "channels" not in keys:
        read.default("channels")
        return (DEFAULT_CHANNEL,)
    node = keys["channels"].node
    found: list[str] = []
    for at, text in enumerate(read.texts(node, ("channels",), "a channel", list_only=True)):
        place = node.value[at].place
        if text == "nodefaults":
            continue  # there are no channels by default that it would have to switch off
        try:
            channel = parse_channel(text)
        except ChannelError as exc:
            raise fault(exc.code, f"channels: {exc}", exc.fix, place) from None
        if channel in found:
            raise fault("twice", f"channels names {channel!r} twice", "keep one of the two", place)
        read.lines[f"channels.{len(found)}"] = place
        found.append(channel)
    if not found:
        raise fault(
            "value", "channels names no channel but nodefaults", "add one: [conda-forge, nodefaults]", node.place
        )
    return tuple(found)


def _dependencies(read: Reading, node: Node, channels: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if node.kind != "list" or not node.value:
        what = "is no list" if node.kind != "list" else "is empty"
        raise fault("shape", f"dependencies: {node.shown} {what}", "write a list: [python=3.11, numpy]", node.place)
    specs: dict[str, tuple[MatchSpec, str]] = {}
    pip: tuple[str, ...] | None = None
    pip_place = ""
    for at, item in enumerate(node.value):
        if item.kind == "map":
            if set(item.value) != {"pip"}:
                names = ", ".join(item.value)
                raise fault(
                    "key", f"dependencies holds a mapping of {names}", "the only one is pip: [NAME, …]", item.place
                )
            if pip is not None:
                fix = f"write its lines into the one at {pip_place}"
                raise fault("twice", "dependencies has a second pip: part", fix, item.place)
            pip, pip_place = _pip(read, item.value["pip"].node), item.place
            continue
        spec = _spec(read, item, ("dependencies", str(at)), channels)
        if spec.name in specs:
            fix = f"write one demand: {spec.name}>=1,<2; the other is at {specs[spec.name][1]}"
            raise fault("twice", f"dependencies names {spec.name!r} twice", fix, item.place)
        read.lines[f"dependencies.{len(specs)}"] = item.place
        specs[spec.name] = (spec, item.place)
    if pip and "python" not in specs:
        raise fault("value", "there is a pip: part and no python", "add python=3.11 to dependencies", pip_place)
    return tuple(str(spec) for spec, _ in specs.values()), pip or ()


def _spec(read: Reading, item: Node, path: tuple[str, ...], channels: tuple[str, ...]) -> MatchSpec:
    text = read.text(item, path, "a match spec: NAME, NAME=1.2 or NAME>=1.2,<2")
    try:
        spec = parse_spec(text)
    except SpecError as exc:
        raise fault("spec", f"dependencies: in {text!r} {exc}", exc.fix, item.at(exc.offset)) from None
    if spec.name.startswith("__"):
        fix = f"what the machines offer stands at nbplat: virtual: {{{spec.name}: …}}"
        raise fault("spec", f"dependencies: {spec.name} is a virtual package", fix, item.place)
    if spec.channel and spec.channel.partition("/")[0] not in {each.partition("/")[0] for each in channels}:
        fix = did_you_mean(spec.channel, channels) + ", or add it to channels"
        raise fault("channel_name", f"dependencies: {spec.channel!r} is none of the channels", fix, item.place)
    return spec


def _pip(read: Reading, node: Node) -> tuple[str, ...]:
    if node.kind == "nothing":
        raise fault("value", "pip: is empty", "write requirements below it, or take it out", node.place)
    if node.kind != "list":
        raise fault("shape", f"pip: {node.shown} is no list", "write a list: pip: [NAME, NAME==1.2]", node.place)
    found: dict[tuple[str, str], str] = {}
    for at, item in enumerate(node.value):
        text = read.text(item, ("pip", str(at)), "a requirement")
        try:
            requirement = parse_requirement(text)
        except RequirementError as exc:
            raise fault("requirement", f"pip: {exc}", exc.fix, item.place) from None
        # The same name may stand there again under another marker.
        key = (requirement_name(requirement), requirement.partition(" ; ")[2])
        if key in found:
            raise fault("twice", f"pip names {key[0]!r} twice", f"keep one of the two: {found[key]}", item.place)
        read.lines[f"pip.{len(found)}"] = item.place
        found[key] = requirement
    return tuple(found.values())


def _platforms(read: Reading, ours: _Keys) -> tuple[str, ...]:
    if "platforms" not in ours:
        read.default("nbplat.platforms")
        return ()
    node = ours["platforms"].node
    found = read.texts(node, ("nbplat", "platforms"), "a platform", list_only=True)
    for at, text in enumerate(found):
        if text not in PLATFORMS:
            message = f"nbplat.platforms: {text!r} is no conda platform"
            raise fault("platform", message, did_you_mean(text, PLATFORMS), node.value[at].place)
    return tuple(sorted(found))


def _virtual(read: Reading, ours: _Keys, platforms: tuple[str, ...]) -> Mapping[str, Mapping[str, str]]:
    if "virtual" not in ours:
        return MappingProxyType({})
    path = ("nbplat", "virtual")
    found: dict[str, dict[str, str]] = {}
    for name, entry in read.names(ours["virtual"].node, path, "virtual").items():
        if name.startswith("__"):
            found.setdefault("*", {})[name] = _offered(read, name, entry, path)
            continue
        if name != "*" and name not in PLATFORMS:
            fix = did_you_mean(name, ("*", *VIRTUAL, *(platforms or PLATFORMS)))
            raise fault("key", f"nbplat.virtual has no key {name!r}", fix, entry.place)
        inside = read.names(entry.node, (*path, name), name)
        found.setdefault(name, {}).update(
            {each: _offered(read, each, place, (*path, name)) for each, place in inside.items()}
        )
    return MappingProxyType(
        {name: MappingProxyType(dict(sorted(each.items()))) for name, each in sorted(found.items())}
    )


def _offered(read: Reading, name: str, entry: Entry, path: tuple[str, ...]) -> str:
    if name not in VIRTUAL:
        raise fault("key", f"{'.'.join(path)} has no key {name!r}", did_you_mean(name, VIRTUAL), entry.place)
    text = read.text(entry.node, (*path, name), "a version")
    if not _VIRTUAL_VERSION.match(text):
        raise fault("value", f"{'.'.join(path)}.{name}: {text!r} is no version", "write 2.28", entry.node.place)
    return text


def _local(read: Reading, ours: _Keys) -> tuple[LocalPackage, ...]:
    if "local" not in ours:
        return ()
    node = ours["local"].node
    items = node.value if node.kind == "list" else (node,)
    found: list[LocalPackage] = []
    for at, item in enumerate(items):
        path = ("nbplat", "local", str(at))
        read.lines[".".join(path[1:])] = item.place
        if item.kind == "map":
            keys = read.keys(item, path, "nbplat.local")
            if "path" not in keys:
                raise fault("missing", "nbplat.local: the key 'path' is missing", "add path: ./ranker", item.place)
            text = read.text(keys["path"].node, path, "a folder or a wheel")
            extras = read.texts(keys["extras"].node, (*path, "extras"), "an extra") if "extras" in keys else ()
        else:
            text = read.text(item, path, "a folder or a wheel")
            text, extras = parse_local(text).path, parse_local(text).extras
        if "://" in text:
            raise fault("local", f"nbplat.local: {text!r} is an address", "name a folder or a wheel", item.place)
        if text in {each.path for each in found}:
            raise fault("twice", f"nbplat.local names {text!r} twice", "keep one of the two", item.place)
        found.append(LocalPackage(text.strip(), tuple(sorted(extras))))
    return tuple(found)


def parse_local(text: str) -> LocalPackage:
    """``./ranker[gpu,serve]``."""
    path, _, extras = text.strip().partition("[")
    return LocalPackage(
        path.strip(), tuple(sorted(each.strip() for each in extras.rstrip("] ").split(",") if each.strip()))
    )


def _targets(read: Reading, ours: _Keys) -> Targets:
    if "targets" not in ours:
        return Targets()
    path = ("nbplat", "targets")
    found = {}
    for name, entry in read.keys(ours["targets"].node, path, "nbplat.targets").items():
        text = read.text(entry.node, (*path, name), "a version")
        if not _VERSION.match(text):
            raise fault(
                "value", f"nbplat.targets.{name}: {text!r} is no version", "write 4.1 or 4.1.4", entry.node.place
            )
        found[name] = text
    return Targets(**found)


def _pack(read: Reading, ours: _Keys) -> PackRules:
    path = ("nbplat", "pack")
    keys = read.keys(ours["pack"].node, path, "nbplat.pack") if "pack" in ours else {}
    for name in ("format", "slim", "pyc"):
        if name not in keys:
            read.default(f"nbplat.pack.{name}")

    def globs(name: str) -> tuple[str, ...]:
        return read.texts(keys[name].node, (*path, name), "a glob") if name in keys else ()

    return PackRules(
        format=read.choice(keys["format"].node, (*path, "format"), FORMATS) if "format" in keys else "tar.gz",
        slim=read.truth(keys["slim"].node, (*path, "slim")) if "slim" in keys else False,
        pyc=read.truth(keys["pyc"].node, (*path, "pyc")) if "pyc" in keys else True,
        keep=globs("keep"),
        drop=globs("drop"),
    )
