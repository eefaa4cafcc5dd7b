"""What a person calls an environment, as it is looked up."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from nbplat.environment.definition_file import SUFFIXES, find_file, read_file
from nbplat.errors import NbplatError

__all__ = ["environment_named"]


def environment_named(env: str | None) -> dict[str, str]:
    """What an environment is called where it was built, and the folder of its declaration when it is here."""
    if not env:
        return {"env": ""}
    if env.endswith(SUFFIXES):
        declared = read_file(Path(env).expanduser())
        return {"env": declared.name, "project": declared.folder}
    if "/" in env or env.startswith((".", "~")):
        return {"env": str(Path(env).expanduser().absolute())}
    file = find_file(env)
    # A declaration that cannot be read is its own verbs' matter: what was built from it before still runs.
    with suppress(NbplatError):
        if file is not None:
            declared = read_file(file)
            return {"env": declared.name, "project": declared.folder}
    return {"env": env}
