"""`nbplat env init|add|remove`: write declarations and edit them where they stand."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nbplat.environment.channels import is_folder
from nbplat.environment.definition_file import FOLDER, write_text
from nbplat.environment.edit import Edit, Things, new_text, spec_name
from nbplat.environment.edit import add as added
from nbplat.environment.edit import remove as removed
from nbplat.environment.read import check_name
from nbplat.errors import Conflict, RequestError
from nbplat.ui.call import Call
from nbplat.ui.environment_place import Place, find_declared
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html

__all__ = ["add", "init", "remove"]


def init(call: Call) -> Result:
    """Write a new declaration."""
    from nbplat.environment.virtual import this_platform

    options = call.options
    name = check_name(options.environment)
    path = Path(FOLDER, f"{name}.yml")
    if path.exists():
        raise Conflict("env.exists", f"{path} is there already", fix=f"change it: nbplat env add {name} PACKAGE")
    things = _things(call, path.parent)
    if not any(spec_name(spec) == "python" for spec in things.specs):
        # The driver and its workers must run the same minor version, and the driver is usually this one.
        python = f"python={sys.version_info.major}.{sys.version_info.minor}"
        things = replace(things, specs=(python, *things.specs))
    if not things.platforms:
        things = replace(things, platforms=(this_platform(),))
    text = new_text(name, things)
    write_text(path, text)
    head = f"{path} written"
    result = f"{head}\n\n{text}\nnext: nbplat env lock {name}"
    return Result(result, data={"file": str(path), "text": text})


def add(call: Call) -> Result:
    """Add to a declaration."""
    return _edited(call, added)


def remove(call: Call) -> Result:
    """Take out of a declaration."""
    return _edited(call, removed)


def _edited(call: Call, edit: Callable[..., Edit]) -> Result:
    found = find_declared(Place(), call.options.environment)
    assert found.path is not None  # noqa: S101 - a line has no body
    things = _things(call, found.path.parent)
    if not things.any:
        raise RequestError("usage.arguments", "nothing is named", fix="name packages, or give --pip, --channel, …")
    done = edit(found.text, things, name=found.path.stem, folder=found.definition.folder)
    if done.changes:
        write_text(found.path, done.text)
    name = found.definition.name
    head = f"{found.path} " + (f"changed: {len(done.changes)}" if done.changes else "unchanged: it says that already")
    lines = [head, *(f"  {change}" for change in done.changes)]
    if done.changes:
        lines.append(f"next: nbplat env lock {name}")
    facts = [("file", str(found.path)), *(("change", change) for change in done.changes)]
    data = {"file": str(found.path), "changes": list(done.changes), "text": done.text}
    return Result("\n".join(lines), fields_html(facts), data=data)


def _things(call: Call, folder: Path) -> Things:
    """What the options name; paths of the caller's folder become paths from the file's."""
    options = call.options
    return Things(
        specs=options.specs,
        pip=getattr(options, "pip", ()),
        channels=tuple(_from(text, folder) if is_folder(text) else text for text in options.channel),
        platforms=options.platform,
        local=tuple(_from(text, folder) for text in options.local),
    )


def _from(text: str, folder: Path) -> str:
    """``./channel`` said in the project is ``../channel`` in ``envs/``; an absolute path stays one."""
    path, mark, extras = text.partition("[")
    if path.startswith(("/", "~")):
        return text
    found = Path(os.path.relpath(Path(path).absolute(), folder.absolute())).as_posix()
    return f"{found if found.startswith('.') else f'./{found}'}{mark}{extras}"
