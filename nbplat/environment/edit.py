"""Edit the text of a declaration where it stands: comments, order and spelling of everything else stay as they are.

Every edit is held against what was asked for: the edited text is read again and must be that definition, or nothing is
written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nbplat.environment.channel_text import ChannelError, parse_channel
from nbplat.environment.definition import Definition
from nbplat.environment.edit_text import EditedText, NotEditable, scalar
from nbplat.environment.match_spec import MatchSpec, SpecError, parse_spec
from nbplat.environment.parse import parse_definition
from nbplat.environment.platforms import PLATFORMS
from nbplat.environment.read import DEFAULT_CHANNEL, check_name, parse_local
from nbplat.environment.requirement import RequirementError, parse_requirement, requirement_name
from nbplat.errors import NotFound, RequestError, did_you_mean

__all__ = ["Edit", "Things", "add", "new_text", "remove", "spec_name"]


@dataclass(frozen=True, slots=True)
class Things:
    """What is added or taken out.

    Attributes:
        specs: Conda match specs; to take out, names of conda packages or of requirements.
        pip: Requirements.
        channels: As they are written.
        platforms: ``linux-64``.
        local: Folders or wheels, ``./ranker[gpu]``.
    """

    specs: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    local: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self.specs or self.pip or self.channels or self.platforms or self.local)


@dataclass(frozen=True, slots=True)
class Edit:
    """What an edit made.

    Attributes:
        text: The whole new text.
        definition: What it reads as.
        changes: A line each, ``+ numpy>=2``, ``- numpy``, ``~ python=3.11 -> python=3.12``; empty: nothing changed.
    """

    text: str
    definition: Definition
    changes: tuple[str, ...] = field(default=())


def new_text(name: str, things: Things) -> str:
    """The text of a new declaration.

    Raises:
        RequestError: a name, spec, requirement, channel or platform that cannot be.
    """
    check_name(name)
    channels = things.channels or (DEFAULT_CHANNEL,)
    lines = [
        "# An ordinary conda environment file; conda and mamba leave the block nbplat: alone.",
        f"name: {scalar(name)}",
        "channels:",
        *(f"  - {scalar(channel.strip())}" for channel in dict.fromkeys(channels)),
        "dependencies:",
        *(f"  - {scalar(str(_spec(spec)) and spec.strip())}" for spec in things.specs[:1]),
    ]
    return add("\n".join(lines) + "\n", replace(things, specs=things.specs[1:], channels=())).text


def add(text: str, things: Things, *, name: str | None = None, folder: str = "") -> Edit:
    """Add to a declaration; a package that is there already gets the new demand in its place.

    Args:
        name, folder: As `parse_definition` takes them.

    Raises:
        RequestError: something that cannot be added; ``env.edit``: the text is written so that it cannot be edited.
    """
    before = parse_definition(text, name=name, folder=folder)
    edited, changes = EditedText(text), list[str]()
    try:
        wanted = _add_specs(before, edited, things.specs, changes)
        wanted = _add_pip(wanted, edited, things.pip, changes)
        wanted = _add_to_lists(wanted, edited, things, changes)
    except NotEditable:
        raise _not_editable(things) from None
    return _held(wanted, edited.text, changes, name, folder, things)


def remove(text: str, things: Things, *, name: str | None = None, folder: str = "") -> Edit:
    """Take out of a declaration; a name of `things.specs` may be one of the ``pip:`` part.

    Raises:
        NotFound: ``env.package``: it is not declared, with the nearest that are.
        RequestError: ``env.edit``.
    """
    before = parse_definition(text, name=name, folder=folder)
    edited, changes = EditedText(text), list[str]()
    try:
        wanted = before
        for asked in (*things.specs, *things.pip):
            wanted = _drop_package(wanted, edited, asked, changes)
        wanted = _drop_from_lists(wanted, edited, things, changes)
    except NotEditable:
        raise _not_editable(things) from None
    return _held(wanted, edited.text, changes, name, folder, things)


def _held(wanted: Definition, text: str, changes: list[str], name: str | None, folder: str, things: Things) -> Edit:
    """The edit, when its text is what was wanted."""
    try:
        found = parse_definition(text, name=name, folder=folder)
    except RequestError:
        raise _not_editable(things) from None
    if found != wanted:
        raise _not_editable(things)
    return Edit(text, found, tuple(changes))


# -- packages --------------------------------------------------------------------------------------


def _add_specs(before: Definition, edited: EditedText, specs: Sequence[str], changes: list[str]) -> Definition:
    path = ("dependencies",)
    held = {parse_spec(each).name: each for each in before.dependencies}
    for text in specs:
        spec = _spec(text)
        written = edited.items(path)
        at = next((at for at, each in enumerate(written) if each is not None and _name_of(each) == spec.name), None)
        if at is None:
            edited.add_item(path, text.strip(), before=edited.index_of(path, "pip"))
            changes.append(f"+ {text.strip()}")
        elif held[spec.name] != str(spec):
            edited.put_item(path, at, text.strip())
            changes.append(f"~ {written[at]} -> {text.strip()}")
        held[spec.name] = str(spec)
    return replace(before, dependencies=tuple(held.values()))


def _add_pip(before: Definition, edited: EditedText, requirements: Sequence[str], changes: list[str]) -> Definition:
    held = list(before.pip)
    for text in requirements:
        requirement = _requirement(text)
        at = edited.index_of(("dependencies",), "pip")
        names = [requirement_name(each) for each in held]
        mine = requirement_name(requirement)
        if at is None:
            edited.add_mapping(("dependencies",), "pip", text.strip())
        elif names.count(mine) == 1:
            index = names.index(mine)
            if held[index] != requirement:
                changes.append(f"~ pip {held[index]} -> {text.strip()}")
                edited.put_item(("dependencies", at, "pip"), index, text.strip())
            held[index] = requirement
            continue
        elif mine in names:
            raise NotEditable  # several under different markers: which one is meant only the person knows
        else:
            edited.add_item(("dependencies", at, "pip"), text.strip())
        held.append(requirement)
        changes.append(f"+ pip {text.strip()}")
    return replace(before, pip=tuple(held))


def _drop_package(before: Definition, edited: EditedText, asked: str, changes: list[str]) -> Definition:
    path = ("dependencies",)
    name = asked.strip().lower()
    conda = {parse_spec(each).name: each for each in before.dependencies}
    pip = [requirement_name(each) for each in before.pip]
    mine = name.replace("_", "-")
    if name not in conda and mine not in pip:
        fix = did_you_mean(name, [*conda, *pip])
        raise NotFound("env.package", f"{asked!r} is not declared", fix=fix)
    if name in conda:
        if len(conda) == 1:
            raise RequestError("env.edit", f"{name} is the last dependency", fix="delete the file instead")
        written = edited.items(path)
        place = next(at for at, each in enumerate(written) if each is not None and _name_of(each) == name)
        edited.drop_item(path, place)
        changes.append(f"- {written[place]}")
        before = replace(before, dependencies=tuple(each for each in before.dependencies if _name_of(each) != name))
    while mine in (pip := [requirement_name(each) for each in before.pip]):
        index, at = pip.index(mine), edited.index_of(path, "pip")
        assert at is not None  # noqa: S101 - there are requirements
        changes.append(f"- pip {before.pip[index]}")
        if len(pip) == 1:
            edited.drop_item(path, at)
        else:
            edited.drop_item((*path, at, "pip"), index)
        before = replace(before, pip=(*before.pip[:index], *before.pip[index + 1 :]))
    return before


# -- lists -----------------------------------------------------------------------------------------


def _add_to_lists(before: Definition, edited: EditedText, things: Things, changes: list[str]) -> Definition:
    for text in things.channels:
        channel = _channel(text)
        if edited.has(("channels",)):
            if channel in before.channels:
                continue
            edited.add_item(("channels",), text.strip())
        else:
            # What was taken by default stays, and has to be written now.
            first = [each for each in before.channels if each != channel]
            written = (*first, text.strip())
            lines = ["channels:", *(f"  - {scalar(each)}" for each in written)]
            if edited.is_flow(()):
                lines = [f"channels: [{', '.join(scalar(each, flow=True) for each in written)}]"]
            edited.add_key((), lines, "dependencies")
            before = replace(before, channels=tuple(first))
        changes.append(f"+ channel {text.strip()}")
        before = replace(before, channels=(*before.channels, channel))
    for text in things.platforms:
        if text not in before.platforms:
            _add_under_nbplat(edited, "platforms", _platform(text))
            changes.append(f"+ platform {text}")
            before = replace(before, platforms=tuple(sorted((*before.platforms, text))))
    for text in things.local:
        package = parse_local(text)
        if package.path not in {each.path for each in before.local}:
            _add_under_nbplat(edited, "local", text.strip())
            changes.append(f"+ local {text.strip()}")
            before = replace(before, local=(*before.local, package))
    return before


def _add_under_nbplat(edited: EditedText, key: str, text: str) -> None:
    line = f"{key}: [{scalar(text, flow=True)}]"
    if edited.has(("nbplat", key)):
        edited.add_item(("nbplat", key), text)
    elif edited.has(("nbplat",)):
        edited.add_key(("nbplat",), [line])
    else:
        edited.add_key((), [f"nbplat: {{{line}}}"] if edited.is_flow(()) else ["nbplat:", f"  {line}"])


def _drop_from_lists(before: Definition, edited: EditedText, things: Things, changes: list[str]) -> Definition:
    for text in things.channels:
        at = _index(before.channels, _channel(text), "channel")
        if len(before.channels) == 1:
            raise RequestError("env.edit", f"{text} is the last channel", fix="add the one that takes its place first")
        written = [each for each in edited.items(("channels",)) if each != "nodefaults"]
        edited.drop_item(("channels",), edited.items(("channels",)).index(written[at]))
        changes.append(f"- channel {text}")
        before = replace(before, channels=(*before.channels[:at], *before.channels[at + 1 :]))
    for text in things.platforms:
        at = _index(before.platforms, text, "platform")
        _drop_under_nbplat(edited, "platforms", edited.items(("nbplat", "platforms")).index(text))
        changes.append(f"- platform {text}")
        before = replace(before, platforms=(*before.platforms[:at], *before.platforms[at + 1 :]))
    for text in things.local:
        at = _index([each.path for each in before.local], parse_local(text).path, "local package")
        _drop_under_nbplat(edited, "local", at)
        changes.append(f"- local {before.local[at].path}")
        before = replace(before, local=(*before.local[:at], *before.local[at + 1 :]))
    return before


def _drop_under_nbplat(edited: EditedText, key: str, at: int) -> None:
    if len(edited.items(("nbplat", key))) > 1:
        edited.drop_item(("nbplat", key), at)
    elif edited.keys(("nbplat",)) == [key]:
        edited.drop_key((), "nbplat")
    else:
        edited.drop_key(("nbplat",), key)


def _index(held: Sequence[str], asked: str, what: str) -> int:
    if asked not in held:
        raise NotFound("env.package", f"{asked!r} is no {what} of it", fix=did_you_mean(asked, held))
    return held.index(asked)


# -- words -----------------------------------------------------------------------------------------


def _spec(text: str) -> MatchSpec:
    try:
        return parse_spec(text.strip())
    except SpecError as exc:
        raise RequestError("env.spec", f"in {text!r} {exc}", fix=exc.fix) from None


def spec_name(text: str) -> str:
    """The package that a match spec is about; raises RequestError when it is none."""
    return _spec(text).name


def _name_of(written: str) -> str:
    return parse_spec(written).name


def _requirement(text: str) -> str:
    try:
        return parse_requirement(text)
    except RequirementError as exc:
        raise RequestError("env.requirement", str(exc), fix=exc.fix) from None


def _channel(text: str) -> str:
    try:
        return parse_channel(text)
    except ChannelError as exc:
        raise RequestError(f"env.{exc.code}", str(exc), fix=exc.fix) from None


def _platform(text: str) -> str:
    if text not in PLATFORMS:
        raise RequestError("env.platform", f"{text!r} is no conda platform", fix=did_you_mean(text, PLATFORMS))
    return text


def _not_editable(things: Things) -> RequestError:
    asked = ", ".join((*things.specs, *things.pip, *things.channels, *things.platforms, *things.local))
    return RequestError(
        "env.edit",
        f"the file is written so that {asked} cannot be put in place",
        fix="edit it by hand; it is unchanged",
    )
