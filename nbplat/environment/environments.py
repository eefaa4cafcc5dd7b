"""Everything one can do with environments, with the parts that a platform gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbplat.environment.definition_file import find_file, read_file
from nbplat.environment.parse import parse_definition
from nbplat.errors import NotFound

if TYPE_CHECKING:
    from nbplat.environment.definition import Definition
    from nbplat.job import JobStore

__all__ = ["Environments"]


@dataclass(frozen=True, slots=True)
class Environments:
    """Declare, lock, build, pack, ship and check; each verb is told by the module that does it.

    Attributes:
        ledger: Runs and jobs.
        root: Folder of the store, ``<home>/env``; made when something is built.
    """

    ledger: JobStore
    root: Path

    # -- declarations ------------------------------------------------------------------------------

    def define(self, text: str | Path, *, name: str | None = None, folder: str = "") -> Definition:
        """Read a declaration: a file, or its text.

        Args:
            text: A path, or YAML.
            name: Of a text without the key ``name``.
            folder: Folder that the paths of a text start from.
        """
        if isinstance(text, Path):
            return read_file(text)
        return parse_definition(text, name=name, folder=folder)

    def declared(self, name: str, project: Path | str = ".") -> Path:
        """The file of a declaration, by its name or path.

        Raises:
            NotFound: ``env.unknown``.
        """
        found = find_file(name, project)
        if found is None:
            raise NotFound("env.unknown", f"there is no envs/{name}.yml", fix=f"make it: nbplat env init {name}")
        return found
