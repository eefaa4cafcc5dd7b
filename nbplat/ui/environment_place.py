"""Where environments are worked on: the project's folder, one platform in this process, the desk of durable jobs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.errors import NotFound, RequestError, did_you_mean
from nbplat.ui.opened_platform import OpenedPlatform

if TYPE_CHECKING:
    from nbplat.compose import Platform
    from nbplat.environment.definition import Definition
    from nbplat.ui.desk import Desk
    from nbplat.ui.environment_desk import EnvironmentDesk

__all__ = ["Declared", "Place", "declared_in", "find_declared", "maybe_declared"]


class Place(OpenedPlatform):
    """What one call works with; connections are let go with it.

    Args:
        desk: Where durable jobs run; None asks the service, which is started on demand.
        platform: The platform to read with; None opens one of its own at the first question.
        project: Folder whose ``envs/`` holds the declarations; None takes the working folder.
    """

    def __init__(
        self, desk: Desk | None = None, platform: Platform | None = None, project: Path | str | None = None
    ) -> None:
        self.project = Path(project or ".")
        super().__init__(desk, platform)

    @property
    def away(self) -> str:
        """The address of a team's service, which sees none of this machine's folders; empty when there is none."""
        return self.platform.config.service_url if self._desk is None else ""

    @property
    def store(self) -> EnvironmentDesk:
        """Where questions about what is built go: to this process, which needs no service, or to a team's service."""
        if self.away:
            return self.desk.environments
        from nbplat.ui.environment_desk import LocalEnvironments

        return LocalEnvironments(self.platform)


@dataclass(frozen=True, slots=True)
class Declared:
    """A declaration that a call is about.

    Attributes:
        path: Its file; None for the text of a cell.
    """

    definition: Definition
    text: str
    path: Path | None = None

    @property
    def lock_path(self) -> Path | None:
        """The file of its lock; None for a cell, whose lock is kept in the store."""
        from nbplat.environment.definition_file import lock_path

        return None if self.path is None else lock_path(self.path)

    def request(self, place: Place) -> dict[str, Any]:
        """What a job is told of it.

        Raises:
            RequestError: ``env.away``: it names folders of this machine, and the service is on another one.
        """
        definition = self.definition
        if place.away:
            held = [each.path for each in definition.local] + [each for each in definition.channels if _folder(each)]
            if held:
                raise RequestError(
                    "env.away",
                    f"{held[0]} is a folder of this machine, and the service is at {place.away}",
                    fix="take service.url (NBPLAT_URL) away for this call, or put it where the service reads it",
                )
        return {
            "environment": definition.name,
            "text": self.text,
            "name": definition.name,
            "folder": "" if place.away else definition.folder,
        }


def declared_in(project: Path) -> dict[str, Path]:
    """Declarations of a project by the names of their files."""
    from nbplat.environment.definition_file import FOLDER, definition_files

    return {path.stem: path for path in definition_files(project / FOLDER)}


def find_declared(place: Place, word: str | None, *, body: str | None = None, file: str | None = None) -> Declared:
    """The declaration that is meant: a cell's text, a file, a name in ``envs/``, or the only one there.

    Raises:
        NotFound: ``env.unknown``: there is none of that name, or there are several.
        RequestError: what is wrong with it, with its line.
    """
    from nbplat.environment.definition_file import read_file, read_text
    from nbplat.environment.parse import parse_definition

    if body is not None:
        definition = parse_definition(body, name=word, folder=place.project.absolute())
        if word is not None and word != definition.name:
            raise RequestError(
                "env.name", f"the cell says name: {definition.name}, its line {word}", fix="keep one of them"
            )
        return Declared(definition, body)
    path = _path(place, word, file)
    if path is None:
        raise _unknown(place, word)
    return Declared(read_file(path), read_text(path), path)


def maybe_declared(place: Place, word: str | None) -> Declared | None:
    """The declaration that a word names; None where it names none."""
    return None if _path(place, word, None) is None else find_declared(place, word)


def _path(place: Place, word: str | None, file: str | None) -> Path | None:
    from nbplat.environment.definition_file import find_file

    if file is not None:
        return Path(file)
    if word is not None:
        return find_file(word, place.project)
    every = declared_in(place.project)
    return next(iter(every.values())) if len(every) == 1 else None


def _unknown(place: Place, word: str | None) -> NotFound:
    known = declared_in(place.project)
    if word is None:
        if known:
            return NotFound("env.unknown", "which environment is not said", fix=f"name one of {', '.join(known)}")
        return NotFound("env.unknown", "there is no declaration in envs/", fix="make one: nbplat env init NAME")
    near = did_you_mean(word, known)
    fix = f"make it: nbplat env init {word}"
    return NotFound(
        "env.unknown", f"there is no envs/{word}.yml", fix=f"{near} Or {fix}" if near.startswith("did") else fix
    )


def _folder(channel: str) -> bool:
    return ("://" not in channel and channel.startswith((".", "/", "~"))) or channel.startswith("file:")
